"""What a training shows on the screen: a progress bar, a line at each validation, the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

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

    def validated(self, step: int, steps_per_epoch: int, figures: Mapping[str, float]) -> None:
        parts = [f"epoch {step / steps_per_epoch:5.2f}", f"step {step:6d}"]
        parts.append(f"validation: PSNR {figures['val/psnr_db']:5.2f} dB")
        if "val/ssim" in figures:  # images smaller than its window have none
            parts.append(f"SSIM {figures['val/ssim']:.4f}")
        if "uniform/pattern_rms_levels" in figures:
            parts.append(f"pattern {figures['uniform/pattern_rms_levels']:.2f} levels")
        self.say("  ".join(parts))


RESULT_COLUMNS = {  # key of the summary: heading, form
    "test/psnr_db": ("PSNR\n(dB)", "{:.2f}"),
    "test/ssim": ("\nSSIM", "{:.4f}"),
    "uniform/pattern_rms_levels": ("pattern\n(levels)", "{:.2f}"),
    "test/flat_pattern_rms_levels": ("in flat\nareas", "{:.2f}"),
    "parameters": ("para-\nmeters", "{:,}"),
    "seconds": ("\nseconds", "{:.1f}"),
}


def print_results(rows: Sequence[tuple[str, Mapping[str, Any]]], title: str) -> None:
    """A table of final figures on stdout, a run a row: `(name, summary)`. A narrow terminal folds the names."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("\nrun", overflow="fold")
    for heading, _ in RESULT_COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, summary in rows:
        table.add_row(name, *(_cell(summary.get(key), form) for key, (_, form) in RESULT_COLUMNS.items()))
    result_console().print(table)


def result_console() -> Console:
    """Stdout, wide enough for a table where it has no width of its own, as a pipe or a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def _cell(value: Any, form: str) -> str:
    return "–" if value is None else form.format(value)
