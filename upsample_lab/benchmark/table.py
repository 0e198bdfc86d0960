"""A table of measurements, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple


class Goal(NamedTuple):
    """A figure that has to reach a bound: at least ``bound``, or at most where ``at_most``."""

    figure: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound


@dataclass(frozen=True)
class Table:
    """Rows with the same columns, what they were measured on, lines that sum them up, and the goals they speak of."""

    title: str
    machine: dict[str, str]
    rows: list[dict[str, str | float]]
    summary: list[str]
    goals: list[Goal] = field(default_factory=list)

    def to_json(self) -> str:
        goals = [{**goal._asdict(), "reached": goal.reached} for goal in self.goals]
        return json.dumps({**asdict(self), "goals": goals}, indent=2)

    def to_markdown(self, *, with_machine: bool = True) -> str:
        if not self.rows:
            return "\n".join([f"## {self.title}", "", *(self.summary or ["Nothing was measured."]), ""])
        lines = [f"## {self.title}", ""]
        lines += [describe(self.machine), ""] if with_machine else []
        lines += markdown_rows(self.rows)
        return "\n".join([*lines, "", *self.summary, ""])


def describe(machine: dict[str, str]) -> str:
    """What the figures were measured on, in one line."""
    return ", ".join(f"{key} {value}" for key, value in machine.items())


def goals_markdown(goals: Sequence[Goal]) -> str:
    """What the figures have to reach, and whether they do."""
    rows: list[dict[str, str | float]] = [
        {
            "figure": goal.figure,
            "measured": _number(goal.value),
            "wanted": f"{'≤' if goal.at_most else '≥'} {_number(goal.bound)}",
            "reached": "yes" if goal.reached else "no",
        }
        for goal in goals
    ]
    return "\n".join(["## What has to be reached", "", *markdown_rows(rows), ""])


def markdown_rows(rows: Sequence[dict[str, str | float]]) -> list[str]:
    """Heading, rule and cells."""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for row in rows:
        cells = [value if isinstance(value, str) else _number(value) for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _number(value: float) -> str:
    """Two decimals, or none from a thousand on."""
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.2f}"
