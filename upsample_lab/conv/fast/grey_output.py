"""The convolution to one channel that ends the decoder of grey images: one matrix product, and shifted additions.

The kernels of PyTorch compute channels eight or sixteen at a time, and a single one as slowly as eight. Here the order
is the other way round: first every pixel's products with all taps, one matrix product with `k²` rows, and then for each
tap its plane of products, shifted to where that tap belongs, is added (kn2row of Vasudevan, Anderson and Gregg, 2017):

    z[t] = Σ_c w[c, t] · x[c]              y[p] = b + Σ_t z[t][p + t - k//2]

The planes of the derivatives are those of the output's gradient: `G[t][p] = dy[p - t + k//2]`, `dx = Gᵀ w`, `dw = G x`.

Milliseconds of one core, forward and backward, 128 images of 28 x 28, 32 channels in, kernel 3, float32, AVX2:

| channels out | PyTorch's kernels | ours, in blocks | this |
|---|---|---|---|
| 1 | 16.8 | 40 | 9.9 |
| 3 | 19.6 | – | 20.4 |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ..followed import followed_by_a_tool, transformed_or_traced
from ..modules import Conv2d
from ..ordinary import keeps_size

Plane = tuple[slice, slice]


class GreyOutput(Conv2d):
    """`Conv2d` of stride 1 that keeps the size: `[N, C_in, H, W] -> [N, C_out, H, W]`, and faster where `C_out` is 1.

    It is a `Conv2d` in everything but how some inputs are computed: see `_suits`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, algorithm: str) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"GreyOutput: kernel_size={kernel_size} must be odd, to keep the size")
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, algorithm=algorithm)

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias  # once: a parametrization makes it anew each time that it is asked
        if bias is None or not self._suits(input, weight):
            return self._conv_forward(input, weight, bias)
        output: Tensor = _OneChannel.apply(input, weight, bias)
        return output

    def _suits(self, input: Tensor, weight: Tensor) -> bool:
        """Where it was measured to be faster. Whatever else asks for its own derivative rules has PyTorch's kernels.

        The algorithms that are there to be looked at (`matrix`, `im2col`) stay what they are.
        """
        return (
            self.out_channels == 1
            and self.algorithm in ("native", "custom")
            and keeps_size(self, weight)
            and not transformed_or_traced()  # vmap cannot tell a memory format
            and not followed_by_a_tool(input)
            and input.ndim == 4
            and input.device.type == "cpu"
            and input.dtype == weight.dtype
            and input.dtype in (torch.float32, torch.float64)
            and input.is_contiguous(memory_format=torch.channels_last)
            and not torch.is_autocast_enabled("cpu")
        )


class _OneChannel(Function):
    """`x [N, C, H, W]` channels last, `weight [1, C, k, k]`, `bias [1]` -> `y [N, 1, H, W]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.save_for_forward(x, weight, bias)
        (batch, _, height, width), kernel = x.shape, weight.shape[2]
        planes = torch.mm(_taps(weight), _pixels(x).t()).view(kernel**2, batch, height, width)
        y = bias.repeat(batch, height, width)
        for plane, (inner, shifted) in zip(planes, _shifts(kernel, height, width), strict=True):
            y[:, *inner] += plane[:, *shifted]
        return y.unsqueeze(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # a derivative of this derivative may be asked for
            return _differentiable(x, weight, bias, grad, ctx.needs_input_grad)
        (batch, channels, height, width), kernel = x.shape, weight.shape[2]
        planes = grad.new_zeros(kernel**2, batch, height, width)
        for plane, (inner, shifted) in zip(planes, _shifts(kernel, height, width), strict=True):
            plane[:, *shifted] = grad[:, 0, *inner]
        rows = planes.view(kernel**2, batch * height * width)
        need_x, need_weight, need_bias = ctx.needs_input_grad
        dx = torch.mm(rows.t(), _taps(weight)).view(batch, height, width, channels).permute(0, 3, 1, 2)
        dweight = torch.mm(rows, _pixels(x)).view(kernel, kernel, 1, channels).permute(2, 3, 0, 1)
        return dx if need_x else None, dweight if need_weight else None, grad.sum((0, 2, 3)) if need_bias else None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dweight: Tensor | None, dbias: Tensor | None) -> Tensor:
        x, weight, _ = ctx.saved_tensors
        padding, terms = weight.shape[2] // 2, []
        if dx is not None:
            terms.append(torch.nn.functional.conv2d(dx, weight, padding=padding))
        if dweight is not None:
            terms.append(torch.nn.functional.conv2d(x, dweight, padding=padding))
        if dbias is not None:
            terms.append(dbias[:, None, None].expand(x.shape[0], 1, *x.shape[2:]))
        return torch.stack(terms).sum(0)


def _differentiable(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, needed: Any) -> tuple[Tensor | None, ...]:
    """The same derivatives by PyTorch's convolution, which has derivatives of every order."""
    inputs = [each for each, need in zip((x, weight, bias), needed, strict=True) if need]
    y = torch.nn.functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
    found = iter(torch.autograd.grad(y, inputs, grad, create_graph=True))
    return tuple(next(found) if need else None for need in needed)


def _pixels(x: Tensor) -> Tensor:
    """`[N, C, H, W]`, channels last in memory -> `[N·H·W, C]`, the same memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _taps(weight: Tensor) -> Tensor:
    """`[1, C, k, k] -> [k², C]`."""
    return weight.permute(2, 3, 0, 1).reshape(-1, weight.shape[1])


def _shifts(kernel: int, height: int, width: int) -> Iterator[tuple[Plane, Plane]]:
    """For each tap, row by row: the output pixels that it reaches, and the pixels that it takes them from."""
    for u in range(kernel):
        rows = _shift(u - kernel // 2, height)
        for v in range(kernel):
            columns = _shift(v - kernel // 2, width)
            yield (rows[0], columns[0]), (rows[1], columns[1])


def _shift(by: int, size: int) -> tuple[slice, slice]:
    """`p` and `p + by`, for all p that keep both within `size` pixels."""
    return slice(max(0, -by), max(0, size - max(0, by))), slice(min(size, max(0, by)), max(0, size + min(0, by)))
