"""How each variant looks in every figure, and how figures are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from upsample_lab.compare.result import Variant
from upsample_lab.palette import DASH_DOT, DASHED, DOTTED, SOLID, look_of

TEXT_PT, SMALL_PT = 9.0, 8.0
WIDE_IN, NARROW_IN = 8.6, 3.7  # of a desktop page, and of a telephone's
PNG_DPI = 160

_DASHES = (SOLID, DASHED, DOTTED, DASH_DOT)
_MARKERS = "osD^vPX<>ph*d"  # all that the palette uses
_SHADES = (0.0, 0.42, -0.35, 0.62, -0.6)  # towards white, or where negative towards black


@dataclass(frozen=True)
class VariantLook:
    """As `palette.Look`, for a variant: the first of an upsampler has its look, others a shade, dash and marker off."""

    color: str
    dash: Any
    marker: str


def variant_looks(variants: Sequence[Variant]) -> Mapping[str, VariantLook]:
    """By name. Variants of one upsampler share its hue and no two of them dash, marker and shade."""
    seen: Counter[str] = Counter()
    looks = {}
    for variant in variants:
        look, turn = look_of(variant.upsampler), seen[variant.upsampler]
        seen[variant.upsampler] += 1
        dash = _DASHES[(_DASHES.index(look.dash) + turn) % len(_DASHES)]
        marker = _MARKERS[(_MARKERS.index(look.marker) + turn) % len(_MARKERS)]
        looks[variant.name] = VariantLook(_shaded(look.color, _SHADES[turn % len(_SHADES)]), dash, marker)
    return looks


def _shaded(color: str, amount: float) -> str:
    goal = 255 if amount > 0 else 0
    return "#" + "".join(f"{round(c + (goal - c) * abs(amount)):02x}" for c in channels(color))


def channels(color: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@contextmanager
def drawing_rules(salt: str) -> Iterator[None]:
    """Matplotlib's settings while a figure is drawn and saved: repeatable, and names taken literally."""
    rules: Any = {  # Any, as the type of a key differs between releases
        "svg.hashsalt": salt,
        "svg.fonttype": "none",  # words stay words: small, searchable, and in the reader's own type
        "text.parse_math": False,  # a name with two dollar signs is no formula
        "font.family": "DejaVu Sans",
        "font.size": TEXT_PT,
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(rules):
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """A figure that belongs to no window."""
    figure = Figure(figsize=(width_in, height_in), dpi=PNG_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure
