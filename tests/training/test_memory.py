"""Freed memory is kept for the next step."""

from __future__ import annotations

import subprocess
import sys

import pytest

from upsample_lab import device as memory

pytestmark = pytest.mark.process

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_the_second_use_of_memory_costs_no_page_faults() -> None:
    kept, count = faults("keep")
    if not kept:
        pytest.skip("not glibc")
    assert count < 0.1 * faults("leave")[1]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.keep_freed_memory() is False
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
