"""Tables, goals and the page that holds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from upsample_lab.benchmark.page import BEGIN, END, insert, page
from upsample_lab.benchmark.table import Goal, Table, goals_markdown

TABLE = Table("Speed", {"processor": "abacus"}, [{"way": "by hand", "ms": 1.234}], ["Slow."], [Goal("speed", 2.0, 1.5)])


def test_json_says_whether_a_goal_is_reached() -> None:
    (goal,) = json.loads(TABLE.to_json())["goals"]
    assert goal == {"figure": "speed", "value": 2.0, "bound": 1.5, "at_most": False, "reached": True}


@pytest.mark.parametrize(("value", "at_most", "reached"), [(1.0, False, "no"), (1.0, True, "yes"), (2.0, True, "no")])
def test_goals_have_a_side(value: float, at_most: bool, reached: str) -> None:
    line = goals_markdown([Goal("speed", value, 1.5, at_most)]).splitlines()[-1]
    assert line == f"| speed | {value:.2f} | {'≤' if at_most else '≥'} 1.50 | {reached} |"


def test_a_table_is_a_heading_the_machine_and_rows() -> None:
    assert TABLE.to_markdown().splitlines() == [
        *("## Speed", "", "processor abacus", "", "| way | ms |", "|---|---|", "| by hand | 1.23 |", "", "Slow.")
    ]


def test_a_page_is_rewritten_between_its_markers(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"# Prose\n\n{BEGIN}\nold figures\n{END}\n\nMore prose.\n")
    for _ in range(2):
        insert(file, page([TABLE]))
        text = file.read_text()
        assert text.startswith(f"# Prose\n\n{BEGIN}\n\nprocessor abacus\n")
        assert text.endswith(f"Slow.\n\n{END}\n\nMore prose.\n")
        assert "old figures" not in text
        assert text.count("## Speed") == 1


def test_a_page_without_markers_becomes_the_tables(tmp_path: Path) -> None:
    file = tmp_path / "new" / "page.md"
    insert(file, page([TABLE], quick=True))
    assert "these figures mean nothing" in file.read_text()
