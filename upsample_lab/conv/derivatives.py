"""Chapter 8: the derivatives, by hand. One table: each reading has the other two as its derivatives.

`reading("y", x, w)` is the convolution, `reading("x", y, w)` the transposed one, `reading("w", x, y)` what each tap
saw. In the trilinear form all three stand alike, so the derivative of any of them with respect to one of its arguments
is the reading that gives this argument, with the gradient in the place of the result:

    reading    by x                by w                by y
    y(x, w)    x(grad, w)          w(x, grad)
    x(y, w)                        w(grad, y)          y(grad, w)
    w(x, y)    x(y, grad)                              y(x, grad)

The gradient of a convolution is the transposed convolution with the same weights, and the other way round. Since
`backward` is written with the same readings, derivatives of every order follow. (``conj`` does nothing to real numbers;
complex ones need it.) The derivative of the pixel in the middle, and with respect to it:

>>> import torch
>>> x, w = torch.ones(1, 1, 3, 3, requires_grad=True), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
>>> y = reading("y", x, w, None, (2, 2), Geometry(), "definition")
>>> torch.autograd.grad(y[0, 0, 0, 0], x)[0][0, 0]
tensor([[1., 2., 0.],
        [3., 4., 0.],
        [0., 0., 0.]])
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from . import transforms
from .algorithms import ALGORITHMS
from .followed import own_tensor, under_autocast, without_autocast
from .geometry import Geometry, Pair

ARGUMENTS = {"y": ("x", "w"), "x": ("y", "w"), "w": ("x", "y")}
_BY_NAME = {"y": "convolve", "x": "convolve_transposed", "w": "weight_gradient"}


def reading(
    wanted: str, first: Tensor, second: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str
) -> Tensor:
    """What is ``wanted`` of `x`, `w`, `y` from the two others, in the order of `ARGUMENTS`; only images take a bias.

    ``size`` is the height and width of the result.
    """
    function = _Reading if torch.compiler.is_dynamo_compiling() else _ReadingBothModes
    result: Tensor = function.apply(wanted, first, second, bias, size, g, algorithm)
    return result


class _Reading(Function):
    @staticmethod
    def forward(*inputs: Any) -> Tensor:  # unnamed, for torch inspects the names anew at each call
        wanted, first, second, bias, size, g, algorithm = inputs
        compute: Any = getattr(ALGORITHMS[algorithm], _BY_NAME[wanted])
        arguments = (first, second, size, g) if wanted == "w" else (first, second, bias, size, g)
        if not under_autocast(first):
            return own_tensor(compute(*arguments))
        with without_autocast(first.device):  # it has been obeyed before, and must not change matters again
            return own_tensor(compute(*arguments))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.wanted, first, second, _, ctx.size, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(first, second)
        ctx.save_for_forward(first, second)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        known = dict(zip(ARGUMENTS[ctx.wanted], ctx.saved_tensors, strict=True))
        _, *needed, need_bias, _, _, _ = ctx.needs_input_grad
        found = [_derivative(ctx, known, by, grad) if need else None for by, need in zip(known, needed, strict=True)]
        return None, *found, grad.sum((0, 2, 3)) if need_bias else None, None, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return transforms.over_batch(reading, info.batch_size, dims, *inputs)


class _ReadingBothModes(_Reading):
    """With the forward derivative too, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, _: None, first: Tensor | None, second: Tensor | None, bias: Tensor | None, *__: Any) -> Tensor:
        return transforms.forward_derivative(reading, ctx, first, second, bias)


def _derivative(ctx: Any, known: dict[str, Tensor], by: str, grad: Tensor) -> Tensor:
    """One entry of the table: the reading that gives ``by``, with the gradient in the place of the result."""
    first, second = (grad if name == ctx.wanted else known[name].conj() for name in ARGUMENTS[by])
    _, _, height, width = known[by].shape
    return reading(by, first, second, None, (height, width), ctx.g, ctx.algorithm)
