"""Measure speed: `python scripts/benchmark.py conv|loader|startup|compare [--json PATH] [--markdown PATH]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from upsample_lab.benchmark import compare, conv, loader, startup

SUITES = {"conv": conv, "loader": loader, "startup": startup, "compare": compare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    suites = parser.add_subparsers(dest="suite", required=True)
    for name, module in SUITES.items():
        suite = suites.add_parser(name, help=(module.__doc__ or "").splitlines()[0], description=module.__doc__)
        suite.add_argument("--json", type=Path, help="write the measurements here, as JSON")
        suite.add_argument("--markdown", type=Path, help="write the table here, as Markdown")
        module.add_arguments(suite)
    arguments = parser.parse_args()
    table = SUITES[arguments.suite].run(arguments)
    print(table.to_markdown())
    for path, text in ((arguments.json, table.to_json()), (arguments.markdown, table.to_markdown())):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
