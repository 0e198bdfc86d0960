"""One look for each upsampler in every figure: a colour, and a dash and a marker for eyes that colours do not reach.

Families share a hue: transposed convolutions are orange, resizes blue, sub-pixel convolutions purple, fixed filters
green, content-adaptive ones olive. Hues are those of Okabe and Ito, "Color universal design", 2008; thirteen colours
cannot all stay apart for every eye, so within a family lightness, dash and marker differ too. A part of the user's own
has a look of its own, from its name. Imports nothing of the package.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
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
DASHES = (SOLID, DASHED, DOTTED, DASH_DOT)
MARKERS = "osD^vPX<>ph*d"

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

INK = "#222222"  # text, axes
FAINT = "#9a9a9a"  # references, ideals, grids
GOOD, BAD = "#0072b2", "#d55e00"  # the same two everywhere, always with words beside them


FREE_HUES_DEG = (10, 25, 130, 145, 190, 285, 300, 318)  # red, green, teal, violet: OKLCH's, between the families above
LIGHTNESSES, CHROMA = (0.46, 0.54, 0.62), 0.14


def looks_of(names: Sequence[str]) -> list[Look]:
    """The looks of several things side by side, by the first word of each name, `deconv kernel_size=3`.

    A look that is there already keeps its colour and takes the next dash and marker.
    """
    looks: list[Look] = []
    for name in names:
        look = first = look_of(name.split()[0])
        while look in looks and (look := next_look(look)) != first:
            pass
        looks.append(look)
    return looks


def next_look(look: Look) -> Look:
    """The same colour with the next dash and marker."""
    marker = MARKERS[(MARKERS.index(look.marker) + 1) % len(MARKERS)]
    return Look(look.color, DASHES[(DASHES.index(look.dash) + 1) % len(DASHES)], marker)


@cache
def look_of(name: str) -> Look:
    """The look of an upsampler by its name; a name that is not in the registry has one that follows from it alone,
    with none of the colours above and no pair of dash and marker of theirs."""
    if name in LOOKS:
        return LOOKS[name]
    taken = {(str(look.dash), look.marker) for look in LOOKS.values()}
    strokes = [pair for pair in product(DASHES, MARKERS) if (str(pair[0]), pair[1]) not in taken]
    colors = [oklch_to_hex(light, CHROMA, hue) for light, hue in product(LIGHTNESSES, FREE_HUES_DEG)]
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return Look(colors[number % len(colors)], *strokes[number // len(colors) % len(strokes)])


def oklch_to_hex(lightness: float, chroma: float, hue_deg: float) -> str:
    """OKLCH to sRGB, clipped (Ottosson, "A perceptual color space for image processing", 2020, its matrices)."""
    a, b = chroma * math.cos(math.radians(hue_deg)), chroma * math.sin(math.radians(hue_deg))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _encode(channel)):02x}" for channel in linear)


def _encode(linear: float) -> float:
    """A linear channel, clipped to 0…1, with sRGB's transfer curve (IEC 61966-2-1)."""
    linear = min(1.0, max(0.0, linear))
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
