"""Cells, chips and grids of symbols on a matplotlib figure; lengths are in cells, y points down.

Used by the picture and the animation, so that a symbol looks the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from . import palette
from .algebra import GridCell, Pixel, Sum, Term, Weight

CELL_INCH = 0.44
POINTS_PER_INCH = 72
CELL_FONT = 0.44
"""Height of a symbol's letter, as a fraction of its cell."""

SMALLEST_FONT_PT = 4.5
"""Symbols that would be smaller are left out: the colours still tell the weights."""

STYLE: dict[Any, Any] = {"mathtext.fontset": "stix", "font.family": "DejaVu Sans"}


def math_symbol(cell: Weight | Pixel | Term) -> str:
    """A symbol in mathtext, as ``$w_{0,0}$``."""
    return f"${_bare(cell)}$"


def _bare(cell: Weight | Pixel | Term) -> str:
    if isinstance(cell, Term):
        return rf"{_bare(cell.weight)}\,{_bare(cell.pixel)}"
    if isinstance(cell, Weight):
        return f"w_{{{cell.row}{{,}}{cell.col}}}"
    return f"{cell.name}_{{{cell.number}}}"


class Sheet:
    """A blank figure of ``width × height`` cells to draw on."""

    def __init__(self, width: float, height: float, kernel_size: int, dpi: int = 130) -> None:
        self.kernel_size = kernel_size
        with rc_context(STYLE):
            self.figure = Figure(figsize=(width * CELL_INCH, height * CELL_INCH), dpi=dpi, facecolor=palette.PAPER)
            self.canvas = FigureCanvasAgg(self.figure)
            self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")
        self.artists: list[Artist] = []
        """Everything drawn since this list was last cleared."""

    # ------------------------------------------------------------------------------------------------ primitives

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = CELL_FONT,
        *,
        colour: str = palette.INK,
        align: str = "center",
        weight: str = "normal",
    ) -> None:
        """Text whose letters are ``size`` cells high, vertically centred on ``y``."""
        points = size * CELL_INCH * POINTS_PER_INCH
        if points < SMALLEST_FONT_PT:
            return
        with rc_context(STYLE):
            artist = self.axes.text(
                x, y, text, fontsize=points, color=colour, ha=align, va="center_baseline", fontweight=weight
            )
        self.artists.append(artist)

    def box(self, x: float, y: float, width: float, height: float, fill: str, edge: str, line: float = 0.6) -> None:
        """A filled rectangle with its top left corner at ``(x, y)``."""
        patch = Rectangle((x, y), width, height, facecolor=fill, edgecolor=edge, linewidth=line)
        self.artists.append(self.axes.add_patch(patch))

    def frame(self, x: float, y: float, width: float, height: float, colour: str = palette.ACCENT) -> None:
        """An outline around what is being looked at."""
        patch = Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2.4, joinstyle="round")
        patch.set_zorder(3)
        self.artists.append(self.axes.add_patch(patch))

    # ---------------------------------------------------------------------------------------------------- symbols

    def cell(
        self, x: float, y: float, cell: GridCell, size: float = 1.0, *, zero: str = "0", fill: str | None = None
    ) -> None:
        """One symbol in a square; a weight always in its own colour."""
        face, ink = self._colours(cell)
        self.box(x, y, size, size, fill or face, palette.PAPER if cell is not None else palette.FAINT, 0.8)
        if cell is not None:
            self.text(
                x + size / 2, y + size / 2, math_symbol(cell), CELL_FONT * size, colour=palette.INK if fill else ink
            )
        elif zero:
            self.text(x + size / 2, y + size / 2, zero, 0.34 * size, colour=palette.MUTED)

    def _colours(self, cell: GridCell) -> tuple[str, str]:
        if isinstance(cell, Weight):
            return palette.weight_colour(cell, self.kernel_size), palette.INK
        if isinstance(cell, Pixel):
            return (palette.Y_FILL, palette.Y_INK) if cell.name == "y" else (palette.X_FILL, palette.INK)
        return palette.PAPER, palette.MUTED

    def grid(
        self, x: float, y: float, grid: Sequence[Sequence[GridCell]], size: float = 1.0, *, zero: str = "0"
    ) -> None:
        """A grid of cells with its top left corner at ``(x, y)``."""
        for row, cells in enumerate(grid):
            for col, cell in enumerate(cells):
                self.cell(x + col * size, y + row * size, cell, size, zero=zero)
        self.box(x, y, len(grid[0]) * size, len(grid) * size, "none", palette.MUTED, 0.8)

    def chip(self, x: float, y: float, term: Term) -> None:
        """A product in the colour of its weight, centred on ``(x, y)``."""
        patch = FancyBboxPatch(
            (x - CHIP_WIDTH / 2 + 0.1, y - CHIP_HEIGHT / 2 + 0.1),
            CHIP_WIDTH - 0.2,
            CHIP_HEIGHT - 0.2,
            boxstyle="round,pad=0.06,rounding_size=0.14",
            facecolor=palette.weight_colour(term.weight, self.kernel_size),
            edgecolor="none",
        )
        self.artists.append(self.axes.add_patch(patch))
        self.text(x, y, math_symbol(term), 0.36)

    def chips(self, x: float, y: float, total: Sum, per_row: int, width: float, height: float) -> None:
        """The products of a sum, in rows, in the middle of a box."""
        terms = total.terms
        if not terms:
            self.text(x + width / 2, y + height / 2, "0", 0.36, colour=palette.MUTED)
        rows = [terms[i : i + per_row] for i in range(0, len(terms), per_row)]
        top = y + height / 2 - (len(rows) - 1) * CHIP_HEIGHT / 2
        for number, row in enumerate(rows):
            left = x + width / 2 - (len(row) - 1) * CHIP_WIDTH / 2
            for place, term in enumerate(row):
                self.chip(left + place * CHIP_WIDTH, top + number * CHIP_HEIGHT, term)


CHIP_WIDTH, CHIP_HEIGHT = 1.35, 0.66
