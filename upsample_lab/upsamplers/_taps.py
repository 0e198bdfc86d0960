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
from typing import Any, NamedTuple

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
    """The sum with its derivatives by hand: it is linear in image, taps and bias."""

    @staticmethod
    def forward(input: Tensor, taps: Tensor, bias: Tensor | None, rows: Tensor, across: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return _forward_in_blocks(input, taps, bias, rows, across)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, taps, _, rows, across = inputs
        ctx.save_for_backward(input, taps, rows, across)
        ctx.save_for_forward(input, taps, rows, across)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, taps, rows, across = ctx.saved_tensors
        again = torch.is_grad_enabled()  # the gradients will be differentiated again
        with torch.autocast(gradient.device.type, enabled=False):
            for_input, for_taps = (_backward if again else _backward_in_blocks)(
                gradient, input, taps, rows, across, ctx.needs_input_grad[:2]
            )
        return for_input, for_taps, gradient.sum((0, 1, 2)) if ctx.needs_input_grad[2] else None, None, None

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


# ----------------------------------------------------------------------------------------------------------------------
# The plain way: differentiable, and to be traced


def _forward(input: Tensor, taps: Tensor, bias: Tensor | None, rows: Tensor, across: Tensor) -> Tensor:
    """`[N, H, W, C_in] -> [N, H_out, W_out, C_out]`; taps `[k, C_in, k·C_out]`, across `[W_out, W·k]`.

    For one row of the kernel's taps after another the products, and their sums along columns; then those along rows.
    """
    batch, height, width, _ = input.shape
    kernel_size, _, many = taps.shape
    with torch.autocast(input.device.type, enabled=False):
        images = [
            rows[t] @ (input @ taps[t]).to(rows.dtype).reshape(batch, height, width * many) for t in range(kernel_size)
        ]
        lines = sum(images[1:], images[0]).reshape(batch, rows.shape[1], width * kernel_size, many // kernel_size)
        output = across @ lines
        return (output if bias is None else output + bias).to(input.dtype)


def _backward(
    gradient: Tensor, input: Tensor, taps: Tensor, rows: Tensor, across: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of input and taps from that of the output: `_forward` read backwards, each matrix transposed."""
    batch, _, width, in_channels = input.shape
    kernel_size, _, many = taps.shape
    lines = (across.T @ gradient.to(rows.dtype)).reshape(batch, gradient.shape[1], width * many)
    products = [(rows[t].T @ lines).to(input.dtype).reshape(-1, many) for t in range(kernel_size)]
    pixels = input.reshape(-1, in_channels)
    images = [product @ taps[t].T for t, product in enumerate(products)] if wanted[0] else []
    return (
        sum(images[1:], images[0]).reshape(input.shape) if wanted[0] else None,
        torch.stack([pixels.T @ product for product in products]) if wanted[1] else None,
    )


# ----------------------------------------------------------------------------------------------------------------------
# The fast way: the same, a block of images at a time, in memory that stays in the cache


class _Block(NamedTuple):
    """Some images of the batch: which, and what is used for them. Blocks of the same size share it all but `images`."""

    images: slice
    product: Tensor  # of a row of taps, [n, H, W·k·C_out]
    products: Tensor  # the same memory, [n·H·W, k·C_out]
    image: Tensor  # their sums along columns, [n, H_out, W·k·C_out]
    lines: Tensor  # the same memory, [n·H_out, W·k, C_out]
    rows: tuple[Tensor, ...]  # for each image the same, [n, H_out, H]
    across: Tensor  # for each line the same, [n·H_out, W_out, W·k]


def _forward_in_blocks(input: Tensor, taps: Tensor, bias: Tensor | None, rows: Tensor, across: Tensor) -> Tensor:
    batch, _, _, in_channels = input.shape
    out_channels, wide = taps.shape[2] // len(taps), len(across)
    output = input.new_empty(batch, rows.shape[1], wide, out_channels)
    each_tap = taps.unbind()
    for block in _blocks(input, taps, rows, across):
        pixels = input[block.images].reshape(-1, in_channels)
        for t, tap in enumerate(each_tap):
            _multiply(pixels, tap, block.products)
            if t == 0:
                torch.bmm(block.rows[t], block.product, out=block.image)
            else:
                block.image.baddbmm_(block.rows[t], block.product)
        target = output[block.images].view(-1, wide, out_channels)
        if bias is None:
            _multiply(block.across, block.lines, target)
        elif target.dtype == block.lines.dtype:
            torch.baddbmm(bias.expand_as(target), block.across, block.lines, out=target)
        else:
            target.copy_(torch.bmm(block.across, block.lines).add_(bias))
    return output


def _backward_in_blocks(
    gradient: Tensor, input: Tensor, taps: Tensor, rows: Tensor, across: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    in_channels, (wide, out_channels) = input.shape[3], gradient.shape[2:]
    for_input = input.new_empty(input.shape) if wanted[0] else None
    for_taps = rows.new_zeros(taps.shape) if wanted[1] else None
    each_tap = taps.transpose(1, 2).unbind()
    for block in _blocks(input, taps, rows, across):
        pixels = input[block.images].reshape(-1, in_channels).T
        target = None if for_input is None else for_input[block.images].view(-1, in_channels)
        lines = gradient[block.images].to(rows.dtype).reshape(-1, wide, out_channels)
        _multiply(block.across.mT, lines, block.lines)
        for t, tap in enumerate(each_tap):
            torch.bmm(block.rows[t].mT, block.image, out=block.product)
            products = block.products.to(input.dtype)
            if target is not None:
                torch.mm(products, tap, out=target) if t == 0 else target.addmm_(products, tap)
            if for_taps is not None and for_taps.dtype == products.dtype:
                for_taps[t].addmm_(pixels, products)
            elif for_taps is not None:
                for_taps[t] += pixels @ products
    return for_input, None if for_taps is None else for_taps.to(taps.dtype)


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """`out = a @ b`, where they may have narrower numbers."""
    if a.dtype == b.dtype == out.dtype:
        torch.matmul(a, b, out=out)
    else:
        out.copy_(a @ b)


def _blocks(input: Tensor, taps: Tensor, rows: Tensor, across: Tensor) -> Iterator[_Block]:
    """The batch in blocks. Their memory is the same for all of them: pages that were touched once.

    Blocks depend on shapes, type and device alone, so a result can be repeated.
    """
    batch, height, width, _ = input.shape
    kernel_size, _, many = taps.shape
    tall = rows.shape[1]
    limit = _BLOCK_BYTES_CPU if input.device.type == "cpu" else _BLOCK_BYTES_GPU
    step = max(1, min(batch, limit // (tall * width * many * rows.element_size())))
    products, images = (rows.new_empty(step, size, width * many) for size in (height, tall))
    block = None
    for start in range(0, batch, step):
        count = min(step, batch - start)
        if block is None or count < step:
            block = _Block(
                slice(0),
                products[:count],
                products[:count].view(-1, many),
                images[:count],
                images[:count].view(-1, width * kernel_size, many // kernel_size),
                rows[:, None].expand(-1, count, -1, -1).unbind(),
                across.expand(count * tall, -1, -1),
            )
        yield block._replace(images=slice(start, start + count))
