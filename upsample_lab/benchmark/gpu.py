"""All that a GPU has to show, in one call: the tests marked `gpu`, an epoch of MNIST's size, folds, our algorithms.

On a machine without one the same code runs on the CPU with less to do, and the title says so.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from upsample_lab.benchmark import conv, fold
from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import machine, quartiles
from upsample_lab.benchmark.trainings import advance, make_training, random_images

ROOT = Path(__file__).parents[2]
BATCH = 128
IMAGE_COUNT = {"cuda": 60_000, "cpu": 2 * BATCH}
WARMUP_STEPS = {"cuda": 50, "cpu": 2}  # where the step is captured in a graph, or compiled, that falls in here
TRAININGS = (
    ("deconv", "fp32", "custom"),
    ("deconv", "fp32", "native"),
    ("deconv", "bf16", "native"),
    ("nearest", "bf16", "native"),
)
EPOCH_SEC, FOLD_SPEEDUP, CUSTOM_RATIO = 0.25, 1.8, 1.5  # on one H200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--repeats", type=int, default=5, help="epochs, and turns of each layer (default: %(default)s)")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    parser.add_argument("--quick", action="store_true", help="once each, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Test, then time epochs, folded and unfolded layers, and our convolutions beside the vendor's."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    repeats = 1 if arguments.quick else arguments.repeats
    rows: list[dict[str, str | float]] = []
    goals: list[Goal] = []
    if not arguments.no_tests:
        rows.append({"what": "tests marked gpu", "figure": run_tests(), "unit": "", "spread": ""})
    for upsample, precision, algorithm in TRAININGS:
        if device == "cpu" and precision == "bf16":
            continue
        seconds = epoch_seconds(upsample, precision, algorithm, device, repeats)
        low, middle, high = quartiles(seconds)
        what = f"epoch of {IMAGE_COUNT[device]:,} images, {upsample}, {precision}, conv={algorithm}"
        rows.append({"what": what, "figure": middle, "unit": "s", "spread": f"{low:.3f}…{high:.3f}"})
        goals += [Goal(f"{what}, seconds", middle, EPOCH_SEC, at_most=True)] if algorithm == "native" else []
    goals += _layers(rows, device, repeats)
    title = "GPU" if device == "cuda" else "No CUDA device: what a GPU has to show, on the CPU, with less to do"
    return Table(title, machine(), rows, [], goals if device == "cuda" else [])


def run_tests() -> str:
    """The last line of pytest; raises RuntimeError where a test fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout}{answer.stderr}")
    return answer.stdout.strip().splitlines()[-1]


def epoch_seconds(upsample: str, precision: str, algorithm: str, device: str, repeats: int) -> list[float]:
    """Seconds of whole epochs, after a warm-up; nothing but the epoch's end waits for the device."""
    words = [f"upsample={upsample}", f"trainer.precision={precision}", f"conv={algorithm}", f"trainer.device={device}"]
    images = random_images(IMAGE_COUNT[device])
    training = make_training([*words, f"trainer.batch_size={BATCH}"], images)
    advance(training, WARMUP_STEPS[device])
    seconds = []
    for _ in range(repeats):
        _wait(device)
        started = time.perf_counter()
        advance(training, training.task.steps_per_epoch)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return seconds


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _layers(rows: list[dict[str, str | float]], device: str, repeats: int) -> list[Goal]:
    """Rows and goals of the layers alone: folded over unfolded, and ours over the vendor's."""
    goals = []
    shared = {"batch": BATCH if device == "cuda" else 8, "repeats": repeats, "quick": False, "device": device}
    shared["dtypes"] = ["fp32", "bf16"] if device == "cuda" else ["fp32"]
    folded = fold.run(argparse.Namespace(**shared, upsamplers=["nearest", "bilinear"], convs=["native"]))
    for name, dtype in sorted({(row["upsampler"], row["type"]) for row in folded.rows}):
        speedups = [float(r["speedup"]) for r in folded.rows if (r["upsampler"], r["type"]) == (name, dtype)]
        mean = statistics.geometric_mean(speedups)
        what = f"{name} folded over unfolded, {dtype}, geometric mean"
        rows.append({"what": what, "figure": mean, "unit": "x", "spread": _range(speedups)})
        goals += [Goal(what, mean, FOLD_SPEEDUP)] if name == "nearest" else []
    measured = conv.run(argparse.Namespace(**shared, algorithms=["custom"]))
    for dtype in sorted({str(row["type"]) for row in measured.rows}):
        ratios = [float(row["ratio"]) for row in measured.rows if row["type"] == dtype]
        middle = statistics.median(ratios)
        what = f"custom convolution over the vendor's time, {dtype}, median over the shapes"
        rows.append({"what": what, "figure": middle, "unit": "x", "spread": _range(ratios)})
        goals.append(Goal(what, middle, CUSTOM_RATIO, at_most=True))
    return goals


def _range(values: list[float]) -> str:
    return f"{min(values):.2f}…{max(values):.2f}"
