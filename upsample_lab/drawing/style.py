"""How figures are made, labelled and saved, with nothing of matplotlib's global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from upsample_lab.drawing.palette import BAD, FAINT, GOOD, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE_PT, TEXT_PT, SMALL_PT = 11.5, 9.5, 8.5
DPI = 110

NEUTRAL = "#f4f4f4"
SIGNED = LinearSegmentedColormap.from_list("signed", [GOOD, NEUTRAL, BAD])
"""Blue for negative, white for 0, orange for positive: opposite ends differ for every kind of colour vision."""


def new_figure(width_in: float, height_in: float, dpi: int = DPI) -> Figure:
    """A figure that belongs to no window."""
    figure = Figure(figsize=(width_in, height_in), dpi=dpi, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def label(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Title and axis labels, and the frame reduced to what is read."""
    axes.set_title(title, fontsize=TITLE_PT, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=TEXT_PT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT_PT, color=INK)
    axes.tick_params(labelsize=SMALL_PT, colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def free_words(axes: Axes) -> None:
    """Keep words and legends inside the axes out of the layout, or a long one makes its panel small."""
    legend = axes.get_legend()
    for artist in (*axes.texts, *((legend,) if legend else ())):
        artist.set_in_layout(False)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, without the date and version that would make two of the same differ."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
