"""Figures of the steps since the last report, kept on the device so that no step waits for their values."""

from __future__ import annotations

import torch
from torch import Tensor


class TrainingFailed(Exception):
    """The training cannot go on: its numbers are no longer finite. The message is one line."""


class NotFinite(TrainingFailed):
    """Loss or gradient of `step`, counted from 0, is NaN or infinite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"loss or gradient is not finite at step {step + 1}")
        self.step = step

    def __reduce__(self) -> tuple[type[NotFinite], tuple[int]]:
        return NotFinite, (self.step,)  # as it travels from one process of a run to the others


class Sums:
    """Sums of loss and gradient norm, the number of steps, and the first step whose loss or gradient was not finite."""

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(4, dtype=torch.float64, device=device)
        self.reset()

    def reset(self) -> None:
        self.values.copy_(torch.tensor([0.0, 0.0, 0.0, -1.0]))

    def add(self, step: int, loss: Tensor, grad_norm: Tensor) -> None:
        figures = torch.stack([loss.detach(), grad_norm]).double()
        self.values[:2] += figures
        self.values[2] += 1
        is_first = ~figures.isfinite().all() & (self.values[3] < 0)
        self.values[3] = torch.where(is_first, float(step), self.values[3])

    def check(self) -> None:
        """Wait for the device; raises `NotFinite` for a step that was added since the last reset."""
        bad_step = int(self.values[3].item())
        if bad_step >= 0:
            raise NotFinite(bad_step)

    def take(self) -> dict[str, float]:
        """Means since the last call; waits for the device. Raises `NotFinite`."""
        self.check()
        loss, grad_norm, steps, _ = self.values.tolist()
        self.reset()
        return {"train/loss": loss / steps, "optim/grad_norm": grad_norm / steps}
