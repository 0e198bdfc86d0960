"""The two slides of the kernel as steps: where the kernel stands, and which pixel it computes.

The convolution and its transpose run side by side and end together: the one with fewer positions stays longer on each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .algebra import FIRST_NUMBER, Derivation, Grid, Image, Pixel, Sum, WeightGrid


@dataclass(frozen=True)
class Slide:
    """A kernel sliding over a grid, one output pixel a position, in reading order."""

    name: str
    source: Grid
    source_name: str
    kernel: WeightGrid
    stride: int
    result: Image
    result_name: str

    @property
    def size(self) -> int:
        """Pixels along one side of the result."""
        return len(self.result)

    @property
    def position_count(self) -> int:
        return self.size**2

    def corner(self, position: int) -> tuple[int, int]:
        """Row and column of the kernel's top left corner."""
        row, col = divmod(position, self.size)
        return row * self.stride, col * self.stride

    def pixel(self, position: int) -> Pixel:
        """The pixel computed at this position."""
        return Pixel(self.result_name, FIRST_NUMBER[self.result_name] + position)

    def total(self, position: int) -> Sum:
        """The sum that this pixel is."""
        row, col = divmod(position, self.size)
        return self.result[row][col]


def slides(d: Derivation) -> tuple[Slide, Slide]:
    """The convolution, and its transpose as the convolution of ``input'`` with ``kernel'``."""
    return (
        Slide("Convolution", d.padded_x, "X", d.kernel, d.stride, d.convolved, "y"),
        Slide("Its transpose", d.inserted, "input′", d.flipped_kernel, 1, d.reconvolved, "z"),
    )


def positions(pair: tuple[Slide, Slide]) -> Iterator[tuple[int, int]]:
    """For each step, the position of both kernels."""
    first, second = (slide.position_count for slide in pair)
    total = max(first, second)
    for step in range(total):
        yield step * first // total, step * second // total
