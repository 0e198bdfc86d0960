"""A task with two players, over the one of docs/tasks.md, which the test writes beside this file as `my_tasks.py`."""

from __future__ import annotations

import os
import signal

import torch
from my_tasks import Negative
from torch import nn

from upsample_lab.registry import register


class Judge(nn.Module):
    """Real or made: one number an image."""

    def __init__(self, channels):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(channels, 4, 3, stride=2), nn.Linear(4, 1)

    def forward(self, images):
        return self.linear(self.conv(images).relu().mean((2, 3)))


@register("task", "duel")
class Duel(Negative):
    """the same, with a second player that tells negatives from what was made"""

    def models(self, build):
        torch.manual_seed(self.setting.seed)
        return {**super().models(build), "judge": Judge(self.setting.images.image_shape[0])}

    def batch(self, step):
        if str(step) == os.environ.get("STOP_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step)

    def losses(self, models, batch, player):
        made = models["model"](batch.input)
        bce = nn.functional.binary_cross_entropy_with_logits
        if player == "judge":
            real, fake = models["judge"](batch.target), models["judge"](made.detach())
            return {"judge": bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))}
        verdict = models["judge"](made)
        adversarial = bce(verdict, torch.ones_like(verdict))
        return {"mse": (made - batch.target).square().mean(), "adversarial": 0.1 * adversarial}
