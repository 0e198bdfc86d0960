"""Measure speed.

`python scripts/benchmark.py all` runs every suite, some minutes on two cores, and gathers their tables; each of them
can be run alone, with options of its own: `python scripts/benchmark.py train --help`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from upsample_lab.benchmark import ceilings, compare, conv, epoch, fold, gpu, loader, options, startup, sweep, train
from upsample_lab.benchmark.page import insert, page
from upsample_lab.benchmark.table import Table, goals_markdown
from upsample_lab.cli.main import OneLineParser, guarded

SUITES = {
    "train": train,
    "ceilings": ceilings,
    "fold": fold,
    "conv": conv,
    "loader": loader,
    "options": options,
    "epoch": epoch,
    "sweep": sweep,
    "startup": startup,
    "compare": compare,
    "gpu": gpu,
}
LEFT_OUT_OF_ALL = ("gpu",)  # on a CPU it measures nothing that the others do not


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    suites = parser.add_subparsers(dest="suite", required=True)
    for name, module in SUITES.items():
        suite = suites.add_parser(name, help=(module.__doc__ or "").splitlines()[0], description=module.__doc__)
        suite.add_argument("--json", type=Path, help="write the measurements here, as JSON")
        suite.add_argument("--markdown", type=Path, help="write the table here, as Markdown")
        module.add_arguments(suite)
        suite.set_defaults(call=one)
    everything = suites.add_parser("all", help="every suite but gpu, at its default settings, and one page of tables")
    everything.add_argument("--json", type=Path, help="write each suite's measurements into this folder, as JSON")
    everything.add_argument("--markdown", type=Path, help="write all tables here, between a page's markers if any")
    everything.add_argument("--quick", action="store_true", help="a smoke run: its figures mean nothing")
    everything.set_defaults(call=all_suites)
    arguments = parser.parse_args(words)
    call: Callable[[argparse.Namespace], None] = arguments.call
    call(arguments)
    return 0


def one(arguments: argparse.Namespace) -> None:
    """One suite: its table on the screen, and where it was asked for."""
    table: Table = SUITES[arguments.suite].run(arguments)
    print(table.to_markdown())
    if table.goals:
        print(goals_markdown(table.goals))
    for path, text in ((arguments.json, table.to_json()), (arguments.markdown, table.to_markdown())):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def all_suites(arguments: argparse.Namespace) -> None:
    """Every suite at its default settings; each table is shown as soon as it is there."""
    tables: dict[str, Table] = {}
    for name, module in SUITES.items():
        if name in LEFT_OUT_OF_ALL:
            continue
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        tables[name] = module.run(parser.parse_args(["--quick"] if arguments.quick else []))
        print(tables[name].to_markdown(), flush=True)
        if arguments.json is not None:
            arguments.json.mkdir(parents=True, exist_ok=True)
            (arguments.json / f"{name}.json").write_text(tables[name].to_json(), encoding="utf-8")
        if arguments.markdown is not None:  # after each, so that an interrupted run leaves what it has measured
            insert(arguments.markdown, page(list(tables.values()), quick=arguments.quick))
    print(goals_markdown([goal for table in tables.values() for goal in table.goals]))


if __name__ == "__main__":
    sys.exit(guarded(main))
