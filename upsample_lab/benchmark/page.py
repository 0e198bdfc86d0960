"""All tables as one page, or as the part of a page that lies between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upsample_lab.benchmark.table import Table, describe, goals_markdown

BEGIN = "<!-- measured: what follows is written by scripts/benchmark.py all --markdown -->"
END = "<!-- measured: end -->"


def page(tables: Sequence[Table], *, quick: bool = False) -> str:
    """The machine, the goals, and every table; load is that of the first suite's start."""
    goals = [goal for table in tables for goal in table.goals]
    parts = [describe(tables[0].machine), ""]
    if quick:
        parts += ["**A smoke run (`--quick`): these figures mean nothing.**", ""]
    parts += [goals_markdown(goals)] if goals else []
    parts += [table.to_markdown(with_machine=False) for table in tables]
    return "\n".join(parts)


def insert(path: Path, text: str) -> None:
    """Write the text between the markers of the page at ``path``; a page without markers, or none, becomes the text."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if BEGIN in old and END in old:
        before, after = old.split(BEGIN)[0], old.split(END, 1)[1]
        text = f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
