"""Sweeps as processes of their own: start one, wait for a moment in it, break it off, and see what is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.conftest import ROOT, TINY
from upsample_lab.runs.journal import TIMES, read_reports

MARK = "UPSAMPLE_LAB_TEST_MARK"  # in the environment of a sweep and of all that it starts
PATIENCE_SEC = 600.0  # on a machine that is busy; nothing below waits so long where all is well
STEPS = 300
# A line for every step and many checkpoints: slow enough to be broken off in the middle, and never far to go back.
BREAKABLE = (
    *TINY,
    "trainer.epochs=30",
    "trainer.validate_every_epochs=30",
    "trainer.log_every_steps=1",
    "trainer.checkpoint_every_sec=0.1",
)


def wait_for(what: str, condition: Callable[[], Any], patience_sec: float = PATIENCE_SEC) -> Any:
    """What `condition` returns as soon as it is true."""
    deadline = time.monotonic() + patience_sec
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {patience_sec:.0f} s in vain for {what}"
        time.sleep(0.05)
    return answer


class Sweep:
    """`scripts/train.py -m` in a process group of its own, with its output in files."""

    def __init__(self, folder: Path, *words: str, environment: dict[str, str] | None = None) -> None:
        self.mark = uuid.uuid4().hex
        self.out_path = folder / f"{self.mark}.out"
        self.err_path = folder / f"{self.mark}.err"
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "train.py"), "-m", *words],
                cwd=folder,
                stdout=out,
                stderr=err,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {}), MARK: self.mark},
                start_new_session=True,
            )

    def wait(self, patience_sec: float = PATIENCE_SEC) -> int:
        return self.process.wait(patience_sec)

    @property
    def out(self) -> str:
        return self.out_path.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self.err_path.read_text(encoding="utf-8")

    def processes(self) -> list[int]:
        """Every live process that came from this sweep, itself included, wherever it hangs in the tree."""
        wanted = f"{MARK}={self.mark}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if wanted in environment_of(pid)]

    def clean_up(self) -> None:
        """End what a failed test leaves behind."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SEC)


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")  # empty for a zombie
    except OSError:
        return []


# ----------------------------------------------------------------------------------------------------------------------
# What is in the run directories


def runs_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/*/status.json"))


def status(run: Path) -> dict[str, Any]:
    content = json.loads((run / "status.json").read_text())
    assert isinstance(content, dict)
    return content


def running(folder: Path) -> list[Path]:
    """The runs that are in the middle: some steps are done and in a checkpoint, and many are not.

    A worker that was killed leaves `running` behind, so its process must be there too.
    """
    return [
        run
        for run in runs_in(folder)
        if status(run)["state"] == "running"
        and Path(f"/proc/{status(run)['pid']}").exists()
        and 0 < steps_done(run) < STEPS * 3 / 4
        and any(run.glob("checkpoints/last*"))
    ]


def resumed(runs: list[Path], pids: dict[Path, int]) -> bool:
    """Whether each run is trained by another process than before, or has been finished by one."""
    return all(status(run)["state"] in ("running", "complete") and status(run)["pid"] != pids[run] for run in runs)


def steps_done(run: Path) -> int:
    try:
        lines = (run / "metrics.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return len([line for line in lines if '"train/loss"' in line])


def results(folder: Path) -> dict[str, Any]:
    """Everything that two sweeps of the same grid must agree on, by run; each step must be there once."""
    return {run.name: _result(run) for run in runs_in(folder)}


def _result(run: Path) -> dict[str, Any]:
    lines = read_reports(run)
    steps = [line["step"] for line in lines if "train/loss" in line]
    assert steps == list(range(1, STEPS + 1)), f"{run.name}: a step is missing, or there twice"
    summary = json.loads((run / "summary.json").read_text())
    weights = {name: load_file(run / "checkpoints" / f"{name}.safetensors") for name in ("last", "best")}
    return {
        "summary": {key: value for key, value in summary.items() if key not in ("seconds", "train_images_per_sec")},
        "metrics": [{key: value for key, value in line.items() if key not in TIMES} for line in lines],
        "weights": {
            f"{name} {key}": tensor.numpy().tobytes() for name, part in weights.items() for key, tensor in part.items()
        },
    }
