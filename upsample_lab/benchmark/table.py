"""A table of measurements, as JSON and as Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Table:
    """Rows with the same columns, what they were measured on, and a line that sums them up."""

    title: str
    machine: dict[str, str]
    rows: list[dict[str, str | float]]
    summary: list[str]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def to_markdown(self) -> str:
        if not self.rows:
            return f"## {self.title}\n\nNothing was measured.\n"
        names = list(self.rows[0])
        lines = [f"## {self.title}", "", ", ".join(f"{key} {value}" for key, value in self.machine.items()), ""]
        lines += [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        for row in self.rows:
            cells = [f"{value:.2f}" if isinstance(value, float) else value for value in row.values()]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "", *self.summary, ""])
