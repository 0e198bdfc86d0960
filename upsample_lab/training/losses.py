"""What a training step makes small: the reconstruction loss, and the terms that may stand beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.config import TrainerOptions
from upsample_lab.conv import ConvTranspose2d
from upsample_lab.metrics import phase_gain_penalty, spectral_loss
from upsample_lab.models import Autoencoder
from upsample_lab.upsamplers.pixel_shuffle import PixelShuffle


def objective(trainer: TrainerOptions, model: Autoencoder, raw: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """The quantity that is minimised, and the reconstruction loss alone, which is what is reported."""
    loss = reconstruction_loss(trainer.loss, model, raw, images)
    total = loss
    if trainer.loss_spectrum > 0:
        total = total + trainer.loss_spectrum * spectral_loss(model.finish(raw), images)
    if trainer.regularize == "phase":
        total = total + trainer.regularize_weight * phase_penalty(model)
    return total, loss


def reconstruction_loss(name: str, model: Autoencoder, raw: Tensor, images: Tensor) -> Tensor:
    """Mean over all pixels of `mse`, `l1` or `bce` between the model's raw output and the images, in float32.

    `bce` starts from the raw output: the logarithm of a sigmoid is exact where that of its rounded value is not.
    """
    if name == "bce":
        return F.binary_cross_entropy_with_logits(raw.float(), images)
    output = model.finish(raw)
    return F.l1_loss(output, images) if name == "l1" else F.mse_loss(output, images)


def phase_penalty(model: nn.Module) -> Tensor:
    """The sum of `phase_gain_penalty` over the learned upsampling kernels of a model; 0 where it has none.

    Those are the kernels of transposed convolutions with a stride and of sub-pixel convolutions. All others resize by
    a rule whose phases gain equally already.
    """
    penalties = []
    for module in model.modules():
        if isinstance(module, PixelShuffle):
            penalties.append(phase_gain_penalty(module.conv.weight, module.scale, kind="pixel_shuffle"))
        elif isinstance(module, ConvTranspose2d) and module.stride[0] > 1:
            penalties.append(phase_gain_penalty(module.weight, module.stride[0]))
    return torch.stack(penalties).sum() if penalties else torch.zeros(())
