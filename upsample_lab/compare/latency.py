"""How long the variants' models take, side by side on this machine. The one part of a comparison that needs torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from upsample_lab.compare.variants import Group
from upsample_lab.config import TrainConfig
from upsample_lab.models import Autoencoder, build_model
from upsample_lab.options import load_option
from upsample_lab.runs.stored_config import read_train_config
from upsample_lab.settings import ConfigError

BATCH = 64
WARMUPS = 2
MAX_ROUNDS = 15
BUDGET_SEC = 20.0  # for all variants together; at least three rounds are made


def measure_latency(groups: Sequence[Group]) -> tuple[dict[str, float], list[str]]:
    """Median milliseconds of one batch of 64 images forward, by variant; a caveat for each that cannot be built.

    PyTorch's own convolutions, float32, on the processor. The variants take turns, so that a slow moment of the machine
    meets all of them alike.
    """
    models: dict[str, tuple[Autoencoder, Tensor]] = {}
    notes = []
    for group in groups:
        try:
            models[group.name] = _model(group)
        except (ConfigError, ValueError, RuntimeError) as error:
            notes.append(f"The latency of {group.name} could not be measured: {str(error).splitlines()[0]}.")
    return _timed(models), notes


def _model(group: Group) -> tuple[Autoencoder, Tensor]:
    config: TrainConfig = read_train_config(group.runs[0].path / "config.yaml")
    data: Any = config.data
    shape = (int(data.channels), int(data.image_size), int(data.image_size))
    model = build_model(config.model, config.upsample, load_option("conv", "native"), shape, config.seed).eval()
    return model, torch.rand(BATCH, *shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _timed(models: Mapping[str, tuple[Autoencoder, Tensor]]) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for model, images in models.values():
        for _ in range(WARMUPS):
            model(images)
    started, rounds = time.perf_counter(), 0
    while models and rounds < MAX_ROUNDS and (rounds < 3 or time.perf_counter() - started < BUDGET_SEC):
        for name, (model, images) in models.items():
            before = time.perf_counter()
            model(images)
            seconds[name].append(time.perf_counter() - before)
        rounds += 1
    return {name: 1e3 * statistics.median(times) for name, times in seconds.items()}
