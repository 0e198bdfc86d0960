"""How long a training is, its learning rate, and when it reports and validates: pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from upsample_lab.options.optim import OptimOptions
from upsample_lab.options.trainer import TrainerOptions


@dataclass(frozen=True)
class Schedule:
    """What happens at which step of one training."""

    trainer: TrainerOptions
    optim: OptimOptions
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return total_steps(self.trainer, self.steps_per_epoch)

    def rate(self, step: int) -> float:
        """The learning rate of the step that follows `step` finished ones."""
        return learning_rate(self.optim, step / self.steps)

    def reports_at(self, step: int) -> bool:
        return step % self.trainer.log_every_steps == 0 or step == self.steps

    def validates_at(self, step: int) -> bool:
        """Whether a validation follows `step` finished steps: after every few epochs, every few steps, at the end."""
        every = self.trainer.validate_every_steps
        by_steps = every is not None and step % every == 0
        return by_steps or step == self.steps or step % (self.trainer.validate_every_epochs * self.steps_per_epoch) == 0

    def saves_at(self, step: int) -> bool:
        every = self.trainer.checkpoint_every_steps
        return every is not None and step % every == 0


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
