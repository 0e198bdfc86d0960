"""Where a model lives: its device, and the layout of its images and weights in memory."""

from __future__ import annotations

from typing import NamedTuple

import torch

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


def place(model: Autoencoder, where: Where) -> Autoencoder:
    return model.to(where.device).to(memory_format=where.memory_format)
