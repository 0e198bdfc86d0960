"""The passports of a trained model's upsamplers, each with its weights and at the activations that images give it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from upsample_lab.models import Autoencoder
from upsample_lab.passport.measure import Passport, passport
from upsample_lab.passport.progress import Report, part_of
from upsample_lab.registry import PARTS
from upsample_lab.upsamplers import UPSAMPLERS, Upsampler, upsampler_class

DECODER = "decoder"


class _Decoder(nn.Module):
    """From latents to images, as one upsampler."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Tensor:
        return self.model.decode(latent)


def run_passports(
    model: Autoencoder, images: Tensor, *, size: int, seed: int, cost: bool, progress: Report
) -> list[Passport]:
    """The decoder as a whole, from latents to images, then each of its upsamplers in the order of their calls.

    Each is measured around the mean of what goes into it, channel by channel, over the images. The decoder is left out
    where it needs more than the latent, such as an encoder's guide, or nobody can say what its latent is. What is not
    linear (all of the decoder; carafe, dysample) has its derivatives there.

    Args:
        model: in evaluation mode.
        images: float `[N, C, H, W]` in 0…1, on the model's device.
        size: side of the low-resolution test images in pixels.
        seed: of the random ones.
        cost: whether to count and time the upsamplers too.
        progress: is told the share of the work that is done.

    Raises:
        ValueError: the model has no upsampler, or one of them cannot be measured.
    """
    subjects: list[tuple[str, nn.Module, tuple[float, ...], int]] = []
    with torch.no_grad(), _watched(model) as inputs:
        model(images)
        latent = _latent(model, images)
    if not inputs:
        raise ValueError(f"{type(model).__name__} has no upsampler to measure")
    if latent is not None:
        factor = images.shape[-1] // latent.shape[-1]
        subjects.append((DECODER, _Decoder(model), _mean(latent), factor))
    for path, (module, given) in inputs.items():
        name = f"{_name_of(module)} {path.removesuffix('.upsampler')}"
        subjects.append((name, module, _mean(given), module.scale))
    return [
        passport(
            module, len(point), scale, size=size, seed=seed, operating_point=point, name=name,
            cost=cost and name != DECODER, progress=part_of(progress, index, len(subjects), name),
        )
        for index, (name, module, point, scale) in enumerate(subjects)
    ]  # fmt: skip


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, tuple[Upsampler, Tensor]]]:
    """The upsamplers that are called, by their path, each with its first input."""
    seen: dict[str, tuple[Upsampler, Tensor]] = {}

    def hook(path: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            assert isinstance(module, Upsampler)
            seen.setdefault(path, (module, inputs[0]))

        return note

    found = [(path, module) for path, module in model.named_modules() if isinstance(module, Upsampler)]
    handles = [module.register_forward_pre_hook(hook(path)) for path, module in found]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _latent(model: Autoencoder, images: Tensor) -> Tensor | None:
    """What the encoder makes of the images; None where the decoder is no function of it alone."""
    try:
        latent, _ = model.encode(images)
    except NotImplementedError:
        return None
    return latent if not model.needs_guide and model.takes_any_size else None


def _name_of(module: Upsampler) -> str:
    """Its name in the registry; torch's parametrizations put a class of their own before an upsampler's."""
    classes = {upsampler_class(name): name for name in (*UPSAMPLERS, *PARTS["upsample"])}
    return next((classes[cls] for cls in type(module).__mro__ if cls in classes), type(module).__name__)


def _mean(activations: Tensor) -> tuple[float, ...]:
    return tuple(activations.double().mean(dim=(0, 2, 3)).tolist())
