"""A progress bar on stderr where that is a terminal; one logged line where it is not."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

log = logging.getLogger(__name__)


@contextmanager
def progress(task: str, total: int, start: int = 0, *, unit: str = "B") -> Iterator[Callable[[int], None]]:
    """Show `task` while the block runs; call what is yielded with each amount done.

    Args:
        total: amount in all; 0 where it is not known.
        start: amount done before.
        unit: ``B`` shows megabytes and their rate, anything else a plain count.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        log.info("%s (%s)", task, f"{total / 1e6:.1f} MB" if unit == "B" else f"{total:,} {unit}")
        yield lambda amount: None
        return
    counted = (DownloadColumn(), TransferSpeedColumn()) if unit == "B" else (MofNCompleteColumn(), TextColumn(unit))
    columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task(escape(task), total=total or None, completed=start)
        yield lambda amount: bar.advance(shown, amount)
