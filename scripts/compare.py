"""Compare the runs of an experiment: a verdict with its error bar. Reads what they left, and never trains."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from upsample_lab.cli.main import run_script
from upsample_lab.options.compare import CompareConfig

USAGE = """\
Compare the runs of an experiment, paired by seed: estimates, differences, a verdict, and a report.

  python scripts/compare.py experiment=mnist_upsamplers                   all its runs, and a report beside them
  python scripts/compare.py experiment=mnist_upsamplers 'only=[deconv,bilinear]'
  python scripts/compare.py experiment=kernel_size primary=uniform/pattern_rms_levels latency=false
  python scripts/compare.py experiment=mnist_upsamplers reference=bilinear pairs=all

Writes report.html, report.md, figures, results.csv and differences.csv to <output_root>/<experiment>/report/."""


def main(config: CompareConfig) -> int:
    from upsample_lab.compare.collect import compare
    from upsample_lab.compare.output import print_comparison, write_tables

    comparison = compare(config, shlex.join(["python", "scripts/compare.py", *sys.argv[1:]]))
    folder = comparison.root / "report" if config.out is None else Path(config.out)
    write_tables(comparison, folder)
    print_comparison(comparison)
    if config.report:
        from upsample_lab.compare.report import write_report

        write_report(comparison, folder, passports=config.passports)
        print(f"report:  {folder / 'report.html'}")
    else:
        print(f"tables:  {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script("compare", USAGE, main))
