"""A resize and the convolution after it as one product for each tap, then two small matrices: exact to the last pixel.

Along each axis a resize is a matrix `R`, and tap t of a convolution with zero padding shifts the image by `t - k//2`,
which is a matrix too. So with `A_t = shift_t R`, and `B_t'` the same for columns,

    Conv_k(R_h x R_wᵀ) = Σ_t Σ_t' A_t · (x w[t, t']) · B_t'ᵀ

where `x w[t, t']` mixes the channels of each pixel of the *small* image: k² products for each input pixel, where the
convolution of the resized image needs k² for each of the s² output pixels. What is left are sums over pixels of one
channel, two products with matrices that hold no weights. Both borders, the repeated one of the resize and the zeros of
the convolution, are in the matrices, so nothing is to be repaired there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Intermediate numbers of a block of images, in bytes. Measured: of 0.25 to 16 MiB, 0.5 to 2 are best, by a third over
# the whole batch at once; the second-level cache there has 0.5 MiB a core. A GPU wants few, large launches.
_BLOCK_BYTES_CPU = 1 << 20
_BLOCK_BYTES_GPU = 256 << 20


def tap_matrices(make: Callable[..., Tensor], arguments: tuple[Hashable, ...], kernel_size: int) -> Tensor:
    """`A_t` for each tap t of an axis, `[k, s·n, n]`, of the resize matrix `make(*arguments)`, `[s·n, n]`.

    Row o of `A_t` is row `o + t - k//2` of the resize matrix, or zeros beyond its ends: the convolution's padding.
    """
    matrix = make(*arguments)
    margin = kernel_size // 2
    padded = torch.nn.functional.pad(matrix, (0, 0, margin, margin))
    return padded.unfold(0, matrix.shape[0], 1).permute(0, 2, 1).contiguous()


def convolve_resized(input: Tensor, weight: Tensor, bias: Tensor | None, rows: Tensor, columns: Tensor) -> Tensor:
    """`Σ A_t (x w[t, t']) B_t'ᵀ + bias`: `[N, H, W, C_in] -> [N, H_out, W_out, C_out]`, pixels last to first.

    input    `[N, H, W, C_in]`
    weight   `[C_out, C_in, k, k]`, of the convolution; same dtype
    rows     `[k, H_out, H]`, the A of `tap_matrices`, float32 or, where the input is, float64
    columns  `[k, W_out, W]`, the B

    The output has the dtype of the input; sums over pixels are made in that of the matrices. Derivatives of every
    order, forward ones too.
    """
    out_channels, in_channels, kernel_size, _ = weight.shape
    taps = weight.permute(2, 1, 3, 0).reshape(kernel_size, in_channels, kernel_size * out_channels)
    across = columns.permute(1, 2, 0).flatten(1)  # [W_out, W·k]: pixels and taps of a row are neighbours in memory
    if torch.compiler.is_compiling():  # traced: the compiler makes its own blocks
        return _forward(input, taps, bias, rows, across)
    output: Tensor = _ConvolveResized.apply(input, taps, bias, rows, across)
    return output


class _ConvolveResized(Function):
    """`_forward` a block of images at a time, with its derivatives by hand: it is linear in image, taps and bias."""

    @staticmethod
    def forward(input: Tensor, taps: Tensor, bias: Tensor | None, rows: Tensor, across: Tensor) -> Tensor:
        out_channels = taps.shape[2] // taps.shape[0]
        output = input.new_empty(input.shape[0], rows.shape[1], across.shape[0], out_channels)
        for images in _blocks(input, taps, rows):
            _forward(input[images], taps, bias, rows, across, out=output[images])
        return output

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, taps, _, rows, across = inputs
        ctx.save_for_backward(input, taps, rows, across)
        ctx.save_for_forward(input, taps, rows, across)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, taps, rows, across = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        for_bias = gradient.sum((0, 1, 2)) if ctx.needs_input_grad[2] else None
        if torch.is_grad_enabled():  # to be differentiated again
            return (*_backward(gradient, input, taps, rows, across, wanted), for_bias, None, None)
        for_input = input.new_empty(input.shape) if wanted[0] else None
        for_taps = taps.new_zeros(taps.shape, dtype=rows.dtype) if wanted[1] else None
        for images in _blocks(input, taps, rows):
            part = None if for_input is None else for_input[images]
            _backward(gradient[images], input[images], taps, rows, across, wanted, out=part, total=for_taps)
        return for_input, None if for_taps is None else for_taps.to(taps.dtype), for_bias, None, None

    @staticmethod
    def jvp(ctx: Any, d_input: Tensor | None, d_taps: Tensor | None, d_bias: Tensor | None, *_: Any) -> Tensor:
        input, taps, rows, across = ctx.saved_tensors
        terms = []
        if d_input is not None:
            terms.append(_forward(d_input, taps, None, rows, across))
        if d_taps is not None:
            terms.append(_forward(input, d_taps, None, rows, across))
        if d_bias is not None:
            terms.append(d_bias.expand(input.shape[0], rows.shape[1], across.shape[0], -1))
        return torch.stack(terms).sum(0)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Tensor) -> tuple[Tensor, int]:
        return torch.vmap(_forward, in_dims)(*arguments), 0


def _forward(
    input: Tensor, taps: Tensor, bias: Tensor | None, rows: Tensor, across: Tensor, out: Tensor | None = None
) -> Tensor:
    """`[n, H, W, C_in] -> [n, H_out, W_out, C_out]`; taps `[k, C_in, k·C_out]`, across `[W_out, W·k]`.

    The taps of one row of the kernel at a time: their products, and at once the sum over rows of pixels, while they
    are in the cache. Then the sum over the pixels of each row.
    """
    count, height, width, in_channels = input.shape
    kernel_size, _, many = taps.shape
    tall, wide, out_channels = rows.shape[1], across.shape[0], many // kernel_size
    with torch.autocast(input.device.type, enabled=False):
        pixels = input.reshape(count * height * width, in_channels)
        image = rows.new_empty(0)
        for t in range(kernel_size):
            product = (pixels @ taps[t]).to(rows.dtype).reshape(count, height, width * many)
            matrix = rows[t].expand(count, tall, height)
            if t == 0:
                image = torch.bmm(matrix, product)
            else:
                image = torch.baddbmm(image, matrix, product, out=None if out is None else image)
        lines = image.reshape(count * tall, width * kernel_size, out_channels)
        matrix = across.expand(count * tall, *across.shape)
        shape = (count, tall, wide, out_channels)
        if out is not None and out.dtype == rows.dtype:
            out = out.view(count * tall, wide, out_channels)
            _product(matrix, lines, bias, out)
            return out
        output = _product(matrix, lines, bias).reshape(shape).to(input.dtype)
        return output if out is None else out.copy_(output)


def _product(matrix: Tensor, lines: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    if bias is None:
        return torch.bmm(matrix, lines, out=out)
    return torch.baddbmm(bias.to(lines.dtype).expand(*matrix.shape[:2], -1), matrix, lines, out=out)


def _backward(
    gradient: Tensor,
    input: Tensor,
    taps: Tensor,
    rows: Tensor,
    across: Tensor,
    wanted: tuple[bool, ...],
    out: Tensor | None = None,
    total: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of input and taps from that of the output: `_forward` read backwards, each matrix transposed.

    That of the input is written to `out`, and that of the taps added to `total`, where these are given (and then
    neither can be differentiated again).
    """
    count, tall, wide, out_channels = gradient.shape
    _, height, width, in_channels = input.shape
    kernel_size, _, many = taps.shape
    with torch.autocast(input.device.type, enabled=False):
        pixels = input.reshape(count * height * width, in_channels)
        lines = gradient.to(rows.dtype).reshape(count * tall, wide, out_channels)
        image = torch.bmm(across.T.expand(count * tall, -1, -1), lines).reshape(count, tall, width * many)
        for_input = None if out is None else out.view(count * height * width, in_channels)
        for_taps = []
        for t in range(kernel_size):
            product = torch.bmm(rows[t].T.expand(count, height, tall), image)
            product = product.reshape(count * height * width, many).to(input.dtype)
            if wanted[0] and t == 0:
                for_input = torch.mm(product, taps[t].T, out=for_input)
            elif for_input is not None:
                for_input = torch.addmm(for_input, product, taps[t].T, out=None if out is None else for_input)
            if wanted[1] and total is None:
                for_taps.append(pixels.T @ product)
            elif total is not None:
                total[t] += pixels.T @ product
        return (
            None if for_input is None else for_input.reshape(input.shape),
            torch.stack(for_taps) if for_taps else total,
        )


def _blocks(input: Tensor, taps: Tensor, rows: Tensor) -> Iterator[slice]:
    """Slices of the batch whose intermediate numbers fill a block; they depend on shapes, type and device alone."""
    numbers = rows.shape[1] * input.shape[2] * taps.shape[2]  # of the image between the two matrices
    limit = _BLOCK_BYTES_CPU if input.device.type == "cpu" else _BLOCK_BYTES_GPU
    step = max(1, limit // (numbers * rows.element_size()))
    for start in range(0, input.shape[0], step):
        yield slice(start, start + step)
