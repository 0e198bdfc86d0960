"""Convolution and transposed convolution computed with symbols instead of numbers.

A pixel of a result is a sum of products, each of one kernel weight and one pixel. No more algebra is needed:
a `Sum` maps ``(weight, pixel)`` to how often the product occurs, and two images are equal when their sums are.

Names follow the usual write-ups: ``w_{row,col}`` from 0, input pixels ``x_1 …`` and pixels ``z_1 …`` of the transposed
convolution's result from 1, output pixels ``y_0 …`` from 0, all in reading order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from upsample_lab.conv.arithmetic import conv_output_size, inverting_output_padding

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Weight(NamedTuple):
    """A weight of the kernel, ``w_{row,col}``."""

    row: int
    col: int

    def __str__(self) -> str:
        return f"w{self.row}{self.col}".translate(_SUBSCRIPTS)


class Pixel(NamedTuple):
    """A pixel, ``x_1 …`` (input), ``y_0 …`` (output) or ``z_1 …`` (result of the transposed convolution)."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name}{self.number}".translate(_SUBSCRIPTS)


class Term(NamedTuple):
    """The product of a weight and a pixel."""

    weight: Weight
    pixel: Pixel

    def __str__(self) -> str:
        return f"{self.weight}{self.pixel}"


class Sum:
    """A sum of terms with integer coefficients; equal to another when every coefficient is."""

    def __init__(self) -> None:
        self._coefficients: Counter[Term] = Counter()

    def add(self, weight: Weight, pixel: Pixel) -> None:
        self._coefficients[Term(weight, pixel)] += 1

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms in the order of their pixels, each as often as it occurs."""
        return tuple(sorted(self._coefficients.elements(), key=lambda term: (term.pixel, term.weight)))

    def evaluate(self, weights: Sequence[Sequence[float]], pixels: Sequence[float]) -> float:
        """The sum's value; ``pixels`` are in reading order, whichever number they start from."""
        return sum(
            count * weights[weight.row][weight.col] * pixels[pixel.number - FIRST_NUMBER[pixel.name]]
            for (weight, pixel), count in self._coefficients.items()
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and self._coefficients == other._coefficients

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __len__(self) -> int:
        return self._coefficients.total()

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms)) or "0"


FIRST_NUMBER = {"x": 1, "y": 0, "z": 1}

GridCell = Weight | Pixel | None
"""What a small square of a drawing holds; None is a zero that padding or zero insertion put there."""

Grid = tuple[tuple[GridCell, ...], ...]
PixelGrid = tuple[tuple[Pixel, ...], ...]
WeightGrid = tuple[tuple[Weight, ...], ...]
Image = tuple[tuple[Sum, ...], ...]


