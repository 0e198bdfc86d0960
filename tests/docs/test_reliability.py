"""The page of promises: each of the tests that it names exists."""

from __future__ import annotations

import re

from tests.conftest import ROOT


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"^def (test_\w+)", sources, flags=re.MULTILINE))
    assert len(named) > 30
    assert named - existing == set()
