"""The time of an epoch against the number of images, which is a straight line, and memory, which is flat.

Each number of images has a process of its own; the processes take turns, a few steps at a time, so that each of them
sees the same of whatever else the machine does, and an epoch is the sum of its parts. `from the line` is how far
the median lies from the straight line that fits all medians best; `memory beyond the images` is the most memory that
the process ever had, without the bytes of the images themselves.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack
from math import prod

from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import machine, quartiles
from upsample_lab.benchmark.trainings import MNIST_SHAPE
from upsample_lab.benchmark.worker import MEBIBYTE, Answer, Worker

IMAGE_COUNTS = (4_000, 8_000, 12_000, 16_000)
QUICK_COUNTS = (256, 512)
BATCH = 100  # divides every number of images: an epoch reads all of them
WARMUP_STEPS = 5
PARTS = 4  # of the shortest epoch
WORDS = ("conv=native", "upsample=nearest")
FARTHEST = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--repeats", type=int, default=5, help="epochs of the longest (default: %(default)s)")
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGE_COUNTS), help="numbers of images")
    parser.add_argument("--quick", action="store_true", help="short epochs, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Time epochs of several lengths in turns."""
    counts, repeats = (list(QUICK_COUNTS), 1) if arguments.quick else (arguments.images, arguments.repeats)
    answers = measure(counts, repeats)
    medians = {count: statistics.median(each.seconds for each in own) for count, own in answers.items()}
    slope, start = statistics.linear_regression(list(medians), list(medians.values()))
    beyond = {
        count: max(each.peak_mib for each in own) - count * prod(MNIST_SHAPE) / MEBIBYTE
        for count, own in answers.items()
    }
    rows: list[dict[str, str | float]] = []
    for count, own in answers.items():
        low, middle, high = quartiles([each.seconds for each in own])
        rows.append(
            {
                "images": count,
                "epoch_sec": middle,
                "lower quartile": low,
                "upper quartile": high,
                "from the line": f"{middle / (start + slope * count) - 1:+.1%}",
                "memory beyond the images, MiB": round(beyond[count]),
            }
        )
    farthest = max(abs(middle / (start + slope * count) - 1) for count, middle in medians.items())
    growth = max(beyond.values()) / min(beyond.values()) - 1
    summary = [f"Line: {1e6 * slope:.1f} µs an image, and {1e3 * start:+.0f} ms an epoch."]
    goals = [
        Goal("time of an epoch: farthest from a straight line", farthest, FARTHEST, at_most=True),
        Goal("memory beyond the images: growth from few images to many", growth, FARTHEST, at_most=True),
    ]
    return Table(f"Epochs, {', '.join(WORDS)}, batch {BATCH}, {repeats} turns", machine(), rows, summary, goals)


def measure(counts: list[int], repeats: int) -> dict[int, list[Answer]]:
    """Epochs of each number of images, in parts that take turns: ``repeats`` of the longest, and more of the others."""
    part = max(1, min(counts) // BATCH // PARTS)
    turns = repeats * -(-max(counts) // (BATCH * part))
    with ExitStack() as stack:
        words = (*WORDS, f"trainer.batch_size={BATCH}", "trainer.device=cpu")
        workers = {count: stack.enter_context(Worker(count, None, words)) for count in counts}
        for worker in workers.values():
            worker.wait_until_ready()
        for worker in workers.values():
            worker.tell(WARMUP_STEPS)
            worker.answer()
        parts: dict[int, list[Answer]] = {count: [] for count in counts}
        for _ in range(turns):
            for count, worker in workers.items():
                worker.tell(part)
                parts[count].append(worker.answer())
    return {count: epochs_of(own, max(1, count // BATCH // part)) for count, own in parts.items()}


def epochs_of(parts: list[Answer], each: int) -> list[Answer]:
    """Sums of so many parts in a row; what is left over is no epoch, and is left out."""
    starts = range(0, len(parts) - each + 1, each)
    groups = [parts[start : start + each] for start in starts]
    return [Answer(sum(part.seconds for part in group), max(part.peak_mib for part in group)) for group in groups]
