"""A sweep for the tests of launchers, ended whatever becomes of its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launchers.sweeping import Sweep

StartSweep = Callable[..., Sweep]


@pytest.fixture
def start_sweep(tmp_path: Path) -> Iterator[StartSweep]:
    """`start_sweep("key=value", …)`: the script with `-m`, in this test's own folder."""
    started: list[Sweep] = []

    def start(*words: str, environment: dict[str, str] | None = None) -> Sweep:
        started.append(Sweep(tmp_path, *words, environment=environment))
        return started[-1]

    yield start
    for sweep in started:
        sweep.clean_up()
