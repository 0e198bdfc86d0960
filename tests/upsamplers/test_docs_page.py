"""docs/upsamplers.md is what the code says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.upsamplers.upsampler_cases import NAMES
from upsample_lab.cli.docs.upsamplers import cost_table, definition_table, option_table, upsamplers_page

PAGE = Path(__file__).parents[2] / "docs" / "upsamplers.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == upsamplers_page(), (
        "docs/upsamplers.md is stale: run python scripts/generate_docs.py"
    )


@pytest.mark.parametrize("table", [cost_table, definition_table, option_table], ids=lambda table: table.__name__)
def test_tables_are_whole(table: object) -> None:
    lines = table().splitlines()  # type: ignore[operator]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    if table is not option_table:  # whose rows are options
        assert [line.split("`")[1] for line in lines[2:]] == list(NAMES)
