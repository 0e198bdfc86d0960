"""The pattern that a trained model leaves of its own accord: on uniform images, and on a constant latent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from upsample_lab.catalogue import GREYS
from upsample_lab.conv import Conv2d, ConvTranspose2d
from upsample_lab.data import eval_batches
from upsample_lab.device import Where
from upsample_lab.metrics import LEVELS, image_artifacts, pattern_levels
from upsample_lab.models import Autoencoder

PROBE_IMAGES = 64
BORDER_PERIODS = 16
"""Border around what is measured, in pixels of the latent. The reach of a border is the sum of half kernels of all
stages, each in its own pixels: below 4 + 2 + 1 … for kernels of 9. `fourier` alone takes the image for periodic: what
its borders ring into the middle is 0.002 levels at this distance, with a norm over each image (`group`) 0.04."""
CROP_PX = 64
"""Largest side of what is measured and kept; images may be of a thousand pixels."""


@torch.no_grad()
def uniform_outputs(model: Autoencoder, image_shape: tuple[int, int, int], period: int, where: Where) -> Tensor:
    """What the whole model makes of uniform images of each of `GREYS`: `[5, C, h, w]` float32 in 0…1, on the CPU.

    Encoder, guide and decoder see the uniform image. A model that takes images of any size gets one with a border of
    `BORDER_PERIODS` around the part that is returned, so that what padding does to borders, a defect of its own, is not
    in it: a decoder of resizes then gives no pattern at all but for rounding. A model of one size gets that size, and
    `pattern_levels` sees to the interior.
    """
    channels, *size = image_shape
    free = model.takes_any_size
    rows, columns = (_canvas_px(side, period) for side in size) if free else size
    outputs = []
    with _measuring(model):
        for grey in GREYS:  # one at a time: with its border it has the memory of many images
            image = torch.full((1, channels, rows, columns), grey / LEVELS, device=where.device)
            output = model(image.contiguous(memory_format=where.memory_format))
            outputs.append(_middle(output, size, period).float().cpu())
    return torch.cat(outputs).contiguous()


def uniform_artifacts(outputs: Tensor, period: int) -> dict[str, float]:
    """The pattern of `uniform_outputs` in grey levels: over all greys, by period, and by grey.

    Keys: `pattern_rms_levels`, `pattern_p2p_levels`, `p2_rms_levels` … up to the period, `grey0_rms_levels` ….
    Empty for images below two periods, in which nothing can be seen to repeat.
    """
    by_grey = {grey: _pattern(output[None], period) for grey, output in zip(GREYS, outputs, strict=True)}
    greys = {f"grey{grey}_rms_levels": own["pattern_rms_levels"] for grey, own in by_grey.items() if own}
    return {**_pattern(outputs, period), **greys}


@torch.no_grad()
def constant_artifacts(model: Autoencoder, images: Tensor, period: int, where: Where) -> dict[str, float]:
    """Artifact figures of what the decoder makes of a constant: there is nothing in it but the decoder's own pattern.

    The constant is the mean latent, channel by channel, of the first images, so that the decoder works where it is used
    to; it is measured out of the reach of borders, as uniform images are. Empty for models whose decoder has no phases,
    or needs the encoder's guide.
    """
    if not model.takes_any_size or model.needs_guide:
        return {}
    with _measuring(model):
        probe = next(eval_batches(images, PROBE_IMAGES, **where._asdict()))
        latent, _ = model.encode(probe)
        size = probe.shape[-2:]
        rows, columns = (_canvas_px(side, period) // period for side in size)
        constant = latent.mean(dim=(0, 2, 3), keepdim=True).expand(1, -1, rows, columns)
        response = _middle(model.decode(constant.contiguous()), size, period)
    figures = image_artifacts(response, period)
    del figures["dc_phase_variation"]  # relative: a trained decoder's mean, its divisor, may be next to nothing
    return {**_pattern(response, period), **figures}


def _pattern(images: Tensor, period: int) -> dict[str, float]:
    return pattern_levels(images, period).figures() if min(images.shape[-2:]) >= 2 * period else {}


def _crop_px(size: int, period: int) -> int:
    return max(min(size, CROP_PX), 4 * period)


def _canvas_px(size: int, period: int) -> int:
    """A side that is a multiple of the period, with `BORDER_PERIODS` on both sides of what is measured."""
    return -(-_crop_px(size, period) // period) * period + 2 * BORDER_PERIODS * period


def _middle(images: Tensor, size: tuple[int, int] | list[int] | torch.Size, period: int) -> Tensor:
    """The part that is measured; it begins with a whole period, so that phases stay what they are."""
    for axis, side in zip((-2, -1), size, strict=True):
        length = min(_crop_px(side, period), images.shape[axis])
        images = images.narrow(axis, (images.shape[axis] - length) // 2 // period * period, length)
    return images


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode inside, and in its former mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def _measuring(model: nn.Module) -> Iterator[None]:
    """`evaluating`, with convolutions by PyTorch's kernels in place of the matrix: of an image with its border that
    would fill gigabytes, for the same function."""
    convolutions = [module for module in model.modules() if isinstance(module, Conv2d | ConvTranspose2d)]
    by_matrix = [module for module in convolutions if module.algorithm == "matrix"]
    with evaluating(model):
        try:
            for module in by_matrix:
                module.algorithm = "native"
            yield
        finally:
            for module in by_matrix:
                module.algorithm = "matrix"
