"""One look for each upsampler in every figure: a colour, and a dash and a marker for eyes that colours do not reach.

Families share a hue: transposed convolutions are orange, resizes blue, sub-pixel convolutions purple, fixed filters
green, content-adaptive ones olive. Hues are those of Okabe and Ito, "Color universal design", 2008; thirteen colours
cannot all stay apart for every eye, so within a family lightness, dash and marker differ too. Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Look:
    """`color` as #rrggbb; `dash` and `marker` in matplotlib's words."""

    color: str
    dash: Any
    marker: str


SOLID: Any = "-"
DASHED: Any = (0, (5, 2))
DOTTED: Any = (0, (1.5, 1.5))
DASH_DOT: Any = (0, (6, 2, 1.5, 2))

LOOKS: dict[str, Look] = {
    "deconv": Look("#d55e00", SOLID, "o"),
    "blur_deconv": Look("#e69f00", DASHED, "s"),
    "nearest": Look("#56b4e9", SOLID, "s"),
    "bilinear": Look("#0072b2", SOLID, "^"),
    "bicubic": Look("#1b3a6b", DASHED, "v"),
    "bilinear_additive": Look("#5b8fa8", DASH_DOT, "P"),
    "pixel_shuffle": Look("#cc79a7", SOLID, "D"),
    "blur_pixel_shuffle": Look("#882255", DASHED, "X"),
    "kaiser": Look("#009e73", SOLID, "<"),
    "fourier": Look("#0b5d45", DOTTED, ">"),
    "carafe": Look("#8a8a00", SOLID, "p"),
    "dysample": Look("#b8a000", DASH_DOT, "h"),
    "unpool": Look("#7a7a7a", DOTTED, "*"),
    "mlp": Look("#000000", DASHED, "d"),
}

OTHER = Look("#444444", SOLID, "o")
"""Whatever is not in the registry, a third party's module for instance."""

INK = "#222222"  # text, axes
FAINT = "#9a9a9a"  # references, ideals, grids
GOOD, BAD = "#0072b2", "#d55e00"  # the same two everywhere, always with words beside them


def look_of(name: str) -> Look:
    """The look of an upsampler by its name in the registry; `OTHER` for any other name."""
    return LOOKS.get(name, OTHER)
