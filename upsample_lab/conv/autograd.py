"""The derivatives, by hand: each reading of the trilinear form has the other two as its derivatives.

    convolve(x, w)               d/dx: convolve_transposed(grad, w)      d/dw: weight_gradient(x, grad)
    convolve_transposed(y, w)    d/dy: convolve(grad, w)                 d/dw: weight_gradient(grad, y)
    weight_gradient(x, y)        d/dx: convolve_transposed(y, grad)      d/dy: convolve(x, grad)

The gradient of a convolution is the transposed convolution with the same weights, and the other way round. Since each
`backward` is written with these same three functions, derivatives of every order follow. (``conj`` does nothing to real
numbers; complex ones need it.)

Each function is linear in each argument, so the forward derivative (`jvp`) is the function itself, applied to one
tangent at a time, and a batch of inputs (`vmap`) is a batch of images or, where every one has its own weights, a group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .algorithms import ALGORITHMS
from .followed import own_tensor
from .geometry import Geometry, Pair


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str) -> Tensor:
    """``y = C x + bias``; ``size`` is the height and width of ``y``."""
    function = _Convolve if torch.compiler.is_dynamo_compiling() else _ConvolveBothModes
    return function.apply(x, weight, bias, size, g, algorithm)


def convolve_transposed(
    y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str
) -> Tensor:
    """``x = Cᵀ y + bias``; ``size`` is the height and width of ``x``."""
    function = _ConvolveTransposed if torch.compiler.is_dynamo_compiling() else _ConvolveTransposedBothModes
    return function.apply(y, weight, bias, size, g, algorithm)


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry, algorithm: str) -> Tensor:
    """``w = P(x)ᵀ y``; ``kernel`` is the height and width of ``w``."""
    function = _WeightGradient if torch.compiler.is_dynamo_compiling() else _WeightGradientBothModes
    return function.apply(x, y, kernel, g, algorithm)


class _Convolve(Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str) -> Tensor:
        return _compute(ALGORITHMS[algorithm].convolve, x, weight, bias, size, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.size, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        return (
            convolve_transposed(grad, weight.conj(), None, _size(x), ctx.g, ctx.algorithm) if need_x else None,
            weight_gradient(x.conj(), grad, _size(weight), ctx.g, ctx.algorithm) if need_weight else None,
            grad.sum((0, 2, 3)) if need_bias else None,
            *(None, None, None),
        )

    @staticmethod
    def vmap(
        info: Any,
        dims: tuple[Any, ...],
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        size: Pair,
        g: Geometry,
        a: str,
    ) -> tuple[Tensor, int]:
        return _vmap_images(convolve, info.batch_size, dims, x, weight, bias, size, g, a)


class _ConvolveTransposed(Function):
    @staticmethod
    def forward(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry, algorithm: str) -> Tensor:
        return _compute(ALGORITHMS[algorithm].convolve_transposed, y, weight, bias, size, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, weight, _, ctx.size, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(y, weight)
        ctx.save_for_forward(y, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, weight = ctx.saved_tensors
        need_y, need_weight, need_bias = ctx.needs_input_grad[:3]
        return (
            convolve(grad, weight.conj(), None, _size(y), ctx.g, ctx.algorithm) if need_y else None,
            weight_gradient(grad, y.conj(), _size(weight), ctx.g, ctx.algorithm) if need_weight else None,
            grad.sum((0, 2, 3)) if need_bias else None,
            *(None, None, None),
        )

    @staticmethod
    def vmap(
        info: Any,
        dims: tuple[Any, ...],
        y: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        size: Pair,
        g: Geometry,
        a: str,
    ) -> tuple[Tensor, int]:
        return _vmap_images(convolve_transposed, info.batch_size, dims, y, weight, bias, size, g, a)


class _WeightGradient(Function):
    @staticmethod
    def forward(x: Tensor, y: Tensor, kernel: Pair, g: Geometry, algorithm: str) -> Tensor:
        return _compute(ALGORITHMS[algorithm].weight_gradient, x, y, kernel, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, ctx.kernel, ctx.g, ctx.algorithm = inputs
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        need_x, need_y = ctx.needs_input_grad[:2]
        return (
            convolve_transposed(y.conj(), grad, None, _size(x), ctx.g, ctx.algorithm) if need_x else None,
            convolve(x.conj(), grad, None, _size(y), ctx.g, ctx.algorithm) if need_y else None,
            *(None, None, None),
        )

    @staticmethod
    def vmap(
        info: Any, dims: tuple[Any, ...], x: Tensor, y: Tensor, kernel: Pair, g: Geometry, algorithm: str
    ) -> tuple[Tensor, int]:
        count = info.batch_size
        x, y = _fold(x, dims[0], count, 1), _fold(y, dims[1], count, 1)
        weight = weight_gradient(x, y, kernel, g._replace(groups=g.groups * count), algorithm)
        return weight.unflatten(0, (count, -1)), 0


class _ConvolveBothModes(_Convolve):
    """With the forward derivative too, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dweight: Tensor | None, dbias: Tensor | None, *_: Any) -> Tensor:
        x, weight = ctx.saved_tensors
        return _sum(
            convolve(dx, weight, None, ctx.size, ctx.g, ctx.algorithm) if dx is not None else None,
            convolve(x, dweight, None, ctx.size, ctx.g, ctx.algorithm) if dweight is not None else None,
            dbias[:, None, None].expand(x.shape[0], -1, *ctx.size) if dbias is not None else None,
        )


