"""Compare the runs of an experiment: a verdict with its error bar. Reads what they left, and never trains."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from upsample_lab.called import call
from upsample_lab.cli.main import answer
from upsample_lab.options.compare import CompareConfig

USAGE = """\
Compare the runs of an experiment, paired by seed: estimates, differences, a verdict, and a report.

  {call} experiment=mnist_upsamplers                   all its runs, and a report beside them
  {call} experiment=mnist_upsamplers 'only=[deconv,bilinear]'
  {call} experiment=kernel_size primary=uniform/pattern_rms_levels latency=false
  {call} experiment=mnist_upsamplers reference=bilinear pairs=all

Writes report.html, report.md, figures, results.csv and differences.csv to <output_root>/<experiment>/report/."""


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError`."""
    return answer("compare", USAGE, partial(run, command=f"{call('compare')} {shlex.join(words)}"), words)


def run(config: CompareConfig, command: str) -> int:
    """Compare, print, write; `command` is what the report says to repeat it."""
    from upsample_lab.compare.collect import compare
    from upsample_lab.compare.output import print_comparison, write_tables

    comparison = compare(config, command)
    folder = comparison.root / "report" if config.out is None else Path(config.out)
    write_tables(comparison, folder)
    print_comparison(comparison)
    if config.report:
        from upsample_lab.report import write_report

        write_report(comparison, folder, passports=config.passports)
        print(f"report:  {folder / 'report.html'}")
    else:
        print(f"tables:  {folder}")
    return 0
