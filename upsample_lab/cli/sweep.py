"""Many runs by one command: the whole grid is checked first, then Hydra's sweeper and launcher run it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import hydra

from upsample_lab.compose import compose_unchecked, own_config_words, prepared, value_word
from upsample_lab.config import TrainConfig
from upsample_lab.settings import CONFIG_DIR

MULTIRUN_FLAGS = ("-m", "--multirun")
INFORMATIONAL_FLAGS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc")
SAVING_TIMEOUT_SEC = 60.0  # for the step in hand and a checkpoint, on a machine that is busy


def informs(config_name: str, words: Sequence[str]) -> bool:
    """Whether the words ask Hydra for information, such as `--cfg job`, and not for a run.

    Settings among them are checked first, so that a mistake is told as it always is. Raises `ConfigError`.
    """
    if not any(word.split("=")[0] in INFORMATIONAL_FLAGS for word in words):
        return False
    settings = prepared(words)  # which takes the flags that name configurations of the user's
    compose_unchecked(config_name, [word for word in settings if "=" in word and not word.startswith("-")])
    return True


def launch(config_name: str, task: Callable[[Any], Any], words: Sequence[str], *, multirun: bool) -> None:
    """Hand the command line to Hydra: its sweeper, whichever launcher is chosen, its own informational flags.

    Whatever goes wrong in them is raised as it is.
    """
    flags = ["--multirun"] if multirun else []
    words = prepared(words)
    settings = [word for word in words if "=" in word and not word.startswith("-")]
    flags += [word for word in words if word not in settings]  # first: argparse takes no settings on both sides of one
    arguments, sys.argv = sys.argv, [sys.argv[0], *flags, *own_config_words(), *settings]
    try:
        with _errors_raised():
            hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)(task)()
    finally:
        sys.argv = arguments


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Let Hydra raise errors, which it otherwise prints with their traceback before it ends the process."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def fixed_places(grid: Sequence[TrainConfig]) -> list[str]:
    """Words that make folders absolute, for jobs in another process or machine, whose working directory may differ.

    A folder in which the runs of the grid differ is left as it is.
    """
    roots: set[str | None] = {config.output_root for config in grid}
    data_roots: set[str | None] = {getattr(config.data, "root", None) for config in grid}
    places = (("output_root", roots), ("data.root", data_roots))
    shared = [(key, next(iter(values))) for key, values in places if len(values) == 1]
    return [f"{key}={value_word(str(Path(place).absolute()))}" for key, place in shared if place is not None]


class StoppingWorkers:
    """`with StoppingWorkers():` — Ctrl-C and SIGTERM end this process and leave no worker of it behind.

    The workers are asked to stop, so that they save the runs that they have in hand, and are waited for; a second
    signal, or `SAVING_TIMEOUT_SEC`, ends them as they are, as joblib does once the first of them has ended.
    Raises `SystemExit` with 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StoppingWorkers:
        self._previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        workers = multiprocessing.active_children()
        if not self._asked:
            self._asked = True
            for worker in workers:
                worker.terminate()
            deadline = time.monotonic() + SAVING_TIMEOUT_SEC
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
        for worker in workers:
            if worker.is_alive() and worker.pid is not None:
                os.kill(worker.pid, signal.SIGKILL)  # joblib's have no kill()
        raise SystemExit(128 + number)
