"""Real trainings to be timed: the package's own `Training`, its own step, images of random bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from upsample_lab.compose import compose_one
from upsample_lab.config import TrainConfig
from upsample_lab.data import ImageSets
from upsample_lab.device import MEMORY_FORMATS, Where, choose_device
from upsample_lab.training.loop import build
from upsample_lab.training.state import Training

MNIST_SHAPE = (1, 28, 28)
HELD_OUT = 64  # validation and test images: none of them is looked at here
ENDLESS = ("optim.schedule=constant", "trainer.epochs=1000000", "data.fallback=null")
"""A training that never ends, at one learning rate."""


def random_images(count: int, shape: tuple[int, int, int] = MNIST_SHAPE) -> torch.Tensor:
    """uint8 `[count, *shape]`: no speed depends on the values."""
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def make_config(words: Sequence[str]) -> TrainConfig:
    """The configuration of an endless training; ``words`` as on the command line of `scripts/train.py`."""
    config: TrainConfig = compose_one("train", [*ENDLESS, *words])
    return config


def make_training(words: Sequence[str], images: torch.Tensor) -> Training:
    """A training at its first step."""
    config = make_config(words)
    where = Where(choose_device(config.trainer.device), MEMORY_FORMATS[config.trainer.memory_format])
    sets = ImageSets("random", images, images[:HELD_OUT], images[:HELD_OUT])
    return build(config, sets, where)


def advance(training: Training, steps: int) -> None:
    """So many steps of the training loop, as `Training.run` makes them between two reports."""
    for _ in range(steps):
        training.step()
        training.progress.step += 1
