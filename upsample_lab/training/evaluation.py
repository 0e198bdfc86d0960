"""A model's figures on a set of images."""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.data import eval_batches
from upsample_lab.metrics import QualityMeter
from upsample_lab.models import Autoencoder
from upsample_lab.training.losses import reconstruction_loss

EVALUATION_BATCH = 256


@torch.no_grad()
def evaluate(model: Autoencoder, images: Tensor, *, loss: str, period: int, device: torch.device) -> dict[str, float]:
    """Loss, PSNR, SSIM and the residual's phase variance, exact over all `images` (uint8 `[N, C, H, W]`), in float32.

    `period` is that of the phases, in pixels: the decoder's whole factor, so that no stage's checkerboard is missed.
    The model's training mode is put back afterwards.
    """
    was_training = model.training
    model.eval()
    meter = QualityMeter(period)
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    for batch in eval_batches(images, EVALUATION_BATCH, device):
        raw = model.raw(batch)
        meter.update(model.finish(raw), batch)
        loss_sum += reconstruction_loss(loss, model, raw, batch).double() * len(batch)
    model.train(was_training)
    return {"loss": loss_sum.item() / len(images), **meter.compute()}
