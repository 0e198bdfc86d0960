"""The derivation as text: Unicode subscripts, aligned columns, nothing wider than a terminal where it can be helped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from .algebra import FIRST_NUMBER, Derivation, Grid, GridCell, Image, Pixel, Sum

WIDTH = 120
"""Columns that a table may take before it is broken into parts."""

LONGEST_TABLE = 25
"""Rows of a list in which every pixel is compared; a longer one would only repeat the image above it."""

INDENT = "   "


def derivation_text(derivation: Derivation) -> str:
    """The whole derivation, section by section."""
    sections = [
        _title(derivation),
        _convolution(derivation),
        _matrix(derivation),
        _transposed(derivation),
        _inserted(derivation),
        _equality(derivation),
    ]
    return "\n\n".join(sections) + "\n"


# ----------------------------------------------------------------------------------------------------------- sections


def _title(d: Derivation) -> str:
    title = "A transposed convolution is a convolution read backwards"
    facts = (
        f"input {d.input_size}×{d.input_size}, kernel {d.kernel_size}×{d.kernel_size}, "
        f"stride {d.stride}, padding {d.padding}: output {d.output_size}×{d.output_size}"
    )
    return f"{title}\n{'═' * len(title)}\n{facts}"


def _convolution(d: Derivation) -> str:
    padded = d.padding > 0
    grids = beside(
        labelled("X, padded with zeros" if padded else "X", grid_lines(d.padded_x)),
        labelled("W", grid_lines(d.kernel)),
        labelled("Y", grid_lines(d.y)),
    )
    sums = [(str(pixel), total) for pixel, total in zip(_flat(d.y), _flat(d.convolved), strict=True)]
    shown = sums if len(sums) <= 16 else [*sums[:4], *sums[-1:]]
    lines = [line for name, total in shown for line in equation_lines(name, total)]
    if len(shown) < len(sums):
        last = len(equation_lines(*shown[-1]))
        lines.insert(len(lines) - last, f"{INDENT}⋮   ({len(sums) - len(shown)} more)")
    heading = "1  The convolution: W slides over X, and each position of it gives one pixel of Y"
    return "\n".join([heading, "", *grids, "", *lines])


def _matrix(d: Derivation) -> str:
    n, m = d.input_size, d.output_size
    heading = f"2  The same as a matrix: Y = C X, with C of shape {m * m}×{n * n} and Cᵀ of shape {n * n}×{m * m}"
    note = "a row for each pixel of Y, a column for each pixel of X; · is 0; each weight is shared by all rows"
    return "\n".join([heading, INDENT + note, "", *matrix_lines(d)])


def _transposed(d: Derivation) -> str:
    heading = f"3  The transpose: Z = Cᵀ Y, rearranged as an image of the input's size, {d.input_size}×{d.input_size}"
    note = "each y is spread by the kernel over the window that it came from; overlapping products add up"
    return "\n".join([heading, INDENT + note, "", *image_lines(d.transposed)])


def _inserted(d: Derivation) -> str:
    heading = "4  The same as a convolution of stride 1: input' with kernel'"
    grids = beside(
        labelled("input'", grid_lines(d.inserted)),
        labelled("kernel', W flipped both ways", grid_lines(d.flipped_kernel)),
    )
    recipe = textwrap.wrap(f"input' is {insertion_recipe(d)}", WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return "\n".join([heading, *recipe, "", *grids])


def insertion_recipe(d: Derivation) -> str:
    """How ``input'`` is made of ``Y``, in words."""
    recipe = f"Y with stride − 1 = {_zeros(d.stride - 1)} between neighbours"
    if d.border >= 0:
        recipe += f" and kernel_size − 1 − padding = {_zeros(d.border)} around"
    else:
        recipe += f", cropped by padding − (kernel_size − 1) = {-d.border} on each side"
    if d.output_padding:
        recipe += f", and output_padding = {d.output_padding} more at the bottom and right"
    return recipe


def _zeros(count: int) -> str:
    return "1 zero" if count == 1 else f"{count} zeros"


