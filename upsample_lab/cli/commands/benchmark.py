"""Measure speed: each suite is a module of `upsample_lab/benchmark/`, and what it says of itself is its help."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_lab.called import call
from upsample_lab.cli.main import OneLineParser, as_called

if TYPE_CHECKING:
    from upsample_lab.benchmark.table import Table

USAGE = """
`{call} all` runs every suite, some minutes on two cores, and gathers their tables; each of them can be run alone, with
options of its own: `{call} train --help`.
"""
SUITES = ("train", "ceilings", "fold", "conv", "loader", "options", "epoch", "sweep", "startup", "compare", "gpu")
LEFT_OUT_OF_ALL = ("gpu",)  # on a CPU it measures nothing that the others do not


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Only the suite that is asked for is imported."""
    parser = OneLineParser(
        prog=call("benchmark"),
        description=as_called(USAGE, "benchmark"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    suites = parser.add_subparsers(dest="suite", required=True)
    for name in SUITES:
        about = _about(name)
        suite = suites.add_parser(name, help=about.splitlines()[0], description=about)
        suite.add_argument("--json", type=Path, help="write the measurements here, as JSON")
        suite.add_argument("--markdown", type=Path, help="write the table here, as Markdown")
        if name in words[:1]:
            _module(name).add_arguments(suite)
        suite.set_defaults(run=one)
    everything = suites.add_parser("all", help="every suite but gpu, at its default settings, and one page of tables")
    everything.add_argument("--json", type=Path, help="write each suite's measurements into this folder, as JSON")
    everything.add_argument("--markdown", type=Path, help="write all tables here, between a page's markers if any")
    everything.add_argument("--quick", action="store_true", help="a smoke run: its figures mean nothing")
    everything.set_defaults(run=all_suites)
    arguments = parser.parse_args(words)
    run: Callable[[argparse.Namespace], None] = arguments.run
    run(arguments)
    return 0


def _module(suite: str) -> Any:
    return import_module(f"upsample_lab.benchmark.{suite}")


def _about(suite: str) -> str:
    """A suite's docstring, read without importing it and PyTorch."""
    spec = find_spec(f"upsample_lab.benchmark.{suite}")
    assert spec is not None
    assert spec.origin is not None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or ""


def one(arguments: argparse.Namespace) -> None:
    """One suite: its table on the screen, and where it was asked for."""
    from upsample_lab.benchmark.table import goals_markdown

    table: Table = _module(arguments.suite).run(arguments)
    print(table.to_markdown())
    if table.goals:
        print(goals_markdown(table.goals))
    for path, text in ((arguments.json, table.to_json()), (arguments.markdown, table.to_markdown())):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def all_suites(arguments: argparse.Namespace) -> None:
    """Every suite at its default settings; each table is shown as soon as it is there."""
    from upsample_lab.benchmark.page import insert, page
    from upsample_lab.benchmark.table import goals_markdown

    tables: dict[str, Table] = {}
    for name in SUITES:
        if name in LEFT_OUT_OF_ALL:
            continue
        module = _module(name)
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
