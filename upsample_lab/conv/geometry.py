"""Chapter 1: where the taps of a convolution fall, and how large an image they make. Integers only, no torch.

Along one axis, output pixel ``p`` meets kernel tap ``u`` at input pixel

    p·stride + u·dilation - padding,

which counts only where it lies inside the image. This one sentence is the whole of the convolution *and* of its
transpose: the convolution reads the input pixel and adds to the output pixel, the transpose the other way round.

An image of 5 pixels and a kernel of 3, stride 2, padding 1, make 3 pixels; the first tap of the first of them, and the
last tap of the last, fall on the padding:

>>> [[p * 2 + u - 1 for u in range(3)] for p in range(convolved_size(5, 3, stride=2, padding=1))]
[[-1, 0, 1], [1, 2, 3], [3, 4, 5]]

Backwards, 3 pixels make 5 again, with the same numbers:

>>> transposed_size(3, 3, stride=2, padding=1)
5
"""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]


def kernel_span(kernel_size: int, dilation: int = 1) -> int:
    """Pixels from the first tap of a kernel to its last, both included: ``d(k-1) + 1``."""
    return dilation * (kernel_size - 1) + 1


def convolved_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Positions at which the kernel fits into the padded axis: ``⌊(n + 2p - d(k-1) - 1) / s⌋ + 1``."""
    return (size + 2 * padding - kernel_span(kernel_size, dilation)) // stride + 1


def transposed_size(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0
) -> int:
    """The smallest axis that gives ``size`` outputs, and more: ``(n - 1)s - 2p + d(k-1) + 1 + output_padding``."""
    return (size - 1) * stride - 2 * padding + kernel_span(kernel_size, dilation) + output_padding


def positions_inside(count: int, stride: int, shift: int, size: int) -> slice:
    """Those ``i`` of ``count`` whose place, ``i·stride + shift``, lies inside an axis of ``size`` pixels."""
    first = max(0, -(shift // stride))  # ⌈-shift / stride⌉
    return slice(first, max(first, min(count, (size - 1 - shift) // stride + 1)))


class Geometry(NamedTuple):
    """Stride, zero padding and dilation, each as (vertical, horizontal), and the number of channel groups."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_size(self, size: Pair, kernel: Pair) -> Pair:
        """`convolved_size` of both axes."""
        return (
            convolved_size(size[0], kernel[0], *self.along(0)),
            convolved_size(size[1], kernel[1], *self.along(1)),
        )

    def transposed_size(self, size: Pair, kernel: Pair, output_padding: Pair = (0, 0)) -> Pair:
        """`transposed_size` of both axes."""
        return (
            transposed_size(size[0], kernel[0], *self.along(0), output_padding[0]),
            transposed_size(size[1], kernel[1], *self.along(1), output_padding[1]),
        )

    def places(self, axis: int, tap: int, count: int) -> slice:
        """Where a tap falls in the *padded* image, along one axis, for ``count`` output pixels."""
        start = tap * self.dilation[axis]
        return slice(start, start + (count - 1) * self.stride[axis] + 1, self.stride[axis])

    def along(self, axis: int) -> tuple[int, int, int]:
        """Stride, padding and dilation of one axis."""
        return self.stride[axis], self.padding[axis], self.dilation[axis]
