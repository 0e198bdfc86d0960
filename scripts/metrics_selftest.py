"""Test the artifact metrics on images with known patterns; write the figure and the tables of the documentation.

    python scripts/metrics_selftest.py [--data-root FOLDER]
    python scripts/metrics_selftest.py --p-values [--sets 10000] [--data-root FOLDER]

Needs MNIST and CIFAR-10 (JPEG copy) below the data folder (UPSAMPLE_LAB_DATA). Takes about a minute on two cores.
--p-values measures instead how often phase_p_value is small, without a pattern and with one: some five minutes.
Exit status 1 when a metric fires on clean images, misses what it claims to find, or reads another amplitude than was
injected; 2 when the images are not there.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from upsample_lab.cli.main import OneLineParser, guarded
from upsample_lab.selftest.carriers import CARRIERS
from upsample_lab.selftest.false_alarms import NULL_CASES, PATTERN_CASES, draw_of, rejection_table, rejections
from upsample_lab.selftest.recovery import broken_recoveries, recover, recovery_table
from upsample_lab.selftest.report import broken_claims, claims_table, jpeg_traces, measure, measured_table
from upsample_lab.settings import ConfigError

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("UPSAMPLE_LAB_DATA", "data")))
    parser.add_argument("--p-values", action="store_true", help="measure the p-values instead")
    parser.add_argument(
        "--sets", type=int, default=10_000, help="sets behind each p-value's row (default: %(default)s)"
    )
    arguments = parser.parse_args(words)
    data_root = arguments.data_root
    if arguments.sets < 1:
        raise ConfigError(f"--sets={arguments.sets}: must be at least 1")
    if arguments.p_values:
        return measure_p_values(data_root, arguments.sets)
    from upsample_lab.selftest.figure import draw  # matplotlib, once `guarded` has told it to draw to files

    try:
        carriers = {name: load(data_root) for name, load in CARRIERS.items()}
    except FileNotFoundError as error:
        print(f"metrics_selftest: {error}", file=sys.stderr)
        return 2
    curves = measure(carriers)
    print(measured_table(curves), "", jpeg_traces(carriers["cifar10_jpeg"]), sep="\n")
    draw(curves, {name: carriers[name] for name in ("mnist", "cifar10_jpeg")}, DOCS / "images" / "metrics-selftest.png")
    replace_table("claims", claims_table())
    recoveries = recover(carriers)
    replace_table("recovery", recovery_table(recoveries))
    failures = [*broken_claims(curves), *broken_recoveries(recoveries)]
    for failure in failures:
        print(f"metrics_selftest: {failure}", file=sys.stderr)
    return 1 if failures else 0


def measure_p_values(data_root: Path, set_count: int) -> int:
    """Print and publish both tables of `phase_p_value`; 2 when the images are not there."""
    tables = {"p-values-null": ("without a pattern", NULL_CASES), "p-values-pattern": ("pattern", PATTERN_CASES)}
    try:
        for case in (*NULL_CASES, *PATTERN_CASES):
            draw_of(case.title, data_root)  # all images, before some minutes of work
    except FileNotFoundError as error:
        print(f"metrics_selftest: {error}", file=sys.stderr)
        return 2
    for name, (first_column, cases) in tables.items():
        table = rejection_table(first_column, {case: rejections(case, data_root, set_count) for case in cases})
        print(f"{table}\n")
        replace_table(name, table)
    return 0


def replace_table(name: str, table: str) -> None:
    """Put a table between its two markers on the page."""
    page, begin, end = DOCS / "metrics.md", f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(guarded(main))
