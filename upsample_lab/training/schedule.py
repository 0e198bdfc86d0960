"""How long a training is, and its learning rate: pure functions of the configuration and the step."""

from __future__ import annotations

import math

from upsample_lab.options.optim import OptimOptions
from upsample_lab.options.trainer import TrainerOptions


def total_steps(trainer: TrainerOptions, steps_per_epoch: int) -> int:
    """Steps of the whole training: its epochs, cut off at `max_steps`."""
    steps = trainer.epochs * steps_per_epoch
    return min(steps, trainer.max_steps) if trainer.max_steps is not None else steps


def learning_rate(optim: OptimOptions, progress: float) -> float:
    """The rate at `progress` in [0, 1): linear warm-up over `warmup_fraction`, then constant or half a cosine to 0."""
    if progress < optim.warmup_fraction:
        return optim.lr * progress / optim.warmup_fraction
    if optim.schedule == "constant":
        return optim.lr
    after_warmup = (progress - optim.warmup_fraction) / (1 - optim.warmup_fraction)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * after_warmup))


def validates_at(step: int, trainer: TrainerOptions, steps_per_epoch: int, last_step: int) -> bool:
    """Whether a validation follows `step` finished steps: after every few epochs, every few steps, and at the end."""
    by_steps = trainer.validate_every_steps is not None and step % trainer.validate_every_steps == 0
    return by_steps or step == last_step or step % (trainer.validate_every_epochs * steps_per_epoch) == 0
