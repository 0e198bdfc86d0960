"""docs/passport.md shows what the command prints, and explains every finding."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT, load_script
from upsample_lab.passport.findings import find


@pytest.mark.run
def test_the_table_of_the_registry_is_up_to_date() -> None:
    text = (ROOT / "docs" / "passport.md").read_text(encoding="utf-8")
    assert load_script("generate_docs").passport_page(text) == text, (
        "docs/passport.md is stale: run python scripts/generate_docs.py"
    )


def test_every_finding_is_explained() -> None:
    tree = ast.parse(Path(find.__code__.co_filename).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]
    codes = {ast.literal_eval(call.args[0]) for call in calls}
    assert len(codes) > 15
    text = (ROOT / "docs" / "passport.md").read_text(encoding="utf-8")
    assert {code for code in codes if f"| `{code}` |" not in text} == set()
