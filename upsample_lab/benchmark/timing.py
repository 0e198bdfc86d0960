"""Fair timing: the candidates take turns within one run, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from upsample_lab.conv import has_fast_bf16
from upsample_lab.runs.provenance import processor_name

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


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


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile: how far apart the rounds lie."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def usable_dtypes(device: str) -> list[str]:
    """The number types that the device computes in hardware: bf16 without it is hundreds of times slower."""
    return [name for name in DTYPES if name == "fp32" or has_fast_bf16(torch.device(device))]


def left_out(dtypes: list[str], device: str) -> list[str]:
    """A line for the table where bf16 was not measured since the processor has no units for it."""
    if "bf16" in dtypes or has_fast_bf16(torch.device(device)):
        return []
    return ["bf16 is left out: this processor has no units for it (`--dtypes fp32 bf16` measures it all the same)."]


def peak_memory_mib(process: int | str = "self") -> float:
    """Largest resident memory of a process so far, in MiB; 0 where the kernel does not tell, as of one that has ended.

    Not `getrusage`'s: that of a child begins with what its parent had when it was started, 1.5 GiB of other suites.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def machine() -> dict[str, str]:
    """What the figures were measured on, and how busy it was with other work."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": processor_name(),
        "vector units": torch.backends.cpu.get_cpu_capability(),
        "bf16 units": "yes" if has_fast_bf16(torch.device("cpu")) else "no",
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "gpu": gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
