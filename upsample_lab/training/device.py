"""Where a model lives: its device, and the layout of its images and weights in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from upsample_lab.conv import has_fast_bf16
from upsample_lab.models import Autoencoder
from upsample_lab.settings import ConfigError

MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


class Where(NamedTuple):
    """Device and memory format of a model's images and weights."""

    device: torch.device
    memory_format: torch.memory_format


def choose_device(name: str) -> torch.device:
    """The device of `trainer.device`; `auto` takes CUDA when there is one. Raises `ConfigError` where it is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"trainer.device={name}: this machine has {count} CUDA devices; use auto or cpu")
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


def place(model: Autoencoder, where: Where) -> Autoencoder:
    return model.to(where.device).to(memory_format=where.memory_format)