def _equality(d: Derivation) -> str:
    heading = "5  Both give the same image, term by term"
    pairs = list(zip(_flat(d.transposed), _flat(d.reconvolved), strict=True))
    equal = sum(first == second for first, second in pairs)
    lines = [heading, ""]
    rows = [
        [str(Pixel("z", number)), str(first), "=" if first == second else "≠", str(second)]
        for number, (first, second) in enumerate(pairs, start=FIRST_NUMBER["z"])
    ]
    table = columns([["", "Cᵀ Y", "", "input' * kernel'"], *rows])
    if len(rows) <= LONGEST_TABLE and max(map(len, table)) <= WIDTH:
        lines += [*table, ""]
    wasted = d.sliding_product_count - d.product_count
    lines += [
        f"{INDENT}{equal} of {len(pairs)} pixels are equal; each way has the same {d.product_count} products.",
        f"{INDENT}Slid over input' as it stands, the kernel would make {d.sliding_product_count} products, "
        f"{wasted} of them with an inserted zero.",
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------- blocks


def cell_text(cell: GridCell, zero: str = "0") -> str:
    return zero if cell is None else str(cell)


def grid_lines(grid: Grid) -> list[str]:
    """A grid in square brackets, its columns aligned."""
    texts = [[cell_text(cell) for cell in row] for row in grid]
    width = max(len(text) for row in texts for text in row)
    return ["[ " + " ".join(text.ljust(width) for text in row) + " ]" for row in texts]


def labelled(label: str, lines: Sequence[str]) -> list[str]:
    return [label, *lines]


def beside(*blocks: Sequence[str]) -> list[str]:
    """Blocks next to each other, or below each other where that would be wider than the page."""
    widths = [max(map(len, block)) for block in blocks]
    if sum(widths) + 4 * len(blocks) > WIDTH:
        lines = [INDENT + line for block in blocks for line in [*block, ""]]
        return lines[:-1]
    height = max(map(len, blocks))
    rows = [[block[i] if i < len(block) else "" for block in blocks] for i in range(height)]
    return [(INDENT + "    ".join(text.ljust(w) for text, w in zip(row, widths, strict=True))).rstrip() for row in rows]


def equation_lines(name: str, total: Sum) -> list[str]:
    """``y₀ = …``, continued below the first term where it is long."""
    start = f"{INDENT}{name.ljust(3)} = "
    return textwrap.wrap(str(total), WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text, their columns aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (INDENT + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def matrix_lines(d: Derivation) -> list[str]:
    """``C`` with a name to each row and column, cut between image rows into parts that fit the page."""
    n = d.input_size
    width = max(len(str(cell)) for cell in [*_flat(d.x), *_flat(d.kernel)])
    block_width = n * (width + 1) + 2
    blocks_per_part = max(1, (WIDTH - 8) // block_width)
    lines: list[str] = []
    for first in range(0, n, blocks_per_part):
        blocks = range(first, min(n, first + blocks_per_part))
        lines += ["", _matrix_row("", ([str(pixel) for pixel in d.x[block]] for block in blocks), width)]
        for name, row in zip(_flat(d.y), d.matrix, strict=True):
            if blocks_per_part < n and not any(row[blocks.start * n : blocks.stop * n]):
                continue
            parts = ([cell_text(cell, "·") for cell in row[block * n : (block + 1) * n]] for block in blocks)
            lines.append(_matrix_row(str(name), parts, width))
    if blocks_per_part < n:
        lines += ["", f"{INDENT}(in parts; the rows that are not listed in a part hold only zeros there)"]
    return lines[1:]


def _matrix_row(name: str, blocks: Iterable[Sequence[str]], width: int) -> str:
    parts = [" ".join(text.ljust(width) for text in block) for block in blocks]
    return f"{INDENT}{name.ljust(4)}│ " + " │ ".join(parts) + " │"


def image_lines(image: Image) -> list[str]:
    """An image of sums: a box for each pixel, its terms in as few lines as the page allows."""
    per_line = _terms_per_line(image)
    cells = [[_cell_lines(total, per_line) for total in row] for row in image]
    widths = [max(len(line) for row in cells for line in row[col]) for col in range(len(image[0]))]
    rule = ["─" * (width + 2) for width in widths]
    lines = [INDENT + "┌" + "┬".join(rule) + "┐"]
    for number, row in enumerate(cells):
        if number:
            lines.append(INDENT + "├" + "┼".join(rule) + "┤")
        for i in range(max(map(len, row))):
            texts = [cell[i] if i < len(cell) else "" for cell in row]
            lines.append(
                INDENT + "│" + "│".join(f" {text.ljust(w)} " for text, w in zip(texts, widths, strict=True)) + "│"
            )
    lines.append(INDENT + "└" + "┴".join(rule) + "┘")
    return lines


def _terms_per_line(image: Image) -> int:
    """As many terms to a line of a cell as keep the whole image within the page; at least one."""
    most = max(len(total) for total in _flat(image))
    for per_line in range(most, 1, -1):
        widths = [
            max(len(line) for row in image for line in _cell_lines(row[col], per_line)) for col in range(len(image))
        ]
        if sum(widths) + 3 * len(widths) + 1 + len(INDENT) <= WIDTH:
            return per_line
    return 1


def _cell_lines(total: Sum, per_line: int) -> list[str]:
    terms = [str(term) for term in total.terms] or ["0"]
    lines = [" + ".join(terms[i : i + per_line]) for i in range(0, len(terms), per_line)]
    return [lines[0], *(f"+ {line}" for line in lines[1:])]


def _flat(rows: Sequence[Sequence]) -> list:
    return [cell for row in rows for cell in row]