class _ConvolveTransposedBothModes(_ConvolveTransposed):
    """With the forward derivative too, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, dy: Tensor | None, dweight: Tensor | None, dbias: Tensor | None, *_: Any) -> Tensor:
        y, weight = ctx.saved_tensors
        return _sum(
            convolve_transposed(dy, weight, None, ctx.size, ctx.g, ctx.algorithm) if dy is not None else None,
            convolve_transposed(y, dweight, None, ctx.size, ctx.g, ctx.algorithm) if dweight is not None else None,
            dbias[:, None, None].expand(y.shape[0], -1, *ctx.size) if dbias is not None else None,
        )


class _WeightGradientBothModes(_WeightGradient):
    """With the forward derivative too, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dy: Tensor | None, *_: Any) -> Tensor:
        x, y = ctx.saved_tensors
        return _sum(
            weight_gradient(dx, y, ctx.kernel, ctx.g, ctx.algorithm) if dx is not None else None,
            weight_gradient(x, dy, ctx.kernel, ctx.g, ctx.algorithm) if dy is not None else None,
        )


def under_autocast(tensor: Tensor) -> bool:
    """Whether autocast is on for the tensor's device."""
    return tensor.device.type != "meta" and torch.is_autocast_enabled(tensor.device.type)


def _compute(function: Callable[..., Tensor], image: Tensor, *rest: Any) -> Tensor:
    """The function in the type of its arguments: autocast has been obeyed before, and must not change matters again."""
    if under_autocast(image):
        with torch.autocast(image.device.type, enabled=False):
            return own_tensor(function(image, *rest))
    return own_tensor(function(image, *rest))


def _size(tensor: Tensor) -> Pair:
    return tensor.shape[2], tensor.shape[3]


def _sum(*terms: Tensor | None) -> Tensor:
    return sum(term for term in terms if term is not None)  # type: ignore[return-value]  # jvp has at least one tangent


def _vmap_images(
    function: Any, count: int, dims: tuple[Any, ...], image: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, int]:
    """``count`` convolutions at once: as more images where the weights are shared, else as more groups."""
    size, g, algorithm = rest
    image_dim, weight_dim, bias_dim = dims[:3]
    if weight_dim is None and bias_dim is None:
        result = function(_fold(image, image_dim, count, 0), weight, bias, size, g, algorithm)
        return result.unflatten(0, (count, -1)), 0
    image, weight = _fold(image, image_dim, count, 1), _fold(weight, weight_dim, count, 0)
    bias = None if bias is None else _fold(bias, bias_dim, count, 0)
    result = function(image, weight, bias, size, g._replace(groups=g.groups * count), algorithm)
    return result.unflatten(1, (count, -1)), 1


def _fold(tensor: Tensor, batch_dim: int | None, count: int, into: int) -> Tensor:
    """The batch of `vmap` made part of dimension ``into``, outermost; repeated where there is none."""
    if batch_dim is None:
        tensor = tensor.expand(count, *tensor.shape)
    else:
        tensor = tensor.movedim(batch_dim, 0)
    return tensor.movedim(0, into).flatten(into, into + 1)
