"""Measure how often `scan` errs on photographs, and write the table of docs/scan.md.

    python scripts/scan_selftest.py FOLDER [FOLDER ...]

The folders hold photographs without a pattern; the page's table was made from T91 and B100, two sets of 91 and 100.
Takes some minutes. Exit status 1 where photographs as they are, or as JPEG, are taken to have a pattern more often than
in 1 of 100, or 1 level is found in fewer than half of them, or 2 levels in fewer than 95 of 100.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.progress import track

from upsample_lab.cli.main import BadRequest, OneLineParser, guarded

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scan.md"
BEGIN, END = "<!-- scan_selftest -->", "<!-- end -->"
HEAD = ["photographs", "how many", "periods looked for", "found in", "rate of false alarms at most (95 %)"]


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    given = parser.parse_args(words)
    from upsample_lab.doctor.scan_selftest import photographs, selftest

    if missing := [folder for folder in given.folders if not folder.is_dir()]:
        raise BadRequest(f"{missing[0]}: no such folder")
    rows = selftest(photographs(given.folders), partial(track, description="measuring"))
    lines = ["| " + " | ".join(row) + " |" for row in [HEAD, ["---"] * len(HEAD), *rows]]
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")
    print("\n".join(lines))
    return int(any(not holds(row) for row in rows))


def holds(row: list[str]) -> bool:
    """Whether a row is as the page promises."""
    rate = int(row[3]) / int(row[1])
    if "levels" not in row[0]:
        return rate <= 0.01
    return rate >= {"0.5": 0.0, "1": 0.5, "2": 0.95}[row[0].split()[0]]


if __name__ == "__main__":
    sys.exit(guarded(main))