@dataclass(frozen=True)
class Derivation:
    """Everything that is shown about one kernel size, stride and padding, for a square image and one channel.

    Raises ValueError if the kernel does not fit into the padded input.
    """

    input_size: int
    kernel_size: int
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        if self.kernel_size > self.input_size + 2 * self.padding:
            raise ValueError(
                f"kernel_size={self.kernel_size} must not exceed the padded input: "
                f"input_size={self.input_size} + 2·padding={self.padding} is {self.input_size + 2 * self.padding}"
            )

    # ------------------------------------------------------------------------------------------- sizes

    @property
    def output_size(self) -> int:
        return conv_output_size(self.input_size, self.kernel_size, self.stride, self.padding)

    @property
    def output_padding(self) -> int:
        """What the transposed convolution must add to give ``input_size`` back: the floor's remainder."""
        return inverting_output_padding(self.input_size, self.kernel_size, self.stride, self.padding)

    @property
    def border(self) -> int:
        """Zeros around the zero-inserted image; where negative, so many rows are cropped instead."""
        return self.kernel_size - 1 - self.padding

    # ------------------------------------------------------------------------------------- the symbols

    @cached_property
    def x(self) -> PixelGrid:
        return _pixels("x", self.input_size)

    @cached_property
    def y(self) -> PixelGrid:
        return _pixels("y", self.output_size)

    @cached_property
    def kernel(self) -> WeightGrid:
        return tuple(tuple(Weight(row, col) for col in range(self.kernel_size)) for row in range(self.kernel_size))

    # --------------------------------------------------------------------------------- the convolution

    @cached_property
    def padded_x(self) -> Grid:
        return _surround(self.x, self.padding, self.padding)

    @cached_property
    def convolved(self) -> Image:
        """The convolution by its definition: the kernel slides over the padded input in steps of the stride."""
        return correlate(self.padded_x, self.kernel, self.stride)

    @cached_property
    def matrix(self) -> Grid:
        """``C``, one row for each output pixel and one column for each input pixel, read off `convolved`."""
        rows = []
        for output in _flat(self.convolved):
            row: list[GridCell] = [None] * self.input_size**2
            for weight, pixel in output.terms:
                row[pixel.number - FIRST_NUMBER["x"]] = weight
            rows.append(tuple(row))
        return tuple(rows)

    @property
    def transposed_matrix(self) -> Grid:
        """``Cᵀ``."""
        return tuple(zip(*self.matrix, strict=True))

    # ---------------------------------------------------------------------- its transpose, in two ways

    @cached_property
    def transposed(self) -> Image:
        """``Cᵀ Y``, rearranged as an image of the input's size: each row of ``Cᵀ`` times the column ``Y``."""
        column = list(_flat(self.y))
        sums = []
        for row in self.transposed_matrix:
            total = Sum()
            for weight, pixel in zip(row, column, strict=True):
                if isinstance(weight, Weight):
                    total.add(weight, pixel)
            sums.append(total)
        n = self.input_size
        return tuple(tuple(sums[row * n : (row + 1) * n]) for row in range(n))

    @cached_property
    def inserted(self) -> Grid:
        """``input'``: ``Y`` with ``stride - 1`` zeros between neighbours and `border` zeros around.

        A further `output_padding` rows and columns of zeros follow at the bottom and the right.
        """
        size = (self.output_size - 1) * self.stride + 1
        spread: list[list[GridCell]] = [[None] * size for _ in range(size)]
        for row, pixels in enumerate(self.y):
            for col, pixel in enumerate(pixels):
                spread[row * self.stride][col * self.stride] = pixel
        return _surround(tuple(map(tuple, spread)), self.border, self.border + self.output_padding)

    @cached_property
    def flipped_kernel(self) -> WeightGrid:
        """``kernel'``: the kernel read backwards, in both directions."""
        return tuple(row[::-1] for row in self.kernel[::-1])

    @cached_property
    def reconvolved(self) -> Image:
        """The stride-1 convolution of ``input'`` with ``kernel'``."""
        return correlate(self.inserted, self.flipped_kernel, 1)

    # ------------------------------------------------------------------------------------ the equality

    @property
    def is_equal(self) -> bool:
        """Whether the two ways give the same image, term by term."""
        return self.transposed == self.reconvolved

    @property
    def product_count(self) -> int:
        """Products of a weight with a real pixel: the stored entries of ``C``."""
        return sum(len(total) for total in _flat(self.transposed))

    @property
    def sliding_product_count(self) -> int:
        """Products that the sliding kernel makes if it also multiplies the inserted zeros."""
        return self.input_size**2 * self.kernel_size**2


def correlate(image: Grid, kernel: WeightGrid, stride: int) -> Image:
    """What deep learning calls a convolution, of symbols: the kernel slides, unflipped, in steps of the stride."""
    rows = range(0, len(image) - len(kernel) + 1, stride)
    return tuple(tuple(_window_sum(image, kernel, top, left) for left in rows) for top in rows)


def _window_sum(image: Grid, kernel: WeightGrid, top: int, left: int) -> Sum:
    total = Sum()
    for row, weights in enumerate(kernel):
        for col, weight in enumerate(weights):
            pixel = image[top + row][left + col]
            if isinstance(pixel, Pixel):
                total.add(weight, pixel)
    return total


def _pixels(name: str, size: int) -> PixelGrid:
    first = FIRST_NUMBER[name]
    return tuple(tuple(Pixel(name, first + row * size + col) for col in range(size)) for row in range(size))


def _surround(grid: Grid, before: int, after: int) -> Grid:
    """Zeros around a grid, ``before`` at the top and left, ``after`` at the bottom and right; negative crops."""
    size = len(grid)
    span = range(-before, size + after)
    return tuple(tuple(grid[row][col] if 0 <= row < size and 0 <= col < size else None for col in span) for row in span)


def _flat(rows: Sequence[Sequence[object]]) -> Iterator:
    return (cell for row in rows for cell in row)
