"""Where the taps of a convolution fall: the four numbers per axis that every algorithm shares."""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """Stride, zero padding and dilation, each as (vertical, horizontal), and the number of channel groups.

    Output pixel ``(p, q)`` meets kernel tap ``(u, v)`` at input pixel

        (p·stride + u·dilation - padding,  q·stride + v·dilation - padding),

    which counts only where it lies inside the image. This one sentence is the whole of the convolution *and* of its
    transpose: the convolution reads the input pixel and adds to the output pixel, the transpose the other way round.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def extent(self, kernel: Pair) -> Pair:
        """Pixels from the first tap of the kernel to its last, both included: ``dilation·(k - 1) + 1``."""
        return self.dilation[0] * (kernel[0] - 1) + 1, self.dilation[1] * (kernel[1] - 1) + 1

    def output_size(self, size: Pair, kernel: Pair) -> Pair:
        """Number of positions at which the kernel fits into the padded image, per axis."""
        extent = self.extent(kernel)
        return (
            (size[0] + 2 * self.padding[0] - extent[0]) // self.stride[0] + 1,
            (size[1] + 2 * self.padding[1] - extent[1]) // self.stride[1] + 1,
        )

    def transposed_size(self, size: Pair, kernel: Pair, output_padding: Pair = (0, 0)) -> Pair:
        """The image that gives ``size`` outputs: the smallest such image, plus ``output_padding``."""
        extent = self.extent(kernel)
        return (
            (size[0] - 1) * self.stride[0] - 2 * self.padding[0] + extent[0] + output_padding[0],
            (size[1] - 1) * self.stride[1] - 2 * self.padding[1] + extent[1] + output_padding[1],
        )
