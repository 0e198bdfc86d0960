"""The derivation as one HTML file: no network, no library, readable on a phone, in the dark, and without a mouse.

Everything that is shown is written here from the algebra; the script in the page only moves the kernel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from .algebra import Derivation, Grid, GridCell, Image, Pixel, Sum, Term, Weight
from .palette import weight_colour
from .steps import Slide, positions, slides
from .text import insertion_recipe

TEMPLATE = "page.html"


def derivation_page(d: Derivation) -> str:
    """The page as a string."""
    pair = slides(d)
    template = Template(files("upsample_lab.explain").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    n, m = d.input_size, d.output_size
    return template.substitute(
        facts=f"input {n}×{n} · kernel {d.kernel_size}×{d.kernel_size} · stride {d.stride} · padding {d.padding} "
        f"· output {m}×{m}",
        colours=_colours(d),
        widest=max(len(slide.source) for slide in pair),
        both=max(len(slide.source) + slide.size for slide in pair),
        columns=n * n,
        last_step=len(list(positions(pair))) - 1,
        panels="".join(map(_panel, pair)),
        x=_grid(d.padded_x),
        w=_grid(d.kernel),
        y=_grid(d.y),
        matrix_shape=f"{m * m}×{n * n}",
        transposed_shape=f"{n * n}×{m * m}",
        matrix=_matrix(d),
        image=_image(d.transposed),
        inserted=_grid(d.inserted),
        flipped=_grid(d.flipped_kernel),
        recipe=escape(insertion_recipe(d)),
        verdict=_verdict(d),
        steps=json.dumps(_step_data(pair)),
    )


# -------------------------------------------------------------------------------------------------------------- parts


def _colours(d: Derivation) -> str:
    """A custom property and a class for the colour of each weight."""
    rules = []
    for row in d.kernel:
        for weight in row:
            rules.append(f".{_name(weight)} {{ background: {weight_colour(weight, d.kernel_size)}; color: #14171c; }}")
    return "\n".join(rules)


def _panel(slide: Slide) -> str:
    """The grid under the kernel, the result so far, and every sum; the script shows one of them at a time."""
    formula = "Y = C X" if slide.result_name == "y" else "Z = Cᵀ Y"
    how = f"the kernel slides over X, stride {slide.stride}"
    if slide.result_name == "z":
        how = "the flipped kernel slides over input′, stride 1"
    results = tuple(
        tuple(slide.pixel(row * slide.size + col) for col in range(slide.size)) for row in range(slide.size)
    )
    sums = "".join(
        f'<p class="sum" hidden>{_symbol(slide.pixel(position))} = {_chips(slide.total(position))}</p>'
        for position in range(slide.position_count)
    )
    return f"""
<section class="panel" data-slide="{slide.result_name}">
  <h3>{slide.name} <span class="formula">{formula}</span></h3>
  <p class="how">{how}</p>
  <div class="grids">
    <figure><figcaption>{slide.source_name}</figcaption>{_grid(slide.source, "source")}</figure>
    <figure><figcaption>{slide.result_name.upper()}</figcaption>{_grid(results, "result")}</figure>
  </div>
  <div class="sums" aria-live="polite">{sums}</div>
</section>"""


def _step_data(pair: tuple[Slide, Slide]) -> dict[str, object]:
    """What the script needs: for each slide the kernel and its corners, and for each step both positions."""
    return {
        "positions": list(positions(pair)),
        "slides": {
            slide.result_name: {
                "kernel": [[[_name(weight), _symbol(weight)] for weight in row] for row in slide.kernel],
                "corners": [slide.corner(position) for position in range(slide.position_count)],
            }
            for slide in pair
        },
    }


def _matrix(d: Derivation) -> str:
    """``C`` as a table, with a line between the rows of the image."""
    n = d.input_size
    pixels = [pixel for row in d.x for pixel in row]
    head = "".join(f'<th scope="col"{_block(i, n)}>{_symbol(pixel)}</th>' for i, pixel in enumerate(pixels))
    rows = []
    for pixel, row in zip((pixel for line in d.y for pixel in line), d.matrix, strict=True):
        cells = "".join(
            f'<td class="{_name(cell)}"{_block(i, n)}>{_symbol(cell)}</td>' if cell else f"<td{_block(i, n)}></td>"
            for i, cell in enumerate(row)
        )
        rows.append(f'<tr><th scope="row">{_symbol(pixel)}</th>{cells}</tr>')
    return f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _block(column: int, input_size: int) -> str:
    return ' data-block=""' if column % input_size == 0 else ""


def _image(image: Image) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{_chips(total)}</td>" for total in row) + "</tr>" for row in image)
    return f'<table class="image"><tbody>{rows}</tbody></table>'


def _verdict(d: Derivation) -> str:
    pairs = [pair for rows in zip(d.transposed, d.reconvolved, strict=True) for pair in zip(*rows, strict=True)]
    equal = sum(first == second for first, second in pairs)
    wasted = d.sliding_product_count - d.product_count
    return (
        f"{equal} of {len(pairs)} pixels are equal, term by term; each way has the same {d.product_count} products. "
        f"Slid over input′ as it stands, the kernel would make {d.sliding_product_count} products, {wasted} of them "
        f"with an inserted zero."
    )


# ------------------------------------------------------------------------------------------------------------ symbols


def _grid(grid: Grid | Sequence[Sequence[GridCell]], role: str = "") -> str:
    cells = "".join(
        f'<span class="cell {_kind(cell)}"><span>{_symbol(cell)}</span></span>' for row in grid for cell in row
    )
    return f'<div class="grid {role}" style="--columns: {len(grid[0])}">{cells}</div>'


def _chips(total: Sum) -> str:
    if not total.terms:
        return '<span class="none">0</span>'
    plus = '<span class="plus">+</span>'
    return plus.join(_chip(term) for term in total.terms)


def _chip(term: Term) -> str:
    return f'<span class="chip {_name(term.weight)}">{_symbol(term.weight)} {_symbol(term.pixel)}</span>'


def _kind(cell: GridCell) -> str:
    if cell is None:
        return "zero"
    return _name(cell) if isinstance(cell, Weight) else f"pixel-{cell.name}"


def _name(weight: GridCell) -> str:
    """The class of everything that is a given weight."""
    return f"w-{weight.row}-{weight.col}" if isinstance(weight, Weight) else ""


def _symbol(cell: GridCell) -> str:
    if cell is None:
        return "0"
    if isinstance(cell, Pixel):
        return f"<i>{cell.name}</i><sub>{cell.number}</sub>"
    return f"<i>w</i><sub>{cell.row},{cell.col}</sub>"
