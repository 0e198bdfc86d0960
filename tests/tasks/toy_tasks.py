"""Two tasks that the package knows nothing of: one player and a figure where less is better; and two players."""

from __future__ import annotations

import os
import signal

import torch
from torch import nn

from upsample_lab.catalogue import Metric
from upsample_lab.data import BatchLoader, eval_batches
from upsample_lab.registry import register
from upsample_lab.tasks import Batch, Findings, Task


def error_of_negatives(task, models, split, draw):
    """The mean absolute error against the negative."""
    images = task.setting.images.test if split == "test" else task.setting.images.validation
    model, total = models["model"].eval(), 0.0
    with torch.no_grad():
        for batch in eval_batches(images, 256, **task.setting.where._asdict()):
            output = model(batch)
            total += (output - (1 - batch)).abs().mean((1, 2, 3)).double().sum().item()
    model.train()
    picture = (output[0, 0].clamp(0, 1) * 255).byte()[:, :, None].expand(-1, -1, 3).numpy()
    return Findings({f"{split}/mae": total / len(images)}, {"negatives": picture} if draw else {})


@register("task", "negative")
class Negative(Task):
    """an image goes in, and its negative is wanted"""

    best = "mae"
    metrics = (Metric("mae", "mean absolute error", "", False, 4, 0.001),)
    evaluators = (error_of_negatives,)
    saved_picture = "negatives"

    def __init__(self, setting):
        super().__init__(setting)
        self.loader = BatchLoader(setting.images.train, setting.batch_size, setting.seed, **setting.where._asdict())
        self.steps_per_epoch, self.batch_size = self.loader.steps_per_epoch, self.loader.batch_size

    def batch(self, step):
        images = self.loader.batch(step)
        return Batch(images, 1 - images)

    def losses(self, models, batch, player):
        with self.setting.autocast():
            raw = models[player].raw(batch.input)
        return self.setting.objective.terms(models[player], raw, batch.target)


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
