"""Pictures of a run: reconstructions beside their originals, and the decoder's kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from upsample_lab.catalogue import GREYS
from upsample_lab.drawing.stretch import deviation, factor_for

ERROR_GAIN = 4  # errors of a trained model are faint: |error| x 4 fills the range at a quarter of it
SHOWN_PX = 84  # images smaller than this are enlarged by a whole factor
LABEL_PX, GAP_PX, FONT_PX = 76, 2, 15
KERNELS_SHOWN = 8
HEAD_PX, HEAD_FONT_PX = 20, 12
PATTERN_PX = 192  # as SHOWN_PX, for patterns: the eye needs larger fields, and the heads room


def reconstruction_grid(inputs: Tensor, outputs: Tensor) -> np.ndarray:
    """Three labelled rows, one column an image: input, output, |error| x 4.

    Images `[N, C, H, W]` in [0, 1], C = 1 or 3; returns uint8 `[H', W', 3]`. Pixels are enlarged by repetition, so
    that what is seen of a checkerboard is the checkerboard's own.
    """
    inputs, outputs = inputs.detach().float().cpu(), outputs.detach().float().cpu().clamp(0, 1)
    error = ((outputs - inputs).abs() * ERROR_GAIN).clamp(0, 1)
    rows = [("input", inputs), ("output", outputs), (f"error x{ERROR_GAIN}", error)]
    return np.concatenate([_labelled(label, _strip(images)) for label, images in rows])


def pattern_grid(
    rows: Mapping[str, Tensor | np.ndarray],
    heads: Sequence[str] = (),
    factor: int | None = None,
    window_px: int | None = None,
) -> np.ndarray:
    """Images of which each ought to be flat, as they are and with their contrast stretched: two labelled rows for each.

    Args:
        rows: label -> images `[N, C, H, W]` in 0…1, torch or NumPy, such as `uniform_outputs` of a run's
            `test_images.safetensors`; C = 1 or 3.
        heads: what is written above each column.
        factor: a stretched image is its difference from each channel's own mean times this, on middle grey: one factor
            for all, so that they can be compared by eye, and written beside them. None: `factor_for`.
        window_px: where the images show something, the mean is that of a window of so many pixels around each.

    Returns uint8 `[H', W', 3]`. Pixels are enlarged by repetition, so that what is seen of a checkerboard is its own.
    """
    images = {label: torch.as_tensor(row).detach().float().cpu() for label, row in rows.items()}
    differences = {label: _deviation(row, window_px) for label, row in images.items()}
    if factor is None:
        factor = factor_for(max(float(each.abs().max()) for each in differences.values()))
    strips = []
    for label, row in images.items():
        stretched = (0.5 + factor * differences[label]).clamp(0, 1)
        true = _strip(row.clamp(0, 1), PATTERN_PX)
        strips += [_labelled(label, true), _labelled(f"{label}\nx{factor}", _strip(stretched, PATTERN_PX))]
    picture = np.concatenate(strips)
    return np.concatenate([_headed(heads, picture.shape[1]), picture]) if heads else picture


def uniform_picture(outputs: Tensor, figures: Mapping[str, float]) -> np.ndarray:
    """What a model makes of uniform images, true and stretched; with `figures` of `uniform_artifacts` above each."""
    levels = {grey: figures.get(f"grey{grey}_rms_levels") for grey in GREYS}
    heads = [f"grey {grey}" + ("" if rms is None else f": {rms:.2f}") for grey, rms in levels.items()]
    return pattern_grid({"output": outputs}, heads)


def flat_window_picture(target: Tensor, output: Tensor, rms_levels: Tensor, **_: Tensor) -> np.ndarray:
    """The flat windows of the targets with the strongest pattern, as `FlatWindows.worst`."""
    heads = [f"{float(rms):.2f} levels" for rms in rms_levels]
    return pattern_grid({"input": target, "output": output}, heads)


def _deviation(images: Tensor, window_px: int | None) -> Tensor:
    """`[N, C, H, W]` less each image's and channel's own mean, or that of a window around each pixel."""
    if window_px is None:
        return deviation(images)
    before = window_px // 2
    padding = (before, window_px - 1 - before) * 2
    return images - F.avg_pool2d(F.pad(images, padding, mode="replicate"), window_px, stride=1)


def _headed(heads: Sequence[str], width: int) -> np.ndarray:
    """A strip with a text above the middle of each column."""
    card = Image.new("RGB", (width, HEAD_PX), "white")
    draw = ImageDraw.Draw(card)
    column = (width - LABEL_PX) / len(heads)
    for index, head in enumerate(heads):
        place = (LABEL_PX + (index + 0.5) * column, HEAD_PX / 2)
        draw.text(place, head, fill="black", font=ImageFont.load_default(HEAD_FONT_PX), anchor="mm")
    return np.asarray(card)


def _strip(images: Tensor, shown_px: int = SHOWN_PX) -> np.ndarray:
    """`[N, C, H, W]` in [0, 1] side by side, uint8 `[H', N·W', 3]`."""
    factor = max(1, shown_px // images.shape[-1])
    pixels = (images * 255).round().to(torch.uint8)
    pixels = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    pixels = pixels.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    padded = torch.nn.functional.pad(pixels, (0, 0, 0, GAP_PX, 0, GAP_PX), value=255)
    return torch.cat(list(padded), dim=1).numpy()


def _labelled(label: str, strip: np.ndarray) -> np.ndarray:
    card = Image.new("RGB", (LABEL_PX, strip.shape[0]), "white")
    draw = ImageDraw.Draw(card)
    font = ImageFont.load_default(FONT_PX)
    draw.text((LABEL_PX - 6, strip.shape[0] // 2), label, fill="black", font=font, anchor="rm", align="right")
    return np.concatenate([np.asarray(card), strip], axis=1)


def kernel_grid(weight: Tensor) -> np.ndarray:
    """The first 8 x 8 kernels of `[A, B, k, k]` as uint8 `[H', W', 3]`: blue negative, white zero, red positive.

    All share one scale, the largest magnitude shown.
    """
    shown = weight[:KERNELS_SHOWN, :KERNELS_SHOWN].detach().float().cpu()
    scaled = shown / shown.abs().max().clamp_min(1e-12)
    red, blue = 1 + scaled.clamp(max=0), 1 - scaled.clamp(min=0)
    green = 1 - scaled.abs()
    pixels = (torch.stack([red, green, blue], -1) * 255).round().to(torch.uint8)
    factor = max(1, 32 // pixels.shape[2])
    pixels = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    pixels = torch.nn.functional.pad(pixels, (0, 0, 0, GAP_PX, 0, GAP_PX), value=160)
    rows, columns, height, width, _ = pixels.shape
    return pixels.permute(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3).numpy()
