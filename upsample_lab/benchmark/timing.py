"""Fair timing: the candidates take turns within one run, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from upsample_lab.training.capsule import processor_name


def interleaved_ms(
    candidates: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 3
) -> dict[str, list[float]]:
    """Milliseconds of each call, `repeats` of them a candidate, taken in turns after ``warmup`` rounds."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for round_index in range(warmup + repeats):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_index >= warmup:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def median_ratio(times_ms: list[float], base_ms: list[float]) -> float:
    """Median over the rounds of one candidate's time over the other's in the same round."""
    return statistics.median(a / b for a, b in zip(times_ms, base_ms, strict=True))


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": processor_name(),
        "threads": str(torch.get_num_threads()),
        "gpu": gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
