"""The machine that a model runs on: its device, the layout of tensors in its memory, and how it computes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from upsample_lab.conv import has_fast_bf16
from upsample_lab.settings import ConfigError

Module = TypeVar("Module", bound=nn.Module)
MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


class Where(NamedTuple):
    """Device and memory format of a model's images and weights."""

    device: torch.device
    memory_format: torch.memory_format


def choose_device(name: str, key: str = "trainer.device") -> torch.device:
    """The device of a setting; `auto` takes CUDA when there is one. Raises `ConfigError` where it is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = ", ".join(f"cuda:{i}" for i in range(torch.cuda.device_count())) or "no CUDA device"
        raise ConfigError(f"{key}={name}: not on this machine, which has {there}; use {key}=auto")
    return device


def use_threads(count: int | None) -> None:
    """Threads of one operation on the CPU, of this whole process: `trainer.threads`; None leaves them alone."""
    if count is not None:
        torch.set_num_threads(count)


def machine_facts(device: torch.device) -> dict[str, Any]:
    """What a run's capsule keeps of how it was computed."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"threads": torch.get_num_threads(), "device": str(device), "gpu": gpu}


def slow_precision(precision: str, device: torch.device) -> str | None:
    """What to know of a `trainer.precision` that this processor has no units for; None for nothing."""
    if precision != "bf16" or device.type != "cpu" or has_fast_bf16(device):
        return None
    return (
        "trainer.precision=bf16: this processor has no bf16 arithmetic; it is imitated in fp32, with the results of "
        "bf16 but not its speed. trainer.precision=fp32 is faster and more exact here"
    )


def place(model: Module, where: Where) -> Module:
    return model.to(where.device).to(memory_format=where.memory_format)


# ----------------------------------------------------------------------------------------------------------------------
# The same bits again: `trainer.deterministic`

CUBLAS_VARIABLE, CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"  # cuBLAS library, "results reproducibility"


@contextmanager
def reproducibly(deterministic: bool) -> Iterator[None]:
    """PyTorch's switches as `trainer.deterministic` asks, inside; as they were, afterwards.

    An operation without a deterministic kernel then raises, naming itself, instead of giving other bits each time.
    """
    if not deterministic:
        yield
        return
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    workspace = os.environ.get(CUBLAS_VARIABLE)
    os.environ.setdefault(CUBLAS_VARIABLE, CUBLAS_WORKSPACE)  # read when the first handle is made
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop(CUBLAS_VARIABLE, None)


# ----------------------------------------------------------------------------------------------------------------------
# Memory that one step frees and the next one needs again

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_TRIM = 2**31 - 1  # the parameter is an int
LARGEST_MMAP = (1 << 30, 32 << 20)  # the second is the most that glibc before 2.36 takes


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, where its C library is glibc; returns whether it does.

    Features of some megabytes come and go in every step. By default glibc gives such blocks back to the system at once,
    and the system hands them out again page by page, filled with zeros: 15,500 pages a step of the default model,
    a quarter of its time (164 ms of processor time a step with, 123 ms without). What a process holds at its peak
    grows a little with it, by what lies between kept blocks: 1.0 instead of 0.8 GiB with the default model.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_MMAP) and bool(
        mallopt(M_TRIM_THRESHOLD, LARGEST_TRIM)
    )
