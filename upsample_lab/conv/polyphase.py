"""Chapter 6: the transposed convolution as ``stride²`` small convolutions, one a phase of its output, interleaved.

Of the products that `zero_insert.py` forms, an output pixel needs only those that do not fall on an inserted zero, and
which these are depends on nothing but its phase, its position modulo the stride. So the kernel falls apart into
``stride²`` small kernels, each phase is an ordinary convolution of stride 1 of the *original* input with one of them,
and the results are interleaved. For kernel 4, stride 2: four 2 x 2 kernels.

This is also why a transposed convolution makes checkerboards: neighbouring output pixels come from different kernels,
and where the stride does not divide the kernel's size even from kernels of different sizes. With kernel 3, stride 2 and
padding 1 the even pixels of an axis get the middle tap alone, the odd ones the two outer taps, and a constant image
becomes a pattern:

>>> import torch
>>> g = Geometry(stride=(2, 2), padding=(1, 1))
>>> [phase.taps for phase in phases(0, kernel=3, size=5, g=g)]
[[1], [0, 2]]
>>> ones, w = torch.ones(1, 1, 3, 3, dtype=torch.int64), torch.ones(1, 1, 3, 3, dtype=torch.int64)
>>> convolve_transposed(ones, w, None, (5, 5), g)[0, 0]
tensor([[1, 2, 1, 2, 1],
        [2, 4, 2, 4, 2],
        [1, 2, 1, 2, 1],
        [2, 4, 2, 4, 2],
        [1, 2, 1, 2, 1]])

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", arXiv:1609.07009.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from . import im2col
from .geometry import Geometry, Pair, positions_inside
from .zero_insert import flip_kernel


class Phase(NamedTuple):
    """One phase along one axis: output pixel ``start + q·stride``, for ``q`` below ``size``, meets the phase's taps.

    ``taps`` indexes the flipped kernel's taps that fall on pixels, ``taps[j]`` on input pixel ``q + first + j·step``.
    """

    start: int
    size: int
    taps: list[int]
    first: int
    step: int


def phases(axis: int, kernel: int, size: int, g: Geometry) -> list[Phase]:
    """The phases along one axis of a transposed convolution whose output has ``size`` pixels there.

    Output ``p`` takes tap ``u`` from input ``(p + padding - u·dilation) / stride`` where this is an integer, which
    depends on ``p`` modulo the stride only. The taps of one phase are ``stride / gcd(stride, dilation)`` apart and fall
    on inputs ``dilation / gcd(stride, dilation)`` apart; a phase without taps stays zero.
    """
    stride, padding, dilation = g.stride[axis], g.padding[axis], g.dilation[axis]
    found = []
    for start in range(min(stride, size)):
        taps = [u for u in reversed(range(kernel)) if (start + padding - u * dilation) % stride == 0]
        first = (start + padding - taps[0] * dilation) // stride if taps else 0
        here = (size - 1 - start) // stride + 1
        flipped = [kernel - 1 - u for u in taps]
        found.append(Phase(start, here, flipped, first, dilation // math.gcd(stride, dilation)))
    return found


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``x = Cᵀ y``, phase by phase: `[N, C_out, H_out, W_out] -> [N, C_in, H, W]`, where ``size`` is `(H, W)`."""
    kernel = flip_kernel(weight, g.groups)
    x = y.new_zeros(y.shape[0], kernel.shape[0], *size)
    for row in phases(0, kernel.shape[2], size[0], g):
        for column in phases(1, kernel.shape[3], size[1], g):
            if row.taps and column.taps:
                small_kernel = kernel[:, :, row.taps][..., column.taps]
                phase = im2col.convolve(
                    _seen(y, row, column),
                    small_kernel,
                    None,
                    (row.size, column.size),
                    Geometry(dilation=(row.step, column.step), groups=g.groups),
                )
                x[:, :, row.start :: g.stride[0], column.start :: g.stride[1]] = phase
    return x if bias is None else x + bias[:, None, None]


def _seen(y: Tensor, row: Phase, column: Phase) -> Tensor:
    """What a phase's kernel sees of the input: first tap's first pixel to last tap's last, zeros outside."""
    top, height = row.first, row.size + (len(row.taps) - 1) * row.step
    left, width = column.first, column.size + (len(column.taps) - 1) * column.step
    seen = y.new_zeros(*y.shape[:2], height, width)
    rows, columns = positions_inside(height, 1, top, y.shape[2]), positions_inside(width, 1, left, y.shape[3])
    seen[:, :, rows, columns] = y[:, :, rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    return seen
