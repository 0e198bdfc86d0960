"""The three readings by their definition, tap by tap: nothing clever, and what every algorithm is tested against.

Tap ``(u, v)`` of the kernel meets, at output pixel ``(p, q)``, the input pixel

    (p·stride + u·dilation - padding,  q·stride + v·dilation - padding).

For one tap and all output pixels together that is a slice of the padded image, and each reading is one line:

    convolve               y        += w[u, v] · x[slice]        read the slice
    convolve_transposed    x[slice] += w[u, v] · y               write to the same slice: the convolution read backwards
    weight_gradient        w[u, v]   = Σ y · x[slice]            what the tap saw, times what came of it
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Geometry, Pair


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """`[N, C_in, H, W] -> [N, C_out, H_out, W_out]`, where ``size`` is `(H_out, W_out)`."""
    padded = F.pad(_by_group(x, g), (g.padding[1], g.padding[1], g.padding[0], g.padding[0]))
    weight = weight.unflatten(0, (g.groups, -1))
    y = x.new_zeros(x.shape[0], g.groups, weight.shape[1], *size)
    for u in range(weight.shape[3]):
        for v in range(weight.shape[4]):
            seen = padded[:, :, :, _slice(0, u, size, g), _slice(1, v, size, g)]
            y += torch.einsum("goc,ngcpq->ngopq", weight[..., u, v], seen)
    return _with_bias(y.flatten(1, 2), bias)


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """`[N, C_out, H_out, W_out] -> [N, C_in, H, W]`, where ``size`` is `(H, W)`."""
    (top, left), (height, width), output_size = g.padding, size, (y.shape[2], y.shape[3])
    y, weight = _by_group(y, g), weight.unflatten(0, (g.groups, -1))
    padded = y.new_zeros(y.shape[0], g.groups, weight.shape[2], height + 2 * top, width + 2 * left)
    for u in range(weight.shape[3]):
        for v in range(weight.shape[4]):
            written = padded[:, :, :, _slice(0, u, output_size, g), _slice(1, v, output_size, g)]
            written += torch.einsum("goc,ngopq->ngcpq", weight[..., u, v], y)
    return _with_bias(padded[..., top : top + height, left : left + width].flatten(1, 2), bias)


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry) -> Tensor:
    """`[C_out, C_in/groups, k_h, k_w]`, where ``kernel`` is `(k_h, k_w)`."""
    padded = F.pad(_by_group(x, g), (g.padding[1], g.padding[1], g.padding[0], g.padding[0]))
    size, y = (y.shape[2], y.shape[3]), _by_group(y, g)
    weight = x.new_zeros(g.groups, y.shape[2], padded.shape[2], *kernel)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            seen = padded[:, :, :, _slice(0, u, size, g), _slice(1, v, size, g)]
            weight[..., u, v] = torch.einsum("ngopq,ngcpq->goc", y, seen)
    return weight.flatten(0, 1)


def _slice(axis: int, tap: int, size: Pair, g: Geometry) -> slice:
    """Where one tap falls in the padded image, for all ``size`` output pixels of the axis."""
    start = tap * g.dilation[axis]
    return slice(start, start + (size[axis] - 1) * g.stride[axis] + 1, g.stride[axis])


def _by_group(image: Tensor, g: Geometry) -> Tensor:
    n, c, height, width = image.shape
    return image.reshape(n, g.groups, c // g.groups, height, width)


def _with_bias(image: Tensor, bias: Tensor | None) -> Tensor:
    return image if bias is None else image + bias[:, None, None]
