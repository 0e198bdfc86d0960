"""Chapter 5: the transposed convolution as an ordinary one, over an input with zeros inserted, the kernel flipped.

`Cᵀ y` gives output pixel ``p`` the tap ``u`` of input pixel ``q`` where ``p = q·stride + u·dilation - padding``. Spread
the input apart so that pixel ``q`` stands at ``q·stride``, and this reads ``p + padding - u·dilation``: a convolution
of stride 1, except that ``u`` counts backwards. So, in five steps,

1. put ``stride - 1`` zeros between neighbouring pixels,
2. put ``dilation·(k - 1) - padding`` zeros around (cut pixels off where this is negative),
3. add ``output_padding`` rows at the bottom and columns at the right,
4. flip the kernel in both directions and exchange its input and output channels,
5. convolve with stride 1.

Four pixels and the kernel 1 … 9, stride 2, padding 1:

>>> import torch
>>> y, w, g = torch.tensor([[[[1, 2], [3, 4]]]]), torch.arange(1, 10).view(1, 1, 3, 3), Geometry((2, 2), (1, 1))
>>> insert_zeros(y, (3, 3), (3, 3), g)[0, 0]
tensor([[0, 0, 0, 0, 0],
        [0, 1, 0, 2, 0],
        [0, 0, 0, 0, 0],
        [0, 3, 0, 4, 0],
        [0, 0, 0, 0, 0]])
>>> flip_kernel(w, groups=1).tolist()
[[[[9, 8, 7], [6, 5, 4], [3, 2, 1]]]]
>>> convolve_transposed(y, w, None, (3, 3), g).tolist()
[[[[5, 14, 10], [14, 36, 24], [15, 34, 20]]]]

All but one in ``stride²`` of the products are with an inserted zero: the form to understand by, not to compute by.
`polyphase.py` leaves these products out.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, section 4.
"""

from __future__ import annotations

from torch import Tensor

from . import im2col
from .geometry import Geometry, Pair, positions_inside


def insert_zeros(y: Tensor, kernel: Pair, size: Pair, g: Geometry) -> Tensor:
    """Steps 1 to 3: `[N, C, H, W] -> [N, C, size + d·(k - 1)]`, the input' of the textbooks.

    ``size`` is the size of the transposed convolution's output; the bottom and right borders are what it leaves to
    fill, so that they hold step 3's rows and columns too.
    """
    n, c, height, width = y.shape
    full = tuple(size[axis] + g.dilation[axis] * (kernel[axis] - 1) for axis in (0, 1))
    spread = y.new_zeros(n, c, *full)
    rows, row_pixels = _places(height, 0, kernel[0], full[0], g)
    columns, column_pixels = _places(width, 1, kernel[1], full[1], g)
    spread[:, :, rows, columns] = y[:, :, row_pixels, column_pixels]
    return spread


def _places(count: int, axis: int, kernel: int, full: int, g: Geometry) -> tuple[slice, slice]:
    """Where the pixels of one axis go, and which of them are not cut off: ``q -> q·stride + d·(k - 1) - padding``."""
    stride = g.stride[axis]
    border = g.dilation[axis] * (kernel - 1) - g.padding[axis]
    pixels = positions_inside(count, stride, border, full)
    first, last = pixels.start * stride + border, (pixels.stop - 1) * stride + border
    return slice(first, max(first, last + 1), stride), pixels


def flip_kernel(weight: Tensor, groups: int) -> Tensor:
    """Step 4: `[C_out, C_in/groups, k_h, k_w] -> [C_in, C_out/groups, k_h, k_w]`, the taps in reverse order."""
    out, c, kernel_h, kernel_w = weight.shape
    exchanged = weight.reshape(groups, out // groups, c, kernel_h, kernel_w).transpose(1, 2)
    return exchanged.reshape(groups * c, out // groups, kernel_h, kernel_w).flip(2, 3)


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``x = Cᵀ y`` by the five steps: `[N, C_out, H_out, W_out] -> [N, C_in, H, W]`, where ``size`` is `(H, W)`."""
    spread = insert_zeros(y, (weight.shape[2], weight.shape[3]), size, g)
    stride_one = Geometry(dilation=g.dilation, groups=g.groups)
    return im2col.convolve(spread, flip_kernel(weight, g.groups), bias, size, stride_one)
