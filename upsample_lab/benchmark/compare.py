"""How long a comparison of many runs takes, and its memory: the real command on made-up run directories."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from upsample_lab.benchmark.synthetic_runs import write_experiment
from upsample_lab.benchmark.table import Table
from upsample_lab.benchmark.timing import machine, peak_memory_mib

COMMAND = (sys.executable, "-m", "upsample_lab", "compare")
TEST_IMAGES = 2000
POLL_SEC = 0.02


@dataclass(frozen=True)
class CompareRow:
    """One measured comparison."""

    runs: str
    seconds: float  # of the whole command, median over the rounds
    processor_sec: float
    peak_memory_mib: float  # largest resident memory in any round


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--variants", type=int, default=200, help="configurations (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="comparisons (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few runs and once, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Write the runs, then compare them several times, without the report's figures."""
    variants, seeds, repeats = arguments.variants, arguments.seeds, arguments.repeats
    if arguments.quick:
        variants, seeds, repeats = 3, 2, 1
    with tempfile.TemporaryDirectory() as folder:
        write_experiment(Path(folder), "many", different(variants), range(seeds), image_count=TEST_IMAGES)
        rows = [measure(Path(folder), f"{variants} x {seeds} seeds", repeats)]
    summary = [f"{variants * seeds:,} runs are compared in {rows[0].seconds:.1f} s."]
    return Table("Comparing many runs", machine(), [asdict(row) for row in rows], summary)


def different(count: int) -> list[list[str]]:
    """Words of `count` configurations: kernel sizes and widths of two upsamplers."""
    words = []
    for number in range(count):
        upsample, kernel, width = number % 2, number // 2 % 4, number // 8
        chosen = [f"upsample={('deconv', 'bilinear')[upsample]}", f"upsample.kernel_size={(3, 5, 7, 9)[kernel]}"]
        chosen = [word.replace("=9", "=8") for word in chosen] if upsample == 0 else chosen
        words.append(["data=glyphs", *chosen, f"model.widths=[{8 + width},16]"])
    return words


def measure(output_root: Path, name: str, rounds: int) -> CompareRow:
    """Compare the runs below `output_root/many`. Raises RuntimeError where that fails."""
    command = [*COMMAND, "experiment=many", f"output_root={output_root}", "latency=false"]
    times, busy, memory = [], [], []
    for _ in range(rounds):
        log, started = output_root / "log", time.monotonic()
        with log.open("w") as screen:
            pid = subprocess.Popen([*command, "report=false"], stdout=screen, stderr=screen).pid
            ended, peak = 0, 0.0
            while not ended:
                peak = max(peak, peak_memory_mib(pid))
                ended, status, usage = os.wait4(pid, os.WNOHANG)  # what the kernel says of this child alone
                time.sleep(POLL_SEC)
        if status != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {log.read_text().strip()}")
        times.append(time.monotonic() - started)
        busy.append(usage.ru_utime + usage.ru_stime)
        memory.append(peak)
    middle = rounds // 2
    return CompareRow(name, sorted(times)[middle], sorted(busy)[middle], max(memory))
