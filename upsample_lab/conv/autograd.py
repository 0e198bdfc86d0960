"""The derivatives, by hand: each reading of the trilinear form has the other two as its derivatives.

    convolve(x, w)               d/dx: convolve_transposed(grad, w)      d/dw: weight_gradient(x, grad)
    convolve_transposed(y, w)    d/dy: convolve(grad, w)                 d/dw: weight_gradient(grad, y)
    weight_gradient(x, y)        d/dx: convolve_transposed(y, grad)      d/dy: convolve(x, grad)

The gradient of a convolution is the transposed convolution with the same weights, and the other way round. Since each
`backward` is written with the three `apply` themselves, derivatives of every order follow.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .algorithms import ALGORITHMS
from .geometry import Geometry, Pair


def _kernel(weight: Tensor) -> Pair:
    return weight.shape[2], weight.shape[3]


def _size(image: Tensor) -> Pair:
    return image.shape[2], image.shape[3]


class Convolve(Function):
    """``y = C x (+ bias)``; ``size`` is the height and width of ``y``."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str) -> Tensor:
        return ALGORITHMS[algorithm].convolve(x, weight, bias, size, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, _, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        return (
            ConvolveTransposed.apply(grad, weight, None, _size(x), ctx.g, ctx.algorithm) if need_x else None,
            WeightGradient.apply(x, grad, _kernel(weight), ctx.g, ctx.algorithm) if need_weight else None,
            grad.sum((0, 2, 3)) if need_bias else None,
            None,
            None,
            None,
        )


class ConvolveTransposed(Function):
    """``x = Cᵀ y (+ bias)``; ``size`` is the height and width of ``x``."""

    @staticmethod
    def forward(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str) -> Tensor:
        return ALGORITHMS[algorithm].convolve_transposed(y, weight, bias, size, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, weight, _, _, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(y, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, weight = ctx.saved_tensors
        need_y, need_weight, need_bias = ctx.needs_input_grad[:3]
        return (
            Convolve.apply(grad, weight, None, _size(y), ctx.g, ctx.algorithm) if need_y else None,
            WeightGradient.apply(grad, y, _kernel(weight), ctx.g, ctx.algorithm) if need_weight else None,
            grad.sum((0, 2, 3)) if need_bias else None,
            None,
            None,
            None,
        )


class WeightGradient(Function):
    """``w = P(x)ᵀ y``; ``kernel`` is the height and width of ``w``."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, kernel: Pair, g: Geometry, algorithm: str) -> Tensor:
        return ALGORITHMS[algorithm].weight_gradient(x, y, kernel, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, _, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        need_x, need_y = ctx.needs_input_grad[:2]
        return (
            ConvolveTransposed.apply(y, grad, None, _size(x), ctx.g, ctx.algorithm) if need_x else None,
            Convolve.apply(x, grad, None, _size(y), ctx.g, ctx.algorithm) if need_y else None,
            None,
            None,
            None,
        )
