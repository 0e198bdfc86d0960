"""The algorithms by name: each is three functions, the three readings of one trilinear form.

A convolution is linear in the image and linear in the kernel. Paired with an image ``y`` of its output's shape it is a
number, linear in all three,

    T(x, w, y) = <y, conv(x, w)> = Σ y[p] · w[u] · x[s·p + d·u - padding]        (channels and batch left out)

and fixing two of the three leaves a linear form in the third:

    fixing x and w:   T = <y, convolve(x, w)>                     the convolution, ``C x``
    fixing y and w:   T = <x, convolve_transposed(y, w)>          the transposed convolution, ``Cᵀ y``
    fixing x and y:   T = <w, weight_gradient(x, y)>              what each tap saw, times what came of it

The derivative of any of the three with respect to one of its arguments is therefore another of the three, with the same
weights; `autograd.py` is nothing but this table.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from torch import Tensor

from . import blocks, im2col, matrix, polyphase, zero_insert
from .geometry import Geometry, Pair


class Convolve(Protocol):
    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, /) -> Tensor: ...


class ConvolveTransposed(Protocol):
    def __call__(self, y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, /) -> Tensor: ...


class WeightGradient(Protocol):
    def __call__(self, x: Tensor, y: Tensor, kernel: Pair, g: Geometry, /) -> Tensor: ...


class Algorithm(NamedTuple):
    """One way to compute the three readings. Images are `[N, C, H, W]`, weights `[C_out, C_in/groups, k_h, k_w]`."""

    convolve: Convolve
    convolve_transposed: ConvolveTransposed
    weight_gradient: WeightGradient


ALGORITHMS: dict[str, Algorithm] = {
    "matrix": Algorithm(matrix.convolve, matrix.convolve_transposed, matrix.weight_gradient),
    "im2col": Algorithm(im2col.convolve, im2col.convolve_transposed, im2col.weight_gradient),
    "col2im": Algorithm(im2col.convolve, im2col.convolve_transposed, im2col.weight_gradient),
    "zero_insert": Algorithm(im2col.convolve, zero_insert.convolve_transposed, im2col.weight_gradient),
    "polyphase": Algorithm(im2col.convolve, polyphase.convolve_transposed, im2col.weight_gradient),
    "custom": Algorithm(blocks.convolve, blocks.convolve_transposed, blocks.weight_gradient),
}

CONV2D_ALGORITHMS: tuple[str, ...] = ("matrix", "im2col", "custom", "native")
CONV_TRANSPOSE2D_ALGORITHMS: tuple[str, ...] = ("matrix", "zero_insert", "col2im", "polyphase", "custom", "native")


def check_algorithm(name: object, allowed: Iterable[str], function: str) -> None:
    """Refuse a name that is not in ``allowed``, naming the nearest (`ValueError`; `TypeError` for no string)."""
    allowed = tuple(allowed)
    if not isinstance(name, str):
        raise TypeError(f"{function}: algorithm must be one of {', '.join(allowed)}, got {name!r}")
    if name not in allowed:
        nearest = difflib.get_close_matches(name, allowed, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{function}: unknown algorithm {name!r}, expected one of {', '.join(allowed)}{hint}")
