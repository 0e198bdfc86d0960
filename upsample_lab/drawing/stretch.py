"""Contrast enlarged around the mean, so that a pattern of a grey level or two can be seen. Torch or NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

STRETCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # above, the rounding of float32 would be drawn as a pattern
REACH = 120 / 255  # how far from middle grey the largest stretched difference may lie, of a range of 0…1


def deviation(images: Any) -> Any:
    """`[…, C, H, W]` less each image's and channel's own mean."""
    return images - images.mean(axis=(-2, -1), keepdims=True)


def stretch_factor(images: Iterable[Any]) -> int:
    """How far contrast can be stretched before the strongest deviation from its mean leaves the range: of `STRETCHES`.

    At the last one a twentieth of a grey level is a fifth of the range, and what is fainter is left as faint as it is.
    """
    return factor_for(max(float(abs(deviation(each)).max()) for each in images))


def factor_for(largest: float) -> int:
    """The same for a deviation that is known."""
    return max((factor for factor in STRETCHES if factor * largest <= REACH), default=1)
