"""The derivation as one picture: the convolution, its matrix, the transpose, and the same transpose as a convolution.

Blocks know their size in cells; a layout puts them next to each other where they fit, else below each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from . import palette
from .algebra import Derivation, Grid, Image
from .drawing import CHIP_HEIGHT, CHIP_WIDTH, Sheet, math_symbol
from .text import insertion_recipe

PAGE_WIDTH = 40.0
"""Cells that two groups may take side by side."""

MARGIN, GAP, GROUP_GAP, HEADING, LABEL = 1.0, 0.55, 2.4, 1.4, 0.9
TITLE, FOOTER, LINE_GAP = 2.6, 1.5, 1.2
HEADING_LETTER = 0.3
"""Cells that a letter of a heading takes, on the average."""

LONGEST_MATRIX_SIDE = 18.0


@dataclass(frozen=True)
class Block:
    """Something of a known size that can draw itself with its top left corner at a place."""

    width: float
    height: float
    draw: Callable[[Sheet, float, float], None]
    label: str = ""


@dataclass(frozen=True)
class BlockRow:
    """Blocks in a row, under one heading."""

    heading: str
    blocks: Sequence[Block]

    @property
    def width(self) -> float:
        row = sum(block.width for block in self.blocks) + GAP * (len(self.blocks) - 1)
        return max(row, HEADING_LETTER * len(re.sub(r"\\[a-z]+|[${}\\^]", "", self.heading)))

    @property
    def height(self) -> float:
        return HEADING + LABEL + max(block.height for block in self.blocks)


def draw_derivation(derivation: Derivation) -> Figure:
    """The picture as a matplotlib figure."""
    lines = _lines(_groups(derivation))
    width = 2 * MARGIN + max(sum(group.width for group in line) + GROUP_GAP * (len(line) - 1) for line in lines)
    height = 2 * MARGIN + TITLE + sum(max(group.height for group in line) + LINE_GAP for line in lines) + FOOTER
    width = max(width, 30.0)
    sheet = Sheet(width, height, derivation.kernel_size)
    _draw_title(sheet, derivation)
    y = MARGIN + TITLE
    for line in lines:
        x = MARGIN
        for group in line:
            _draw_group(sheet, x, y, group, max(other.height for other in line))
            x += group.width + GROUP_GAP
        y += max(group.height for group in line) + LINE_GAP
    _draw_verdict(sheet, derivation, y + 0.5)
    return sheet.figure


# ------------------------------------------------------------------------------------------------------------ content


def _groups(d: Derivation) -> list[BlockRow]:
    n, m = d.input_size, d.output_size
    transposed_cell = min(0.72, _matrix_cell(n * n, 0.8 * LONGEST_MATRIX_SIDE))
    column = tuple((pixel,) for row in d.y for pixel in row)
    return [
        BlockRow(
            "1   Convolution: the kernel slides over X",
            [
                _grid(d.padded_x, f"$X$, {n}×{n}" + (" and its padding" if d.padding else "")),
                _sign("∗"),
                _grid(d.kernel, "$W$"),
                _sign("="),
                _grid(d.y, f"$Y$, {m}×{m}"),
            ],
        ),
        BlockRow(
            f"2   The same as a matrix:  $Y = C\\,X$,  $C$ is {m * m}×{n * n}",
            [_matrix(d, _matrix_cell(n * n))],
        ),
        BlockRow(
            f"3   The transpose:  $Z = C^{{\\top}}\\,Y$,  $C^{{\\top}}$ is {n * n}×{m * m}",
            [
                _grid(d.transposed_matrix, "$C^{\\top}$", transposed_cell, zero=""),
                _grid(column, "$Y$", transposed_cell),
                _sign("="),
                _image(d.transposed, f"$Z$ as an image, {n}×{n}"),
            ],
        ),
        BlockRow(
            "4   By a convolution of stride 1:  $Z=$ input′ ∗ kernel′",
            [
                _sign("="),
                _grid(d.inserted, "input′"),
                _sign("∗"),
                _grid(d.flipped_kernel, "kernel′"),
            ],
        ),
    ]


def _draw_title(sheet: Sheet, d: Derivation) -> None:
    sheet.text(
        MARGIN,
        MARGIN + 0.4,
        "A transposed convolution is a convolution read backwards",
        0.72,
        align="left",
        weight="bold",
    )
    facts = (
        f"input {d.input_size}×{d.input_size}   kernel {d.kernel_size}×{d.kernel_size}   "
        f"stride {d.stride}   padding {d.padding}   output {d.output_size}×{d.output_size}"
    )
    sheet.text(MARGIN, MARGIN + 1.45, facts, 0.44, align="left", colour=palette.SUBTLE)


def _draw_verdict(sheet: Sheet, d: Derivation, y: float) -> None:
    total = d.input_size**2
    equal = sum(a == b for rows in zip(d.transposed, d.reconvolved, strict=True) for a, b in zip(*rows, strict=True))
    lines = [
        f"{equal} of {total} pixels of 3 and 4 are equal, term by term: {d.product_count} products.",
        f"input′ is {insertion_recipe(d)}.",
    ]
    for number, line in enumerate(lines):
        sheet.text(MARGIN, y + 0.75 * number, line, 0.38, align="left", colour=palette.SUBTLE)


# ------------------------------------------------------------------------------------------------------------- blocks


def _sign(sign: str) -> Block:
    return Block(0.7, 1.0, lambda sheet, x, y: sheet.text(x + 0.35, y + 0.5, sign, 0.7))


def _grid(grid: Grid, label: str, size: float = 1.0, zero: str = "0") -> Block:
    return Block(
        len(grid[0]) * size,
        len(grid) * size,
        lambda sheet, x, y: sheet.grid(x, y, grid, size, zero=zero),
        label,
    )


def _matrix_cell(count: int, side: float = LONGEST_MATRIX_SIDE) -> float:
    """Side of a matrix's cell, so that ``count`` of them are no longer than ``side``."""
    return min(0.85, side / count)


