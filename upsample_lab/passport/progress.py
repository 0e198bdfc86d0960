"""How far a measurement is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[float, str], None]
"""Called with the share of the work that is done, 0 to 1, and what is being measured."""

QUICK_SEC = 2.0  # what is done sooner shows no bar
LINE_SEC = 10.0  # between two lines of a log


def ignore(share: float, what: str) -> None:
    """The report of who does not want to know."""


def part_of(report: Report, index: int, count: int, name: str) -> Report:
    """The report of one of several, as part of them all."""
    return lambda share, what: report((index + share) / count, f"{name}: {what}")


@contextmanager
def shown(title: str, lines: bool = True) -> Iterator[Report]:
    """A `Report` that shows itself on stderr.

    Args:
        title: what the bar is of.
        lines: whether to write lines where stderr is no terminal: a command does, a library keeps quiet there.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield _lines(title, started) if lines else ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(title, total=1.0, visible=False)

        def report(share: float, what: str) -> None:
            slow = time.monotonic() - started >= QUICK_SEC
            bar.update(task, completed=share, description=f"{title}: {what}", visible=slow)

        yield report


def _lines(title: str, started: float) -> Report:
    last = started

    def report(share: float, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SEC:
            last = now
            print(f"{title}: {what}, {share:.0%} after {now - started:.0f} s", file=sys.stderr, flush=True)

    return report
