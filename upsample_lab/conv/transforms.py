"""What torch.func asks of a reading besides its derivatives: forward mode, and many at once.

Each reading is linear in each argument, so its forward derivative is the reading itself, applied to one tangent at a
time. A batch of inputs (`vmap`) is a batch of images or, where every one has its own weights, a group:

>>> import torch
>>> from upsample_lab.conv import conv2d
>>> x, w = torch.ones(3, 1, 1, 2, 2), torch.arange(3.0).view(3, 1, 1, 1, 1)
>>> torch.vmap(conv2d)(x, w).flatten(1)  # three images, each with a weight of its own: three groups
tensor([[0., 0., 0., 0.],
        [1., 1., 1., 1.],
        [2., 2., 2., 2.]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .geometry import Geometry, Pair

Reading = Callable[..., Tensor]
"""`derivatives.reading`."""


def forward_derivative(
    reading: Reading, ctx: Any, first: Tensor | None, second: Tensor | None, bias: Tensor | None
) -> Tensor:
    """The sum over the tangents that there are."""
    rest = None, ctx.size, ctx.g, ctx.algorithm
    one, two = ctx.saved_tensors
    terms = [
        reading(ctx.wanted, first, two, *rest) if first is not None else None,
        reading(ctx.wanted, one, second, *rest) if second is not None else None,
        bias[:, None, None].expand(one.shape[0], -1, *ctx.size) if bias is not None else None,
    ]
    return sum(term for term in terms if term is not None)  # type: ignore[return-value]  # there is one at least


def over_batch(
    reading: Reading,
    count: int,
    dims: tuple[int | None, ...],
    wanted: str,
    first: Tensor,
    second: Tensor,
    bias: Tensor | None,
    size: Pair,
    g: Geometry,
    algorithm: str,
) -> tuple[Tensor, int]:
    """``count`` readings at once, and the dimension of the result that counts them.

    Where weights and bias are shared they are more images, else more groups.
    """
    _, first_dim, second_dim, bias_dim, *_ = dims
    if wanted != "w" and second_dim is None and bias_dim is None:
        result = reading(wanted, _fold(first, first_dim, count, 0), second, bias, size, g, algorithm)
        return result.unflatten(0, (count, -1)), 0
    channels, out = (1, 0) if wanted == "w" else (0, 1)  # where the second argument and the result have their groups
    first, second = _fold(first, first_dim, count, 1), _fold(second, second_dim, count, channels)
    bias = None if bias is None else _fold(bias, bias_dim, count, 0)
    result = reading(wanted, first, second, bias, size, g._replace(groups=g.groups * count), algorithm)
    return result.unflatten(out, (count, -1)), out


def _fold(tensor: Tensor, batch_dim: int | None, count: int, into: int) -> Tensor:
    """The batch of `vmap` made part of dimension ``into``, outermost; repeated where there is none."""
    if batch_dim is None:
        tensor = tensor.expand(count, *tensor.shape)
    else:
        tensor = tensor.movedim(batch_dim, 0)
    return tensor.movedim(0, into).flatten(into, into + 1)
