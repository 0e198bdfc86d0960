"""The smoothing that removes every line of period s, without moving the image."""

from __future__ import annotations

from functools import cache, partial

from torch import Tensor

from upsample_lab.resize import Kernel, resample


def blur(image: Tensor, scale: int) -> Tensor:
    """`[N, C, H, W] -> [N, C, H, W]`: the mean over a box of s x s pixels around each pixel, borders repeated.

    Each phase has the weight 1/s in it, so whatever repeats with period s, and is not constant, averages out. The box
    is centred: for even s its two outermost pixels count half, `[½, 1, …, 1, ½]/s` (s = 2: `[1, 2, 1]/4`).
    """
    return resample(image, 1, _box(scale))


@cache
def _box(width: int) -> Kernel:
    """How much of the pixel at t a box around 0 covers, over the box's width."""
    return Kernel(partial(_covered, width=width), width // 2 + 1)


def _covered(t: float, width: int) -> float:
    return min(max((width + 1) / 2 - abs(t), 0.0), 1.0) / width


def blur_taps(scale: int) -> int:
    """Pixels that the blur reads along an axis: the odd number from s up."""
    return scale + 1 - scale % 2
