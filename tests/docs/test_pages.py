"""Pages for people: what they link to is there, paths that they name exist, and one version stands everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import upsample_lab
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "docs" / "results" / "README.md"])
MADE_BY_RUNS = ("outputs/",)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith(("mailto:", *MADE_BY_RUNS))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_modules_that_are_named_exist(page: Path) -> None:
    """`upsample_lab/runs/lock.py` and `upsample_lab.metrics.losses`, wherever a page names them."""
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"\b(?:upsample_lab|tests|scripts|configs)/[\w/]+(?:\.\w+)?", text)
    modules = [name.replace(".", "/") for name in re.findall(r"\bupsample_lab(?:\.[a-z_]+)+\b", text)]
    missing = [path for path in paths if not (ROOT / path.rstrip("/")).exists()]
    missing += [
        path for path in modules
        if not any((ROOT / f"{part}{end}").exists() for part in (path, str(Path(path).parent)) for end in ("", ".py"))
    ]  # fmt: skip
    assert missing == []


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == upsample_lab.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
