"""A resize and the convolution after it as a small transposed convolution, then one fixed filter for all channels.

A resize by s with an interpolation kernel inserts zeros and filters, `u = h * Z x`, and filters commute: away from the
borders

    Conv_k(h * Z x) = h * Conv_k(Z x)

where `Conv_k(Z x)` is a transposed convolution of stride s with the convolution's own kernel: `C_in·C_out·k²/s²`
products for an output pixel. What is left is a depthwise filter without weights.

At the borders the two differ, for the convolution has zeros beyond the image and the filter has the image going on.
Nearest has zeros there too (a repeated zero is a zero), so it is exact as it stands. The others repeat the outermost
pixel, so what the convolution should not have seen is taken away again: along each axis its matrices are `A + Â`, where
`A` sees the image going on, and `Â`, which takes that away, is zero but for the k//2 outermost rows:

    (A + Â) ⊗ (B + B̂) = A ⊗ B  +  Â ⊗ (B + B̂)  +  A ⊗ B̂
                        filter    outermost rows   outermost columns
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from upsample_lab.conv import TRANSPOSED_TWIN, Conv2d, conv2d, conv_transpose2d, transformed_or_traced
from upsample_lab.conv.kept import Kept
from upsample_lab.resize import REMEMBERED, Kernel, axis_weights, interpolation_matrix, nearest_matrix, remembered
from upsample_lab.upsamplers._taps import tap_matrices


class Interpolation(NamedTuple):
    """The filter that follows inserted zeros: `u[o] = Σ_i h[o - s·i] x[i]`.

    `first` is the index of the first number of `h`; without `repeats`, beyond the image are zeros.
    """

    scale: int
    first: int
    h: tuple[float, ...]
    repeats: Kernel | None

    @property
    def last(self) -> int:
        return self.first + len(self.h) - 1


def as_interpolation(make: Callable[..., Tensor], arguments: tuple[Hashable, ...], scale: int) -> Interpolation | None:
    """The filter of the resize with the matrices `make(n, *arguments)`, or None if it is not the same everywhere."""
    if make is nearest_matrix:
        return Interpolation(scale, 0, (1.0,) * scale, None)
    if make is not interpolation_matrix or len(arguments) != 2:
        return None
    kernel = arguments[1]
    assert isinstance(kernel, Kernel)
    return _interpolations.get((kernel, scale), partial(_interpolation, kernel, scale))


def _interpolation(kernel: Kernel, scale: int) -> Interpolation:
    reached = range(-kernel.reach * scale, (kernel.reach + 1) * scale)
    weights = {d: kernel.weight((d + 0.5) / scale - 0.5) for d in reached}
    inside = [d for d, weight in weights.items() if weight]
    h = tuple(weights[d] for d in range(inside[0], inside[-1] + 1))
    return Interpolation(scale, inside[0], h, kernel)


_interpolations: Kept[Interpolation] = Kept(REMEMBERED)


def convolve_filtered(input: Tensor, weight: Tensor, conv: Conv2d, interpolation: Interpolation) -> Tensor:
    """`conv(resize(x))`, `[N, C_in, H, W] -> [N, C_out, s·H, s·W]`; `weight` and bias in the input's dtype.

    Sums over pixels are made in float32 at least. Derivatives of every order, forward ones too.
    """
    exact = torch.promote_types(input.dtype, torch.float32)
    with torch.autocast(input.device.type, enabled=False):
        bias = None if conv.bias is None else conv.bias.to(exact) / sum(interpolation.h) ** 2  # the filter's gain
        output = _convolve(input.to(exact), weight.to(exact), bias, interpolation, conv.algorithm)
    return output.to(input.dtype)


def _convolve(
    input: Tensor, weight: Tensor, bias: Tensor | None, interpolation: Interpolation, algorithm: str
) -> Tensor:
    margin = weight.shape[2] // 2
    scale, last = interpolation.scale, interpolation.last
    more = (last + margin) // scale if interpolation.repeats else 0  # pixels beyond the image that are looked at
    if scale * more + margin < last:
        more += 1
    mode = "replicate" if interpolation.repeats else "constant"
    image = F.pad(input, (more,) * 4, mode) if more else input
    flipped = weight.flip(2, 3).transpose(0, 1)
    padding, twin = scale * more + margin - last, TRANSPOSED_TWIN[algorithm]
    spread = conv_transpose2d(image, flipped, bias, scale, padding, algorithm=twin)
    smoothing = remembered(_depthwise, interpolation.h, weight.shape[0], like=weight.detach())
    if not transformed_or_traced():
        output: Tensor = _Smooth.apply(spread, smoothing, 0, algorithm)
    else:
        output = conv2d(spread, smoothing, groups=weight.shape[0], algorithm=algorithm)
    if interpolation.repeats is None or margin == 0:
        return output
    return _take_away_beyond(output, input, weight, interpolation, in_place=algorithm == "native")


def _depthwise(h: tuple[float, ...], channels: int) -> Tensor:
    """The filter as a kernel `[C, 1, L, L]` of a convolution, which reads backwards."""
    axis = torch.tensor(h[::-1], dtype=torch.float64)
    return torch.outer(axis, axis).expand(channels, 1, -1, -1).contiguous()


class _Smooth(Function):
    """A depthwise filter that does not learn: autograd's own rule has PyTorch find a gradient of the filter too."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: int, algorithm: str) -> Tensor:
        return conv2d(image, kernel, padding=padding, groups=image.shape[1], algorithm=algorithm)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.kernel, ctx.padding, ctx.algorithm = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        padding = ctx.kernel.shape[2] - 1 - ctx.padding
        return _Smooth.apply(gradient, ctx.kernel.flip(2, 3), padding, ctx.algorithm), None, None, None

    @staticmethod
    def jvp(ctx: Any, image: Tensor, *_: Any) -> Tensor:
        return conv2d(image, ctx.kernel, padding=ctx.padding, groups=image.shape[1], algorithm=ctx.algorithm)


