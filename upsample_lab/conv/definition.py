"""Chapter 2: the three readings by their definition, tap by tap. Nothing clever: the twin of every other chapter.

Tap ``(u, v)`` of the kernel meets, at output pixel ``(p, q)``, the input pixel

    (p·stride + u·dilation - padding,  q·stride + v·dilation - padding).

For one tap and all output pixels together that is a slice of the padded image, and each reading is one line:

    convolve               y        += w[u, v] · x[slice]        read the slice
    convolve_transposed    x[slice] += w[u, v] · y               write to the same slice: the convolution read backwards
    weight_gradient        w[u, v]   = Σ y · x[slice]            what the tap saw, times what came of it

The image 1 … 9 and a kernel of four weights, which all chapters after this one compute again:

>>> import torch
>>> x = torch.arange(1, 10).view(1, 1, 3, 3)
>>> w = torch.tensor([[[[1, 2], [3, 4]]]])
>>> y = convolve(x, w, None, (2, 2), Geometry())
>>> y.tolist()  # the first pixel: 1·1 + 2·2 + 3·4 + 4·5
[[[[37, 47], [67, 77]]]]
>>> convolve_transposed(y, w, None, (3, 3), Geometry()).tolist()  # the middle: 4·37 + 3·47 + 2·67 + 1·77
[[[[37, 121, 94], [178, 500, 342], [201, 499, 308]]]]
>>> weight_gradient(x, y, (2, 2), Geometry()).tolist()
[[[[784, 1012], [1468, 1696]]]]
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Geometry, Pair


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """`[N, C_in, H, W] -> [N, C_out, H_out, W_out]`, where ``size`` is `(H_out, W_out)`."""
    padded, weight = _padded(x, g), wide(weight).unflatten(0, (g.groups, -1))
    y = padded.new_zeros(x.shape[0], g.groups, weight.shape[1], *size)
    for u in range(weight.shape[3]):
        for v in range(weight.shape[4]):
            seen = padded[:, :, :, g.places(0, u, size[0]), g.places(1, v, size[1])]
            y += torch.einsum("goc,ngcpq->ngopq", weight[..., u, v], seen)
    return _with_bias(y.flatten(1, 2), bias).to(x.dtype)


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """`[N, C_out, H_out, W_out] -> [N, C_in, H, W]`, where ``size`` is `(H, W)`."""
    (top, left), (height, width), output_size = g.padding, size, (y.shape[2], y.shape[3])
    given, weight = _by_group(wide(y), g), wide(weight).unflatten(0, (g.groups, -1))
    padded = given.new_zeros(y.shape[0], g.groups, weight.shape[2], height + 2 * top, width + 2 * left)
    for u in range(weight.shape[3]):
        for v in range(weight.shape[4]):
            written = padded[:, :, :, g.places(0, u, output_size[0]), g.places(1, v, output_size[1])]
            written += torch.einsum("goc,ngopq->ngcpq", weight[..., u, v], given)
    x = padded[..., top : top + height, left : left + width].flatten(1, 2)
    return _with_bias(x, bias).to(y.dtype)


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry) -> Tensor:
    """`[C_out, C_in/groups, k_h, k_w]`, where ``kernel`` is `(k_h, k_w)`."""
    padded, size, given = _padded(x, g), (y.shape[2], y.shape[3]), _by_group(wide(y), g)
    weight = padded.new_zeros(g.groups, given.shape[2], padded.shape[2], *kernel)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            seen = padded[:, :, :, g.places(0, u, size[0]), g.places(1, v, size[1])]
            weight[..., u, v] = torch.einsum("ngopq,ngcpq->goc", given, seen)
    return weight.flatten(0, 1).to(x.dtype)


def wide(tensor: Tensor) -> Tensor:
    """The same numbers in the type to multiply and sum in: a sum of 16-bit floats would be rounded at each addition."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _by_group(image: Tensor, g: Geometry) -> Tensor:
    n, c, height, width = image.shape
    return image.reshape(n, g.groups, c // g.groups, height, width)


def _padded(x: Tensor, g: Geometry) -> Tensor:
    return F.pad(_by_group(wide(x), g), (g.padding[1], g.padding[1], g.padding[0], g.padding[0]))


def _with_bias(image: Tensor, bias: Tensor | None) -> Tensor:
    return image if bias is None else image + bias[:, None, None]
