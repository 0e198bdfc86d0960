"""What became of the runs of a sweep: read from their directories, so it holds under every launcher."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from upsample_lab.config import TrainConfig
from upsample_lab.runs.directory import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    RunDirectory,
    attempts,
    run_path,
)
from upsample_lab.runs.lock import RunHeld
from upsample_lab.training.display import CURVES, SHOW_ALL, print_results, result_console

HELD, NOT_STARTED = "held by another process", "not started"
GOING_ON = {  # state before the sweep: what the sweep does with such a run
    COMPLETE: "complete",
    INTERRUPTED: "to resume",
    FAILED: "to try again",
    HELD: HELD,
    NOT_STARTED: "to train",
}


@dataclass(frozen=True)
class Standing:
    """Where a run stands. `state` is that of its status file, but a killed process's `running` is `interrupted`."""

    run: RunDirectory
    state: str
    reason: str = ""

    @property
    def log(self) -> Path | None:
        log = self.run.path / "error.log"
        return log if self.state == FAILED and log.is_file() else None


def standing(config: TrainConfig) -> Standing:
    existing = attempts(config)
    run = RunDirectory(existing[-1] if existing else run_path(config))
    status = run.status()
    if status["state"] == COMPLETE:
        return Standing(run, COMPLETE)
    if status["state"] is None:
        return Standing(run, NOT_STARTED)
    if status["state"] == RUNNING:
        process = f"process {status['pid']} on {status['host']}"
        return Standing(run, HELD, process) if _is_held(run) else Standing(run, INTERRUPTED, f"{process} was killed")
    return Standing(run, status["state"], status["reason"] or "")


def _is_held(run: RunDirectory) -> bool:
    try:
        with run.locked():
            return False
    except RunHeld:
        return True


def plan_line(grid: Sequence[TrainConfig]) -> str:
    """`45 runs: 12 complete already, 3 to resume, 30 to train`."""
    counts = Counter(NOT_STARTED if config.run.mode == "fresh" else standing(config).state for config in grid)
    parts = [f"{counts[state]} {words}" for state, words in GOING_ON.items() if counts[state]]
    return f"{len(grid)} runs: {', '.join(parts)}"


def report_sweep(grid: Sequence[TrainConfig]) -> int:
    """Print a table of the complete runs, one of the others, and a count.

    Returns 0 when all are complete, 1 when one is not, 3 when only another process stands in between.
    """
    runs = [standing(config) for config in grid]
    complete = [each for each in runs if each.state == COMPLETE]
    others = [each for each in runs if each.state != COMPLETE]
    if complete:
        results = [(each.run.path.name, each.run.summary() or {}) for each in complete]
        print_results(results, "Best checkpoints on the test set", grid[0].task.name)
    if others:
        _print_others(others)
    counts = Counter(each.state for each in others)
    missing = "".join(f", {count} {state}" for state, count in sorted(counts.items()))
    print(f"{len(complete)} of {len(runs)} runs complete{missing}")
    if others:
        print("to go on: the same command again; it leaves alone what is complete")
    folder = runs[0].run.path.parent
    if complete:
        from upsample_lab.training.tracking import write_columns  # TensorBoard takes a second to import

        write_columns(folder, grid)
    print(f"look at them:   tensorboard --logdir {shlex.quote(str(folder))} {SHOW_ALL}")
    print(f"                and open {CURVES}")
    if not others:
        return 0
    return RunHeld.exit_status if set(counts) == {HELD} else 1


def _print_others(others: Sequence[Standing]) -> None:
    table = Table(title="Not complete", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("run", "state", "cause", "log"):
        table.add_column(heading, overflow="fold")
    for each in others:
        cause, log = each.reason.partition("\n")[0], str(each.log or "")
        table.add_row(*(Text(cell or "–") for cell in (each.run.path.name, each.state, cause, log)))
    result_console().print(table)
