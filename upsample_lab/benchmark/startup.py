"""From pressing enter to the first training step, and the memory of a run: the real command in a process of its own."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from upsample_lab.benchmark.table import Table
from upsample_lab.benchmark.timing import machine, peak_memory_mib
from upsample_lab.runs.journal import read_reports

COMMAND = (sys.executable, "-m", "upsample_lab", "train")
SETTINGS = ("trainer.max_steps=20", "trainer.log_every_steps=1")
POLL_SEC = 0.02


@dataclass(frozen=True)
class StartupRow:
    """One measured command line."""

    command: str
    first_step_sec: float  # median over the rounds
    slowest_sec: float
    peak_memory_mib: float  # largest resident memory of the process in any round


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--repeats", type=int, default=3, help="starts of each command (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="once each, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Measure every command line; MNIST is read from the folder that UPSAMPLE_LAB_DATA names."""
    rows = measure(1 if arguments.quick else arguments.repeats)
    slowest = max(rows, key=lambda row: row.first_step_sec)
    summary = [f"The first step ends {slowest.first_step_sec:.1f} s after the command, at most ({slowest.command})."]
    return Table("From the command to the first training step", machine(), [asdict(row) for row in rows], summary)


def measure(rounds: int = 3) -> list[StartupRow]:
    """Start a run of the default model on MNIST and on the built-in glyphs, several times in turn."""
    sources = {"MNIST": ("data.fallback=null",), "glyphs": ("data=glyphs",)}
    times: dict[str, list[float]] = {name: [] for name in sources}
    memory: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(rounds):
        for name, words in sources.items():
            seconds, mebibytes = first_step(words)
            times[name].append(seconds)
            memory[name].append(mebibytes)
    return [
        StartupRow(f"train.py, {name}", median(times[name]), max(times[name]), max(memory[name])) for name in sources
    ]


def first_step(words: tuple[str, ...]) -> tuple[float, float]:
    """Seconds until the first step is reported, and the peak resident memory of the process in MiB.

    Raises RuntimeError where the run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [*COMMAND, *words, *SETTINGS, f"output_root={folder}"]
        log, seconds, ended, peak = Path(folder) / "log", None, 0, 0.0
        started = time.monotonic()
        with log.open("w") as errors:
            pid = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors).pid
        while not ended:
            peak = max(peak, peak_memory_mib(pid))
            ended, status = os.waitpid(pid, os.WNOHANG)
            if seconds is None and _has_stepped(Path(folder)):
                seconds = time.monotonic() - started
            time.sleep(POLL_SEC)
        if status != 0 or seconds is None:
            raise RuntimeError(f"{' '.join(command)} failed: {log.read_text().strip()}")
        return seconds, peak


def _has_stepped(folder: Path) -> bool:
    return any("train/loss" in report for run in folder.glob("*/*") for report in read_reports(run))