def _matrix(d: Derivation, size: float) -> Block:
    """``C`` with the pixel of each row and column at its side, and a line between the image's rows."""
    n, m = d.input_size, d.output_size
    left = 1.0

    def draw(sheet: Sheet, x: float, y: float) -> None:
        for number, pixel in enumerate(pixel for row in d.x for pixel in row):
            sheet.text(x + left + (number + 0.5) * size, y - 0.4 * size, math_symbol(pixel), min(0.34, 0.5 * size))
        for number, pixel in enumerate(pixel for row in d.y for pixel in row):
            sheet.text(x + left - 0.4, y + (number + 0.5) * size, math_symbol(pixel), min(0.34, 0.5 * size))
        sheet.grid(x + left, y, d.matrix, size, zero="")
        for block in range(1, n):
            sheet.box(x + left + block * n * size, y, 0, m * m * size, "none", palette.MUTED, 0.8)

    return Block(left + n * n * size, m * m * size, draw)


def _image(image: Image, label: str) -> Block:
    """An image of sums, every product a chip."""
    most = max(len(total) for row in image for total in row)
    per_row = max(1, math.ceil(math.sqrt(most)))
    width = max(1.6, per_row * CHIP_WIDTH + 0.3)
    height = max(1.2, math.ceil(most / per_row) * CHIP_HEIGHT + 0.4)

    def draw(sheet: Sheet, x: float, y: float) -> None:
        for row, sums in enumerate(image):
            for col, total in enumerate(sums):
                left, top = x + col * width, y + row * height
                sheet.box(left, top, width, height, palette.PAPER, palette.MUTED)
                sheet.chips(left, top, total, per_row, width, height)

    return Block(len(image) * width, len(image) * height, draw, label)


# ------------------------------------------------------------------------------------------------------------- layout


def _lines(groups: Sequence[BlockRow]) -> list[list[BlockRow]]:
    """Two groups to a line where they fit, else one."""
    lines: list[list[BlockRow]] = []
    for first, second in zip(groups[::2], groups[1::2], strict=True):
        if first.width + second.width + GROUP_GAP <= PAGE_WIDTH:
            lines.append([first, second])
        else:
            lines += [[first], [second]]
    return lines


def _draw_group(sheet: Sheet, x: float, y: float, group: BlockRow, line_height: float) -> None:
    sheet.text(x, y + 0.4, group.heading, 0.5, align="left", weight="bold")
    top, height = y + HEADING + LABEL, line_height - HEADING - LABEL
    for block in group.blocks:
        block_top = top + (height - block.height) / 2
        if block.label:
            sheet.text(x + block.width / 2, block_top - 0.45, block.label, 0.42, colour=palette.SUBTLE)
        block.draw(sheet, x, block_top)
        x += block.width + GAP
