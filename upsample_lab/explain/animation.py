"""The derivation as an animation: the kernel slides over X, and the flipped kernel over ``input'``, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from . import palette
from .algebra import Derivation, GridCell, Weight
from .drawing import CELL_FONT, CELL_INCH, CHIP_HEIGHT, CHIP_WIDTH, Sheet, math_symbol
from .steps import Slide, positions, slides

MARGIN, PANEL_GAP, GRID_GAP = 1.0, 2.2, 1.3
TITLE, LABEL, EQUATION_GAP = 2.3, 0.9, 1.1
LEAST_PANEL_WIDTH = 9.0
LARGEST_WIDTH_PX, LARGEST_DPI = 1280, 110
STEP_MS, QUICK_STEP_MS, LAST_MS = 900, 450, 2500
QUICK_FROM_STEPS = 30
"""Animations with more steps than this run faster."""

LEAST_LABEL_DPI = 80
"""Below this, the weight in the corner of a cell would be a smudge; its colour still tells it."""

COLOUR_COUNT = 128


def write_animation(derivation: Derivation, path: Path) -> None:
    """Write the animation as a GIF that repeats for ever."""
    frames = list(frames_of(derivation))
    samples = np.concatenate([np.asarray(frame) for frame in (frames[0], frames[len(frames) // 2], frames[-1])])
    colours = _with_pure_white(Image.fromarray(samples).quantize(COLOUR_COUNT, dither=Image.Dither.NONE))
    indexed = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    step_ms = STEP_MS if len(frames) <= QUICK_FROM_STEPS else QUICK_STEP_MS
    durations = [step_ms] * (len(frames) - 1) + [LAST_MS]
    indexed[0].save(path, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=True)


def _with_pure_white(colours: Image.Image) -> Image.Image:
    """A palette whose nearly white colours are white: Pillow finds the nearest colour only roughly."""
    table = np.array(colours.getpalette()).reshape(-1, 3)
    table[table.min(axis=1) >= 244] = 255
    palette_image = Image.new("P", (1, 1))
    palette_image.putpalette(table.flatten().tolist())
    return palette_image


def frames_of(derivation: Derivation) -> Iterator[Image.Image]:
    """One RGB image for each step. What does not move is drawn once."""
    pair = slides(derivation)
    panels = _panels(pair, derivation.kernel_size)
    width = panels[-1].right + MARGIN
    height = max(panel.bottom for panel in panels) + MARGIN
    dpi = min(LARGEST_DPI, int(LARGEST_WIDTH_PX / (width * CELL_INCH)))
    sheet = Sheet(width, height, derivation.kernel_size, dpi)
    canvas = sheet.canvas
    for panel in panels:
        panel.draw_still(sheet)
    canvas.draw()
    _forget(sheet)
    still = canvas.copy_from_bbox(sheet.figure.bbox)
    for step in positions(pair):
        canvas.restore_region(still)
        for panel, position in zip(panels, step, strict=True):
            panel.draw_results(sheet, position)
        _paint(sheet)
        still = canvas.copy_from_bbox(sheet.figure.bbox)  # what has been computed stays
        for panel, position in zip(panels, step, strict=True):
            panel.draw_position(sheet, position)
        _paint(sheet)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _paint(sheet: Sheet) -> None:
    """Draw the new artists onto the canvas as it is, and forget them."""
    renderer = sheet.canvas.get_renderer()
    for artist in sorted(sheet.artists, key=lambda artist: artist.get_zorder()):
        artist.draw(renderer)
    _forget(sheet)


def _forget(sheet: Sheet) -> None:
    for artist in sheet.artists:
        artist.remove()
    sheet.artists.clear()


def _panels(pair: tuple[Slide, Slide], kernel_size: int) -> list[_Panel]:
    grid_height = max(max(len(slide.source), slide.size) for slide in pair)
    panels: list[_Panel] = []
    left = MARGIN
    for slide in pair:
        panels.append(_Panel(slide, left, grid_height, kernel_size))
        left = panels[-1].right + PANEL_GAP
    return panels


class _Panel:
    """One slide: the grid under the kernel, the result so far, and the sum of the moment."""

    def __init__(self, slide: Slide, left: float, grid_height: int, kernel_size: int) -> None:
        self.slide, self.left, self.kernel_size = slide, left, kernel_size
        self.done_count = 0
        self.grid_top = MARGIN + TITLE + LABEL
        self.result_left = left + len(slide.source) + GRID_GAP
        width = max(LEAST_PANEL_WIDTH, len(slide.source) + GRID_GAP + slide.size)
        self.right = left + width
        self.chips_in_a_row = int((width - 1.2) // CHIP_WIDTH)
        most = max(len(slide.total(position)) for position in range(slide.position_count))
        self.equation_top = self.grid_top + grid_height + EQUATION_GAP
        self.bottom = self.equation_top + max(1, -(-most // self.chips_in_a_row)) * CHIP_HEIGHT

    def draw_still(self, sheet: Sheet) -> None:
        slide, top = self.slide, self.grid_top
        formula = "$Y = C\\,X$" if slide.result_name == "y" else "$Z = C^{\\top}\\,Y$"
        how = f"the kernel slides over $X$, stride {slide.stride}"
        if slide.result_name == "z":
            how = "the flipped kernel slides over input′, stride 1"
        sheet.text(self.left, MARGIN + 0.3, f"{slide.name}   {formula}", 0.56, align="left", weight="bold")
        sheet.text(self.left, MARGIN + 1.25, how, 0.40, align="left", colour=palette.SUBTLE)
        sheet.text(self.left + len(slide.source) / 2, top - 0.45, _label(slide.source_name), 0.42)
        sheet.text(self.result_left + slide.size / 2, top - 0.45, _label(slide.result_name.upper()), 0.42)
        sheet.grid(self.left, top, slide.source)
        sheet.grid(self.result_left, top, [[None] * slide.size] * slide.size, zero="")

    def draw_results(self, sheet: Sheet, position: int) -> None:
        """The pixels computed since the last call, up to this position."""
        for done in range(self.done_count, position + 1):
            row, col = divmod(done, self.slide.size)
            sheet.cell(self.result_left + col, self.grid_top + row, self.slide.pixel(done))
        self.done_count = position + 1

    def draw_position(self, sheet: Sheet, position: int) -> None:
        slide, top = self.slide, self.grid_top
        row, col = slide.corner(position)
        for i, weights in enumerate(slide.kernel):
            for j, weight in enumerate(weights):
                x, y = self.left + col + j, top + row + i
                self._draw_product(sheet, x, y, weight, slide.source[row + i][col + j])
        sheet.frame(self.left + col, top + row, self.kernel_size, self.kernel_size)
        row, col = divmod(position, slide.size)
        sheet.frame(self.result_left + col, top + row, 1, 1)
        self._draw_equation(sheet, position)

    def _draw_product(self, sheet: Sheet, x: float, y: float, weight: Weight, cell: GridCell) -> None:
        """A cell under the kernel: the weight small in the corner, what it is multiplied with in the middle."""
        sheet.box(x, y, 1, 1, palette.weight_colour(weight, self.kernel_size), palette.PAPER, 0.8)
        label_shown = sheet.figure.dpi >= LEAST_LABEL_DPI
        shift = 0.1 if label_shown else 0.0
        if cell is None:
            sheet.text(x + 0.5 + shift, y + 0.5 + shift, "0", 0.34, colour=palette.SUBTLE)
        else:
            sheet.text(x + 0.5 + shift, y + 0.5 + shift, math_symbol(cell), CELL_FONT)
        if label_shown:
            sheet.text(x + 0.06, y + 0.18, math_symbol(weight), 0.24, align="left")

    def _draw_equation(self, sheet: Sheet, position: int) -> None:
        y = self.equation_top + CHIP_HEIGHT / 2
        name = math_symbol(self.slide.pixel(position))
        sheet.text(self.left, y, f"{name} $=$", 0.46, align="left")
        terms = self.slide.total(position).terms
        if not terms:
            sheet.text(self.left + 1.5, y, "0", 0.42, colour=palette.MUTED)
        for number, term in enumerate(terms):
            line, place = divmod(number, self.chips_in_a_row)
            sheet.chip(self.left + 1.2 + (place + 0.5) * CHIP_WIDTH, y + line * CHIP_HEIGHT, term)


def _label(name: str) -> str:
    return f"${name}$" if len(name) == 1 else name
