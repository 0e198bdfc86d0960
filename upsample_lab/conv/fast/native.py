"""PyTorch's own kernels, called so that they are as fast as they can be: the algorithm `native`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from ..followed import followed_by_a_tool, transformed_or_traced
from ..geometry import Geometry, Pair
from .hardware import has_fast_bf16


def convolve(input: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    """`torch.nn.functional.conv2d`."""
    return _exact_bf16(F.conv2d, input, weight, bias, g.stride, g.padding, g.dilation, g.groups)


def convolve_transposed(input: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry, extra: Pair) -> Tensor:
    """`torch.nn.functional.conv_transpose2d`; `extra` is the output padding.

    On a CPU the bias' gradient, a sum over pixels, is found by a sum. Asked of the kernel, it makes the other two take
    a quarter longer (14 → 18 ms of one core: 64 images of 14 x 14, 32 → 32 channels, kernel 4, stride 2).
    """
    rest = (g.stride, g.padding, extra, g.groups, g.dilation)
    if (
        bias is None
        or not bias.requires_grad
        or input.device.type != "cpu"
        or transformed_or_traced()
        or followed_by_a_tool(input)
    ):
        return _exact_bf16(F.conv_transpose2d, input, weight, bias, *rest)
    output = _exact_bf16(F.conv_transpose2d, input, weight, bias.detach(), *rest)
    with_gradient: Tensor = _BiasGradient.apply(output, bias)
    return with_gradient


class _BiasGradient(Function):
    """`[…, C, H, W]`, with the bias `[C]` in it already, as it is: only derivatives pass here."""

    @staticmethod
    def forward(output: Tensor, bias: Tensor) -> Tensor:
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_dirty(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.sum((-1, -2) if gradient.dim() == 3 else (0, 2, 3))

    @staticmethod
    def jvp(ctx: Any, output: Tensor, bias: Tensor) -> Tensor:
        return output.add_(bias[:, None, None])


def _exact_bf16(
    function: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any
) -> Tensor:
    """The function. Bfloat16 on a CPU without units for it is computed in float32, and rounded where units would.

    PyTorch's kernels do it in loops, some hundred times slower. Operands, results and gradients are rounded to bfloat16
    and sums are kept in float32, as in the units, so the result is theirs but for the order of the sums.
    """
    if input.dtype != torch.bfloat16 or has_fast_bf16(input.device):
        return function(input, weight, bias, *rest)
    exact = (input.float(), weight.float(), None if bias is None else bias.float())
    with torch.autocast(input.device.type, enabled=False):
        return function(*exact, *rest).to(input.dtype)
