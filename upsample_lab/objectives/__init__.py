"""What a training makes small: the reconstruction loss, and the terms that may stand beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class Objective:
    """What a training makes small: named terms, each with its weight.

    `weights` maps a term's name to its weight. The first one, `main`, is what is reported as the loss. A loss of a task
    that is not among them counts as it is.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = dict(weights)
        self.main = next(iter(self.weights))

    def terms(self, model: Autoencoder, raw: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Every term by name, of the model's raw output `[N, C, H, W]` and what is wanted in its place; scalars."""
        return {name: TERMS[name](name, model, raw, target) for name in self.weights}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of named losses."""
        first, *others = (self._weighted(name, loss) for name, loss in losses.items())
        return sum(others, first)

    def _weighted(self, name: str, loss: Tensor) -> Tensor:
        weight = self.weights.get(name, 1)
        return loss if weight == 1 else weight * loss


def objective_of(trainer: TrainerOptions) -> Objective:
    """The objective that the settings of `trainer.` name."""
    weights = {trainer.loss: 1.0}
    if trainer.loss_spectrum > 0:
        weights["spectrum"] = trainer.loss_spectrum
    if trainer.regularize == "phase":
        weights["phase"] = trainer.regularize_weight
    return Objective(weights)


def reconstruction_loss(name: str, model: Autoencoder, raw: Tensor, images: Tensor) -> Tensor:
    """Mean over all pixels of `mse`, `l1` or `bce` between the model's raw output and the images, in float32.

    `bce` starts from the raw output: the logarithm of a sigmoid is exact where that of its rounded value is not.
    """
    if name == "bce":
        return F.binary_cross_entropy_with_logits(raw.float(), images)
    output = model.finish(raw)
    return F.l1_loss(output, images) if name == "l1" else F.mse_loss(output, images)


def _spectrum(name: str, model: Autoencoder, raw: Tensor, images: Tensor) -> Tensor:
    return spectral_loss(model.finish(raw), images)


def _phase(name: str, model: Autoencoder, raw: Tensor, images: Tensor) -> Tensor:
    return phase_penalty(model)


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


TERMS: dict[str, Callable[[str, Autoencoder, Tensor, Tensor], Tensor]] = {
    "mse": reconstruction_loss,
    "l1": reconstruction_loss,
    "bce": reconstruction_loss,
    "spectrum": _spectrum,
    "phase": _phase,
}
