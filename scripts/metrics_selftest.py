"""Test the artifact metrics on images with known patterns; write the figure and the tables of the documentation.

    python scripts/metrics_selftest.py [--data-root FOLDER]

Needs MNIST and CIFAR-10 (JPEG copy) below the data folder (UPSAMPLE_LAB_DATA). Takes about a minute on two cores.
Exit status 1 when a metric fires on clean images, misses what it claims to find, or reads another amplitude than was
injected; 2 when the images are not there.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from upsample_lab.cli.main import OneLineParser, guarded
from upsample_lab.metrics.selftest.carriers import CARRIERS
from upsample_lab.metrics.selftest.recovery import broken_recoveries, recover, recovery_table
from upsample_lab.metrics.selftest.report import broken_claims, claims_table, jpeg_traces, measure, measured_table

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLES = ("claims", "recovery")
"""What is rewritten in docs/metrics.md, between comments of these names."""


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("UPSAMPLE_LAB_DATA", "data")))
    data_root = parser.parse_args(words).data_root
    from upsample_lab.metrics.selftest.figure import draw  # matplotlib, once `guarded` has told it to draw to files

    try:
        carriers = {name: load(data_root) for name, load in CARRIERS.items()}
    except FileNotFoundError as error:
        print(f"metrics_selftest: {error}", file=sys.stderr)
        return 2
    curves = measure(carriers)
    print(measured_table(curves), "", jpeg_traces(carriers["cifar10_jpeg"]), sep="\n")
    draw(curves, {name: carriers[name] for name in ("mnist", "cifar10_jpeg")}, DOCS / "images" / "metrics-selftest.png")
    recoveries = recover(carriers)
    page = DOCS / "metrics.md"
    text = page.read_text(encoding="utf-8")
    for name, table in zip(TABLES, (claims_table(), recovery_table(recoveries)), strict=True):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    page.write_text(text, encoding="utf-8")
    failures = [*broken_claims(curves), *broken_recoveries(recoveries)]
    for failure in failures:
        print(f"metrics_selftest: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
