"""One colour for each kernel weight, the same in every drawing: the hue tells its row, the lightness its column.

Rows by hue make the structure of ``C`` visible: its diagonals carry the kernel's columns, its blocks the kernel's rows.
Every colour is light enough for dark text, on a white page and on a black one.
"""

from __future__ import annotations

import math

from .algebra import Weight

INK = "#1b1f27"
SUBTLE = "#566072"
MUTED = "#8a93a3"
FAINT = "#d9dee6"
PAPER = "#ffffff"
X_FILL = "#e6eaf0"
Y_FILL = "#3a4356"
Y_INK = "#ffffff"
ACCENT = "#c2255c"

_FIRST_HUE_DEG = 250.0
_LIGHTEST, _DARKEST = 0.91, 0.70
_LEAST_CHROMA, _MOST_CHROMA = 0.055, 0.145


def weight_colour(weight: Weight, kernel_size: int) -> str:
    """The colour of a weight as ``#rrggbb``."""
    depth = weight.col / (kernel_size - 1) if kernel_size > 1 else 0.5
    hue_deg = _FIRST_HUE_DEG + 360 * weight.row / kernel_size + 16 * (depth - 0.5)
    lightness = _LIGHTEST + (_DARKEST - _LIGHTEST) * depth
    chroma = _LEAST_CHROMA + (_MOST_CHROMA - _LEAST_CHROMA) * depth
    return oklch_to_hex(lightness, chroma, hue_deg)


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
