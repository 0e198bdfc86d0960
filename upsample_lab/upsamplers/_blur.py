"""The smoothing that removes every line of period s, without moving the image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from upsample_lab.resize import Kernel, resample


def blur(image: Tensor, scale: int) -> Tensor:
    """`[N, C, H, W] -> [N, C, H, W]`: the mean over a box of s x s pixels around each pixel, borders repeated.

    Each phase has the weight 1/s in it, so whatever repeats with period s, and is not constant, averages out. The box
    is centred: for even s its two outermost pixels count half, `[½, 1, …, 1, ½]/s` (s = 2: `[1, 2, 1]/4`).
    """
    return resample(image, 1, Kernel(_Box(scale), scale // 2 + 1))


@dataclass(frozen=True)
class _Box:
    """How much of the pixel at t a box around 0 covers, over the box's width."""

    width: int

    def __call__(self, t: float) -> float:
        return min(max((self.width + 1) / 2 - abs(t), 0.0), 1.0) / self.width


def blur_taps(scale: int) -> int:
    """Pixels that the blur reads along an axis: the odd number from s up."""
    return scale + 1 - scale % 2
