"""What a training step makes small: the reconstruction loss, and the terms that may stand beside it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv import applied_weight
from upsample_lab.metrics import phase_gain_penalty, spectral_loss
from upsample_lab.models import Autoencoder
from upsample_lab.options.trainer import TrainerOptions
from upsample_lab.upsamplers.deconv import Deconv
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

    Those are the kernels that are applied (`applied_weight`) by transposed convolutions with a stride, ours or not, and
    by sub-pixel convolutions: ours, and an `nn.PixelShuffle` right after its convolution in an `nn.Sequential`. All
    other layers of ours resize by a rule whose phases gain equally already.

    Raises ValueError, with one line that names the layer, where a layer has such kernels and they cannot be told.
    """
    penalties, fed = [], set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Sequential):
            for before, shuffle in pairwise(module):
                if isinstance(shuffle, nn.PixelShuffle) and isinstance(before, nn.Conv2d):
                    penalties.append(_shuffled_penalty(before, shuffle.upscale_factor))
                    fed.add(shuffle)
        elif isinstance(module, PixelShuffle):
            _check_kind(f"{name}.conv", module.conv, nn.Conv2d)
            penalties.append(_shuffled_penalty(module.conv, module.scale))
        elif isinstance(module, Deconv):
            _check_kind(f"{name}.conv", module.conv, nn.ConvTranspose2d)
        elif isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d) and max(module.stride) > 1:
            penalties.append(_transposed_penalty(module))
        elif isinstance(module, nn.ConvTranspose3d) and max(module.stride) > 1:
            raise ValueError(f"{name}: the phases of a ConvTranspose3d are not penalised; use trainer.regularize=none")
    for name, module in model.named_modules():
        if isinstance(module, nn.PixelShuffle) and module.upscale_factor > 1 and module not in fed:
            raise ValueError(
                f"{name}: cannot tell which convolution this nn.PixelShuffle follows, to penalise its phases; put the "
                "two side by side into an nn.Sequential"
            )
    return torch.stack(penalties).sum() if penalties else torch.zeros(())


def _shuffled_penalty(conv: nn.Module, scale: int) -> Tensor:
    return phase_gain_penalty(applied_weight(conv), scale, kind="pixel_shuffle") if scale > 1 else torch.zeros(())


def _transposed_penalty(conv: nn.ConvTranspose1d | nn.ConvTranspose2d) -> Tensor:
    """Tap t of a kernel with dilation d is tap d·t of one without, with zeros in between."""
    weight, stride, dilation = applied_weight(conv), tuple(conv.stride), tuple(conv.dilation)
    if weight.ndim == 3:
        weight, stride, dilation = weight[:, :, None], (1, *stride), (1, *dilation)
    for axis, step in zip((2, 3), dilation, strict=True):
        spread = weight.unsqueeze(axis + 1)
        zeros = torch.zeros_like(spread).repeat_interleave(step - 1, axis + 1)
        weight = torch.cat((spread, zeros), axis + 1).flatten(axis, axis + 1)
    return phase_gain_penalty(weight, (stride[0], stride[1]))


def _check_kind(name: str, module: nn.Module, kind: type[nn.Module]) -> None:
    if not isinstance(module, kind):
        raise ValueError(
            f"{name}: cannot tell which kernel this {type(module).__name__}, put in the place of a {kind.__name__}, "
            "applies, to penalise its phases; use trainer.regularize=none"
        )
