"""The symbols against the definition, against numbers, and against what is known of the two classic cases."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from upsample_lab.conv.arithmetic import conv_output_size, inverting_output_padding, tap_count
from upsample_lab.explain.algebra import Derivation, Image, Pixel, Sum, Term, Weight
from upsample_lab.explain.steps import positions, slides

GEOMETRIES = [
    (n, k, s, p)
    for n, k, s, p in itertools.product((1, 2, 4, 5, 7), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2, 4))
    if k <= n + 2 * p
]
ids = "i{0[0]}-k{0[1]}-s{0[2]}-p{0[3]}".format


def plain(image: Image) -> list[str]:
    """Rows of an image as `w10 y0 + w00 y2 | …`."""

    def term(term: Term) -> str:
        return f"w{term.weight.row}{term.weight.col} {term.pixel.name}{term.pixel.number}"

    return [" | ".join(" + ".join(map(term, total.terms)) for total in row) for row in image]


def parse(row: str) -> list[Sum]:
    """The sums written in a row of `plain`, in whatever order their terms are."""
    sums = []
    for cell in row.split(" | "):
        total = Sum()
        for product in cell.split(" + "):
            weight, pixel = product.split(" ")
            total.add(Weight(int(weight[1]), int(weight[2])), Pixel(pixel[0], int(pixel[1:])))
        sums.append(total)
    return sums


def test_stride_1_is_what_the_corrected_write_up_says() -> None:
    """4x4 input, 3x3 kernel, stride 1: the inner pixels get all four overlaps."""
    image = Derivation(4, 3, 1, 0).transposed
    row_2 = "w10 y0 + w00 y2 | w11 y0 + w10 y1 + w01 y2 + w00 y3 | w12 y0 + w11 y1 + w02 y2 + w01 y3 | w12 y1 + w02 y3"
    row_3 = "w20 y0 + w10 y2 | w21 y0 + w20 y1 + w11 y2 + w10 y3 | w22 y0 + w21 y1 + w12 y2 + w11 y3 | w22 y1 + w12 y3"
    assert list(image[1]) == parse(row_2)
    assert list(image[2]) == parse(row_3)
    assert plain(image)[1:3] == [row_2, row_3]


def test_stride_2_is_what_the_corrected_write_up_says() -> None:
    """5x5 input, 3x3 kernel, stride 2: C is 4x25, its transpose 25x4, and the middle row overlaps."""
    derivation = Derivation(5, 3, 2, 0)
    assert (len(derivation.matrix), len(derivation.matrix[0])) == (4, 25)
    assert (len(derivation.transposed_matrix), len(derivation.transposed_matrix[0])) == (25, 4)
    row_3 = "w20 y0 + w00 y2 | w21 y0 + w01 y2 | w22 y0 + w20 y1 + w02 y2 + w00 y3 | w21 y1 + w01 y3 | w22 y1 + w02 y3"
    assert list(derivation.transposed[2]) == parse(row_3)


def test_a_missing_term_would_be_noticed() -> None:
    assert parse("w11 y0 + w10 y1") != parse("w11 y0 + w10 y1 + w01 y2")
    assert parse("w11 y0 + w10 y1") == parse("w10 y1 + w11 y0")
    assert parse("w11 y0") != parse("w11 y0 + w11 y0")


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=ids)
def test_both_ways_are_equal_term_by_term(geometry: tuple[int, int, int, int]) -> None:
    derivation = Derivation(*geometry)
    assert derivation.transposed == derivation.reconvolved
    assert derivation.is_equal
    assert len(derivation.reconvolved) == derivation.input_size


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=ids)
def test_sizes_and_products_are_the_arithmetics(geometry: tuple[int, int, int, int]) -> None:
    n, k, s, p = geometry
    derivation = Derivation(*geometry)
    assert derivation.output_size == len(derivation.convolved) == conv_output_size(n, k, s, p)
    assert derivation.output_padding == inverting_output_padding(n, k, s, p)
    assert derivation.product_count == tap_count(derivation.output_size, n, k, s, p) ** 2


@pytest.mark.parametrize("geometry", GEOMETRIES[::3], ids=ids)
def test_numbers_put_for_the_symbols_give_torchs_images(geometry: tuple[int, int, int, int]) -> None:
    n, k, s, p = geometry
    derivation = Derivation(*geometry)
    generator = torch.Generator().manual_seed(0)
    m = derivation.output_size
    weight, x, y = (torch.rand(size, size, dtype=torch.float64, generator=generator) for size in (k, n, m))

    def evaluate(image: Image, pixels: torch.Tensor) -> torch.Tensor:
        values = [[total.evaluate(weight.tolist(), pixels.flatten().tolist()) for total in row] for row in image]
        return torch.tensor(values, dtype=torch.float64)

    expected = F.conv2d(x[None, None], weight[None, None], stride=s, padding=p)[0, 0]
    torch.testing.assert_close(evaluate(derivation.convolved, x), expected)
    expected = F.conv_transpose2d(
        y[None, None], weight[None, None], stride=s, padding=p, output_padding=derivation.output_padding
    )[0, 0]
    torch.testing.assert_close(evaluate(derivation.transposed, y), expected)


def test_a_kernel_that_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"kernel_size=5 must not exceed .* input_size=2") as refusal:
        Derivation(2, 5, 1, 1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("geometry", [(4, 3, 1, 0), (5, 3, 2, 0), (3, 1, 1, 2)], ids=ids)
def test_slides_visit_every_position_in_order_and_end_together(geometry: tuple[int, int, int, int]) -> None:
    pair = slides(Derivation(*geometry))
    steps = list(positions(pair))
    for slide, visited in zip(pair, zip(*steps, strict=True), strict=True):
        assert sorted(set(visited)) == list(range(slide.position_count))
        assert list(visited) == sorted(visited)
        last_row, last_col = slide.corner(slide.position_count - 1)
        assert last_row + len(slide.kernel) <= len(slide.source)
        assert last_col + len(slide.kernel) <= len(slide.source)
