"""Many small trainings: two side by side with one thread each, against one after the other with all threads.

The trainings are processes of their own, as in a sweep, and take turns: first both of one thread together, then the one
of two threads as many steps. `gain` is the median over the rounds of the images a second of the pair over those of the
one.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack

from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import machine, quartiles
from upsample_lab.benchmark.worker import Worker

BATCH = 128
IMAGE_COUNT = 2_000
WARMUP_STEPS = 3
SIDE_BY_SIDE = 2
LEAST_GAIN = 1.6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--repeats", type=int, default=9, help="turns (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=15, help="steps of each training a turn (default: %(default)s)")
    parser.add_argument("--convs", nargs="+", default=["native", "custom"], help="algorithms (default: both)")
    parser.add_argument("--quick", action="store_true", help="one short turn, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Time pairs and single trainings in turns."""
    repeats, steps = (1, 2) if arguments.quick else (arguments.repeats, arguments.steps)
    rows: list[dict[str, str | float]] = []
    goals = []
    for conv in arguments.convs:
        pair, single = measure(conv, repeats, steps)
        gain = statistics.median(p / s for p, s in zip(pair, single, strict=True))
        for name, speeds in (("side by side, 1 thread each", pair), ("one after the other, 2 threads", single)):
            low, middle, high = quartiles(speeds)
            row: dict[str, str | float] = {"conv": conv, "way": name, "images/s": middle}
            row |= {"lower quartile": low, "upper quartile": high, "gain": gain if speeds is pair else 1.0}
            rows.append(row)
        if conv == "native":
            goals.append(Goal("two trainings side by side over one after the other, images/s", gain, LEAST_GAIN))
    title = f"Trainings of the default model side by side, batch {BATCH}, {repeats} turns of {steps} steps"
    return Table(title, machine(), rows, [], goals)


def measure(conv: str, repeats: int, steps: int) -> tuple[list[float], list[float]]:
    """Images a second of the pair together, and of the training with two threads; a number a turn."""
    words = (f"conv={conv}", f"trainer.batch_size={BATCH}", "trainer.device=cpu")
    with ExitStack() as stack:
        pair = [stack.enter_context(Worker(IMAGE_COUNT, 1, words)) for _ in range(SIDE_BY_SIDE)]
        single = [stack.enter_context(Worker(IMAGE_COUNT, SIDE_BY_SIDE, words))]
        for worker in (*pair, *single):
            worker.wait_until_ready()
        for together in (pair, single):
            _seconds(together, WARMUP_STEPS)
        speeds: dict[str, list[float]] = {"pair": [], "single": []}
        for _ in range(repeats):
            speeds["pair"].append(SIDE_BY_SIDE * steps * BATCH / _seconds(pair, steps))
            speeds["single"].append(steps * BATCH / _seconds(single, steps))
    return speeds["pair"], speeds["single"]


def _seconds(together: list[Worker], steps: int) -> float:
    """Until the last of them has made its steps."""
    for worker in together:
        worker.tell(steps)
    return max(worker.answer().seconds for worker in together)
