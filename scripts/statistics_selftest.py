"""Measure how far the intervals and verdicts of a comparison can be trusted, by simulation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from upsample_lab.cli.main import OneLineParser, guarded
from upsample_lab.compare.coverage import CASES, alarm_table, coverage_table, power_table, unequal_table
from upsample_lab.settings import ConfigError

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="simulated cases a row (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"rewrite the tables of {PAGE.name}")
    arguments = parser.parse_args(words)
    if arguments.cases < 1:
        raise ConfigError(f"--cases={arguments.cases}: must be at least 1")
    fewer = min(arguments.cases, CASES)  # whole experiments take longer than intervals
    tables = (
        ("coverage", lambda: coverage_table(arguments.cases)),
        ("alarms", lambda: alarm_table(fewer)),
        ("unequal", lambda: unequal_table(fewer)),
        ("power", lambda: power_table(fewer)),
    )
    for name, measure in tables:
        table = measure()
        print(f"{table}\n")
        if arguments.write:
            replace_table(name, table)
    return 0


def replace_table(name: str, table: str) -> None:
    """Put a table between its two markers on the page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    PAGE.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(guarded(main))
