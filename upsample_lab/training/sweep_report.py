"""What became of the runs of a sweep: read from their directories, so it holds under every launcher."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from upsample_lab.config import TrainConfig
from upsample_lab.training.display import SHOW_ALL, print_results
from upsample_lab.training.run import COMPLETE, RUNNING, RunDirectory, attempts, run_path


def report_sweep(grid: Sequence[TrainConfig]) -> int:
    """Print one table of the complete runs and a line for each other one; 0 when all are complete, else 1."""
    runs = [_newest(config) for config in grid]
    complete = [run for run in runs if run.status()["state"] == COMPLETE]
    others = [run for run in runs if run.status()["state"] != COMPLETE]
    if complete:
        print_results([(run.path.name, run.summary() or {}) for run in complete], "Best checkpoints on the test set")
    for run in others:
        print(f"{_what_happened(run)}: {run.path}", file=sys.stderr)
    if runs:
        print(f"{len(complete)} of {len(runs)} runs complete")
        print(f"look at them:   tensorboard --logdir {runs[0].path.parent} {SHOW_ALL}")
    return 0 if not others else 1


def _newest(config: TrainConfig) -> RunDirectory:
    existing = attempts(config)
    return RunDirectory(existing[-1] if existing else run_path(config))


def _what_happened(run: RunDirectory) -> str:
    status = run.status()
    if status["state"] is None:
        return "not started"
    if status["state"] == RUNNING:
        return f"killed or still running (process {status['pid']} on {status['host']})"
    return f"{status['state']} ({status['reason']})"
