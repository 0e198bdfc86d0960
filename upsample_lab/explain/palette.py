"""One colour for each kernel weight, the same in every drawing: the hue tells its row, the lightness its column.

Rows by hue make the structure of ``C`` visible: its diagonals carry the kernel's columns, its blocks the kernel's rows.
Every colour is light enough for dark text, on a white page and on a black one.
"""

from __future__ import annotations

from upsample_lab.drawing.palette import oklch_to_hex

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
