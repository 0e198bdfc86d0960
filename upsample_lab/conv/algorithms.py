"""Chapter 7: the algorithms by name. Each is three functions, the three readings of one trilinear form.

A convolution is linear in the image and linear in the kernel. Paired with an image ``y`` of its output's shape it is a
number, linear in all three,

    T(x, w, y) = <y, conv(x, w)> = Σ y[p] · w[u] · x[s·p + d·u - padding]        (channels and batch left out)

and fixing two of the three leaves a linear form in the third:

    fixing x and w:   T = <y, convolve(x, w)>                     the convolution, ``C x``
    fixing y and w:   T = <x, convolve_transposed(y, w)>          the transposed convolution, ``Cᵀ y``
    fixing x and y:   T = <w, weight_gradient(x, y)>              what each tap saw, times what came of it

>>> import torch
>>> x, w, y = (torch.arange(1, n * n + 1).view(1, 1, n, n) for n in (3, 2, 2))
>>> for name, (convolve, convolve_transposed, weight_gradient) in ALGORITHMS.items():
...     by_y, by_x = convolve(x, w, None, (2, 2), Geometry()), convolve_transposed(y, w, None, (3, 3), Geometry())
...     print(int((y * by_y).sum()), int((x * by_x).sum()), int((w * weight_gradient(x, y, (2, 2), Geometry())).sum()))
640 640 640
640 640 640
640 640 640
640 640 640
640 640 640
640 640 640
640 640 640
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor

from . import definition, im2col, matrix, polyphase, zero_insert
from .fast import blocks
from .geometry import Geometry, Pair

OfImage = Callable[[Tensor, Tensor, Tensor | None, Pair, Geometry], Tensor]  # image, weight, bias, size, geometry
WeightGradient = Callable[[Tensor, Tensor, Pair, Geometry], Tensor]  # x, y, size of the kernel, geometry


class Algorithm(NamedTuple):
    """One way to compute the three readings. Images are `[N, C, H, W]`, weights `[C_out, C_in/groups, k_h, k_w]`."""

    convolve: OfImage
    convolve_transposed: OfImage
    weight_gradient: WeightGradient


_IM2COL = Algorithm(im2col.convolve, im2col.convolve_transposed, im2col.weight_gradient)

ALGORITHMS: dict[str, Algorithm] = {
    "definition": Algorithm(definition.convolve, definition.convolve_transposed, definition.weight_gradient),
    "matrix": Algorithm(matrix.convolve, matrix.convolve_transposed, matrix.weight_gradient),
    "im2col": _IM2COL,
    "col2im": _IM2COL,
    "zero_insert": _IM2COL._replace(convolve_transposed=zero_insert.convolve_transposed),
    "polyphase": _IM2COL._replace(convolve_transposed=polyphase.convolve_transposed),
    "custom": Algorithm(blocks.convolve, blocks.convolve_transposed, blocks.weight_gradient),
}


def check_algorithm(name: object, allowed: Iterable[str], function: str) -> None:
    """Refuse a name that is not in ``allowed``, naming the nearest (`ValueError`; `TypeError` for no string)."""
    allowed = tuple(allowed)
    if not isinstance(name, str):
        raise TypeError(f"{function}: algorithm must be one of {', '.join(allowed)}, got {name!r}")
    if name not in allowed:
        nearest = difflib.get_close_matches(name, allowed, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{function}: unknown algorithm {name!r}, expected one of {', '.join(allowed)}{hint}")
