"""Many short runs in one process, as a sweep makes them, and what the process holds after each.

The test takes twenty; `python -m tests.training.leaks 200` prints what as many as wanted come to.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from tests.conftest import load_script
from tests.training.test_kills import SHORT
from upsample_lab.cli.main import guarded

KINDS = (
    ("upsample=deconv",),
    ("upsample=nearest", "trainer.deterministic=true"),
    ("upsample=carafe", "conv=custom"),
    ("model=mlp", "model.hidden=[8]", "model.widths=[4]"),
)
WARM_UP = 2 * len(KINDS)  # runs until the allocator has what it keeps


class Held(NamedTuple):
    """What a process holds."""

    resident_mb: float
    file_count: int
    thread_count: int


def held_now() -> Held:
    """Of this process, from Linux's /proc, after what is garbage was collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    counts = (len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task"))
    return Held(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, *counts)


def runs(folder: Path, count: int) -> Iterator[Held]:
    """Train `count` runs of two steps, each of its own seed; what is held after each of them."""
    main = load_script("train").main
    for seed, words in enumerate(islice(cycle(KINDS), count)):
        line = [*SHORT, "trainer.max_steps=2", f"output_root={folder}", f"seed={seed}", *words]
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            assert guarded(partial(main, line)) == 0
        yield held_now()


def measure(folder: Path, count: int) -> tuple[Held, Held]:
    """What is held after the warm-up, and after `count` runs more."""
    after = list(runs(folder, WARM_UP + count))
    return after[WARM_UP - 1], after[-1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for number, held in enumerate(runs(Path(place), WARM_UP + int(sys.argv[1])), 1 - WARM_UP):
            if number >= 0 and number % 10 == 0:
                print(f"{number:4} runs after the warm-up: {held}", flush=True)
