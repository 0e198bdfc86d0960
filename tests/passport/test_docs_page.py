"""docs/passport.md shows what the command prints, and the package's modules import each other one way."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT, load_script
from upsample_lab.passport.findings import find

PACKAGE = ROOT / "upsample_lab" / "passport"


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


def test_no_circle_of_modules() -> None:
    """Imports within functions and for types count too."""
    needs: dict[str, set[str]] = {}
    for path in PACKAGE.glob("*.py"):
        if path.stem == "__init__":
            continue
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        needs[path.stem] = {name.split(".")[2] for name in names if name.startswith("upsample_lab.passport.")}
    assert len(list(TopologicalSorter(needs).static_order())) >= len(needs) > 20  # a circle raises CycleError
