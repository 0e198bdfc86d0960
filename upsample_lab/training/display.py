"""What a training shows on the screen: a progress bar, a line at each validation, the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from upsample_lab.catalogue import described, facts_of, shown
from upsample_lab.options.task import DEFAULT_TASK

PIPE_COLUMNS = 160
SHOW_ALL = "--samples_per_plugin images=1000,scalars=100000"
"""For `tensorboard`, which keeps a random ten pictures and thousand numbers of each tag unless it is told to keep more.

Not 0, which its help calls all: TensorBoard 2.21 then answers with none, and every chart is empty.
"""

CURVES = "http://localhost:6006/?smoothing=0#timeseries"
"""Where `tensorboard` shows the curves as they are: it averages along them unless the address says otherwise."""


class Display:
    """The screen of one run. Progress and warnings go to stderr, so that stdout holds the result alone."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.err = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def say(self, text: str) -> None:
        self.err.print(text, markup=False)

    def warn(self, text: str) -> None:
        """A warning that stands out: on a terminal in yellow, in a log in capitals."""
        self.err.print(f"WARNING: {text}", style="bold yellow", markup=False)

    def resumed(self, step: int, steps: int, warnings: Sequence[str]) -> None:
        for warning in warnings:
            self.warn(f"{warning}; using the checkpoint before it")
        self.say(f"resuming at step {step} of {steps}")

    @contextmanager
    def progress(self, steps: int, done: int) -> Iterator[None]:
        columns = (
            TextColumn("training"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=self.err, transient=True, refresh_per_second=4, disable=self.err.quiet) as bar:
            self._bar, self._task = bar, bar.add_task("training", total=steps, completed=done, figures="")
            yield
        self._bar = None

    def stepped(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def reported(self, figures: Mapping[str, float]) -> None:
        if self._bar is not None:
            text = f"loss {figures['train/loss']:.5f}  {figures['speed/images_per_sec']:,.0f} images/s "
            self._bar.update(self._task, figures=text)

    def validated(
        self, step: int, steps_per_epoch: int, figures: Mapping[str, float], headlines: Sequence[str]
    ) -> None:
        """A line of `figures`: those that `headlines` names, where there are any such."""
        parts = [f"epoch {step / steps_per_epoch:5.2f}", f"step {step:6d}"]
        parts.append("validation: " + "  ".join(_headline(key, figures[key]) for key in headlines if key in figures))
        self.say("  ".join(parts))


def _headline(key: str, value: float) -> str:
    """`PSNR 30.07 dB`, with the metric's digits."""
    metric = described(key)
    return f"{key} {value:.4g}" if metric is None else f"{metric.short or metric.title} {shown(metric, value)}"


def print_results(rows: Sequence[tuple[str, Mapping[str, Any]]], title: str, task: str = DEFAULT_TASK) -> None:
    """A table of final figures on stdout, a run a row: `(name, summary)`. A narrow terminal folds the names.

    The columns are what runs of the task are about, and what they cost.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("\nrun", overflow="fold")
    columns = {key: (_heading(key), _form(key)) for key in facts_of(task).shown}
    columns |= {"parameters": ("para-\nmeters", "{:,}"), "seconds": ("\nseconds", "{:.1f}")}
    for heading, _ in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, summary in rows:
        table.add_row(name, *(_cell(summary.get(key), form) for key, (_, form) in columns.items()))
    result_console().print(table)


def _heading(key: str) -> str:
    """Two lines: what it is called and its unit, or at most a few words."""
    metric = described(key)
    if metric is None:
        return key
    first, second = (metric.short or metric.title), f"({metric.unit})" if metric.unit else ""
    return f"{first}\n{second}" if second else f"\n{first}"


def _form(key: str) -> str:
    metric = described(key)
    return "{:.4g}" if metric is None else f"{{:.{metric.digits}f}}"


def result_console() -> Console:
    """Stdout, wide enough for a table where it has no width of its own, as a pipe or a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def _cell(value: Any, form: str) -> str:
    return "–" if value is None else form.format(value)
