"""Many small trainings: two side by side with one thread each, against one after the other with one thread or two.

The trainings are processes of their own, as in a sweep, and take turns: first both of one thread together, then one of
them alone, then one with two threads. `pair over this` is the median over the rounds of the images a second of the pair
over those of the one. Over one of one thread it says what the second core brings; over one of two threads, how much
better two runs use two cores than the threads of one run do, which is little where one run uses them well.
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
SIDE, ALONE, WIDE = "side by side, 1 thread each", "one after the other, 1 thread", "one after the other, 2 threads"


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
        speeds = measure(conv, repeats, steps)
        pair = speeds[SIDE]
        for name, own in speeds.items():
            gain = statistics.median(p / s for p, s in zip(pair, own, strict=True))
            low, middle, high = quartiles(own)
            row: dict[str, str | float] = {"conv": conv, "way": name, "images/s": middle}
            rows.append(row | {"lower quartile": low, "upper quartile": high, "pair over this": gain})
            if conv == "native" and name != SIDE:
                goals.append(Goal(f"two trainings side by side over {name}, images/s", gain, LEAST_GAIN))
    title = f"Trainings of the default model side by side, batch {BATCH}, {repeats} turns of {steps} steps"
    return Table(title, machine(), rows, [], goals)


def measure(conv: str, repeats: int, steps: int) -> dict[str, list[float]]:
    """Images a second of each way, a number a turn."""
    words = (f"conv={conv}", f"trainer.batch_size={BATCH}", "trainer.device=cpu")
    with ExitStack() as stack:
        pair = [stack.enter_context(Worker(IMAGE_COUNT, 1, words)) for _ in range(SIDE_BY_SIDE)]
        wide = stack.enter_context(Worker(IMAGE_COUNT, SIDE_BY_SIDE, words))
        ways = {SIDE: pair, ALONE: pair[:1], WIDE: [wide]}
        for worker in (*pair, wide):
            worker.wait_until_ready()
        for together in ways.values():
            _seconds(together, WARMUP_STEPS)
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, together in ways.items():
                speeds[name].append(len(together) * steps * BATCH / _seconds(together, steps))
    return speeds


def _seconds(together: list[Worker], steps: int) -> float:
    """Until the last of them has made its steps."""
    for worker in together:
        worker.tell(steps)
    return max(worker.answer().seconds for worker in together)
