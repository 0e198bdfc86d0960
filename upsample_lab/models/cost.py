"""What a model costs, counted: multiply-accumulates of a forward pass, and the parameters of its decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from upsample_lab.models.base import Autoencoder
from upsample_lab.upsamplers import Upsampler

ENCODER_PARTS = ("encoder.", "to_latent.")


def decoder_parameter_count(model: Autoencoder) -> int:
    """Parameters of everything after the latent."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(ENCODER_PARTS))


@torch.no_grad()
def macs_per_image(model: Autoencoder, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image `(C, H, W)`, forward through the whole model.

    Upsamplers count by their own formula, a convolution by `positions · weights` (products with its zero padding
    included, as in all counters of the field), a linear layer by its weights. Norms, activations and pooling count
    none. So the figure is that of the method: no algorithm or library that computes it changes it.
    """
    counts: list[int] = []
    hooks = [module.register_forward_hook(_counting(counts)) for module in _counted(model)]
    parameter, was_training = next(model.parameters()), model.training
    try:
        model.eval()
        model(torch.zeros(1, *image_shape, dtype=parameter.dtype, device=parameter.device))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return sum(counts)


def _counted(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that count, each once: what is inside an upsampler is in its formula."""
    if isinstance(module, Upsampler | nn.Conv2d | nn.Linear):
        yield module
        return
    for child in module.children():
        yield from _counted(child)


def _counting(counts: list[int]) -> Any:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        counts.append(_macs(module, inputs[0], output))

    return hook


def _macs(module: nn.Module, input: Tensor, output: Tensor) -> int:
    if isinstance(module, Upsampler):
        height, width = input.shape[-2:]
        return round(module.macs_per_pixel(height, width) * output.shape[-2] * output.shape[-1])
    weight = module.weight
    assert isinstance(weight, Tensor)
    if isinstance(module, nn.Linear):
        return weight.numel()
    return output.shape[-2] * output.shape[-1] * weight.numel()
