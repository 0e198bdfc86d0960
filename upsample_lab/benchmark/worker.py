"""A training in a process of its own, that makes steps when it is told to.

The process is started with `python -m upsample_lab.benchmark.worker IMAGES WORD…` (the words of
`scripts/train.py`). It prints `ready`, then reads numbers of steps, a line each, makes them, and answers with a line of
JSON: the seconds that they took, and the process's memory. It ends with its input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, NamedTuple

MEBIBYTE = 1 << 20


class Answer(NamedTuple):
    """What a process says of its steps."""

    seconds: float
    peak_mib: float  # the most memory that it ever had


class Worker:
    """The process, seen from outside; a context manager that ends it."""

    def __init__(self, image_count: int, threads: int | None, words: Sequence[str]) -> None:
        command = [sys.executable, "-m", __name__, str(image_count), *words]
        environment = {**os.environ}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._process.wait()
        self._output.close()

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def wait_until_ready(self) -> None:
        """Raises RuntimeError where the process ended instead."""
        self._read()

    def tell(self, steps: int) -> None:
        """Make so many steps; `answer` waits for them."""
        self._input.write(f"{steps}\n")
        self._input.flush()

    def answer(self) -> Answer:
        """What came of the last `tell`."""
        return Answer(**json.loads(self._read()))

    def _read(self) -> str:
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"a training of the benchmark ended with status {self._process.wait()}")
        return line


def main() -> None:
    from upsample_lab.benchmark.timing import peak_memory_mib
    from upsample_lab.benchmark.trainings import advance, make_training, random_images

    image_count, *words = sys.argv[1:]
    training = make_training(words, random_images(int(image_count)))
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        advance(training, int(line))
        training.sums.values.sum().item()  # waits for the device
        seconds = time.perf_counter() - started
        print(json.dumps(Answer(seconds, peak_memory_mib())._asdict()), flush=True)


if __name__ == "__main__":
    main()
