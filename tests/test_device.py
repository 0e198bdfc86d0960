"""Threads and freed memory of a run, and what is said of a number type that the processor cannot compute with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from upsample_lab import device
from upsample_lab.device import slow_precision, use_threads


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_are_set_only_where_given() -> None:
    use_threads(3)
    assert torch.get_num_threads() == 3
    use_threads(None)
    assert torch.get_num_threads() == 3


def test_a_run_takes_the_threads_of_its_configuration(train: Callable[..., int]) -> None:
    assert train("trainer.threads=1", "trainer.max_steps=1") == 0
    assert torch.get_num_threads() == 1


def test_no_threads_are_a_mistake(train: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert train("trainer.threads=0") == 2
    assert "trainer.threads=0" in capsys.readouterr().err


@pytest.mark.parametrize("has_units", [True, False])
def test_bf16_without_units_for_it_is_told(has_units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_fast_bf16", lambda _: has_units)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert slow_precision("fp32", cpu) is None
    assert slow_precision("bf16", cuda) is None
    told = slow_precision("bf16", cpu)
    assert (told is None) == has_units
    assert has_units or "trainer.precision=bf16" in str(told)


FAULTS = """
import resource, sys, torch
from upsample_lab.device import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
torch.set_num_threads(1)
for number in range(10):
    if number == 8:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    several = [torch.ones(12_000_000) for _ in range(3)]  # 48 MB each: more than glibc ever keeps by itself
    del several
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept == "1", int(count)


@pytest.mark.process
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_the_second_use_of_memory_costs_no_page_faults() -> None:
    kept, count = faults("keep")
    if not kept:
        pytest.skip("not glibc")
    assert count < 0.1 * faults("leave")[1]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: object())
    assert device.keep_freed_memory() is False
    monkeypatch.setattr(device.sys, "platform", "darwin")
    assert device.keep_freed_memory() is False