# ----------------------------------------------------------------------------------------------------------------------
# The outermost rows and columns


def within_matrices(size: int, scale: int, kernel: Kernel, kernel_size: int) -> Tensor:
    """`A + Â` of an axis of n pixels, `[s·n, n, k]`, float64: output pixel, input pixel, tap; zeros beyond its ends."""
    return tap_matrices(interpolation_matrix, (size, scale, kernel), kernel_size).permute(1, 2, 0).contiguous()


def going_on_matrices(size: int, scale: int, kernel: Kernel, kernel_size: int) -> Tensor:
    """`A`, likewise: the image goes on beyond its ends."""
    p, large = kernel_size // 2, scale * size
    seen = [axis_weights((pixel + 0.5) / scale - 0.5, size, kernel) for pixel in range(-p, large + p)]
    return torch.tensor(seen, dtype=torch.float64).unfold(0, kernel_size, 1).contiguous()


def outer_matrices(size: int, scale: int, kernel: Kernel, kernel_size: int) -> Tensor:
    """`Â` where it is not zero, `[2p, 2p, n]`, float64, for p = k//2: output pixel, tap, input pixel.

    The pixels are the p first and the p last, and the taps all but the one in the middle, which never looks beyond.
    An image of fewer than 2p pixels has some of them among both: there each has what lies beyond its own end.
    """
    p, large = kernel_size // 2, scale * size
    matrices = torch.zeros(2 * p, 2 * p, size, dtype=torch.float64)
    beyond = within_matrices(size, scale, kernel, kernel_size) - going_on_matrices(size, scale, kernel, kernel_size)
    for row in range(p):
        for tap in range(p):
            if row + tap < p:
                matrices[row, tap] = beyond[row, :, tap]
                matrices[-1 - row, -1 - tap] = beyond[large - 1 - row, :, kernel_size - 1 - tap]
    return matrices


def _take_away_beyond(
    output: Tensor, input: Tensor, weight: Tensor, interpolation: Interpolation, *, in_place: bool
) -> Tensor:
    """`output + Â ⊗ (B + B̂) + A ⊗ B̂`."""
    kernel, like = interpolation.repeats, weight.detach()
    arguments = (interpolation.scale, kernel, weight.shape[2])
    height, width = input.shape[2:]
    pixels = input.permute(0, 2, 3, 1)
    rows = _outermost(
        pixels,
        weight,
        remembered(outer_matrices, height, *arguments, like=like),
        remembered(within_matrices, width, *arguments, like=like).flatten(1),
    )
    columns = _outermost(
        pixels.transpose(1, 2),
        weight.transpose(2, 3),
        remembered(outer_matrices, width, *arguments, like=like),
        remembered(going_on_matrices, height, *arguments, like=like).flatten(1),
    )
    rows, columns = rows.permute(0, 3, 1, 2), columns.permute(0, 3, 2, 1)
    if in_place and not transformed_or_traced():
        changed: Tensor = _AddOutermost.apply(output, rows, columns)
        return changed
    return _each_edge(output, rows, 2).add(_each_edge(torch.zeros_like(output), columns, 3))


def _outermost(image: Tensor, weight: Tensor, outer: Tensor, across: Tensor) -> Tensor:
    """`Â ⊗ B`: `[N, H, W, C_in] -> [N, 2p, s·W, C_out]`; outer `[2p, 2p, H]`, across `[s·W, W·k]`."""
    batch, _, width, in_channels = image.shape
    out_channels, _, kernel_size, _ = weight.shape
    p = kernel_size // 2
    seen = outer.flatten(0, 1) @ image.flatten(2)
    seen = seen.view(batch, 2 * p, 2 * p, width, in_channels).transpose(2, 3).flatten(3)
    taps = torch.cat((weight[:, :, :p], weight[:, :, p + 1 :]), 2).permute(2, 1, 3, 0).flatten(0, 1).flatten(1)
    return across @ (seen @ taps).view(batch, 2 * p, width * kernel_size, out_channels)


def _each_edge(image: Tensor, edges: Tensor, dim: int) -> Tensor:
    """The image and, along an axis, half of the edges added to its begin, half to its end."""
    p, size = edges.shape[dim] // 2, image.shape[dim]
    index = torch.tensor([*range(p), *range(size - p, size)], device=image.device)
    return image.index_add(dim, index, edges)


class _AddOutermost(Function):
    """Adds rows `[N, C, 2p, W]` and columns `[N, C, H, 2p]` to the edges of `[N, C, H, W]`, in place.

    The gradient of the image passes as it is: slices added in place would copy it for each of them.
    """

    @staticmethod
    def forward(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return _add_outermost(image, rows, columns)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        image, rows, _ = inputs
        ctx.mark_dirty(image)
        ctx.p = rows.shape[2] // 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = ctx.p
        rows = torch.cat((gradient[:, :, :p], gradient[:, :, -p:]), 2)
        return gradient, rows, torch.cat((gradient[..., :p], gradient[..., -p:]), 3)

    @staticmethod
    def jvp(ctx: Any, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return _add_outermost(image, rows, columns)


def _add_outermost(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    p = rows.shape[2] // 2
    image[:, :, :p] += rows[:, :, :p]
    image[:, :, -p:] += rows[:, :, p:]
    image[..., :p] += columns[..., :p]
    image[..., -p:] += columns[..., p:]
    return image
