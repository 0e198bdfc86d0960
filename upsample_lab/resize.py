"""Nearest, bilinear and bicubic resizing by a whole factor, from first principles.

Along one axis, output pixel ``o`` of an image of ``n`` pixels looks at the position

    ``x = (o + ½) / s - ½``                  half-pixel centres: pixels are areas, and the images' borders coincide
    ``x = o (n - 1) / (s·n - 1)``            ``align_corners``: the centres of the outermost pixels coincide

and takes the taps around it, ``y[o] = Σ_k w(x - k) u[clamp(k, 0, n-1)]``, with the interpolation kernel

    nearest    1 on ``[-½, ½)``
    bilinear   ``1 - |t|``                                                    on ``|t| < 1``
    bicubic    ``(a+2)|t|³ - (a+3)|t|² + 1``                                  on ``|t| < 1``, and
               ``a|t|³ - 5a|t|² + 8a|t| - 4a``                                on ``1 ≤ |t| < 2``, with ``a = -¾``

(R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29(6), 1981, equation 4 and
section III for the kernel with a free ``a``; ``-¾`` is the value of the common libraries.)

So one axis is one small matrix, and an image is resized by two products, ``A_h U A_wᵀ``. Long axes are cut into tiles
that share one matrix, which keeps the work per pixel bounded. Against weighted sums of shifted images this reads and
writes memory fewer times; in exchange a NaN or an infinity spreads over the tile that it lies in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

MODES = ("nearest", "bilinear", "bicubic")
BICUBIC_A = -0.75
TILE_PX = 16  # input pixels of a tile; 8 to 32 measure alike


def resize(input: Tensor, scale: int, *, mode: str = "nearest", align_corners: bool = False) -> Tensor:
    """Resize images by a whole factor: ``[N, C, H, W] -> [N, C, s·H, s·W]``; also ``[C, H, W]``.

    The same numbers as ``torch.nn.functional.interpolate(input, scale_factor=scale, mode=mode, …)``, with gradients of
    every order; dtype and memory format are the input's. ``align_corners`` has no meaning for nearest and is ignored.
    Bicubic may overshoot the range of its input: only indices are clamped.

    Raises ValueError for an unknown mode, a scale below 1, an input without pixels or of another rank, and TypeError
    for a scale that is no integer or an input that is not floating point.
    """
    scale = _check(input, scale, mode)
    if input.dim() == 3:
        return resize(input.unsqueeze(0), scale, mode=mode, align_corners=align_corners).squeeze(0)
    if mode == "nearest":
        return _Repeat.apply(input, scale)
    kernel = KERNELS[mode]
    with torch.autocast(input.device.type, enabled=False):  # the products are resampling: not to be rounded to bf16
        if is_channels_last(input):
            return _resize_pixels_first(input.permute(0, 2, 3, 1), scale, kernel, align_corners).permute(0, 3, 1, 2)
        return _resize_planes(input, scale, kernel, align_corners)


def is_channels_last(image: Tensor) -> bool:
    """Whether a ``[N, C, H, W]`` tensor lies in memory as ``[N, H, W, C]``; strides decide for images of one pixel."""
    if not image.is_contiguous(memory_format=torch.channels_last):
        return False
    return not image.is_contiguous() or image.stride(3) == image.shape[1] > 1


# ----------------------------------------------------------------------------------------------------------------------
# Interpolation kernels


def _bilinear(t: Tensor) -> Tensor:
    return (1 - t.abs()).clamp(min=0)


def _bicubic(t: Tensor) -> Tensor:
    a, t = BICUBIC_A, t.abs()
    inner = ((a + 2) * t - (a + 3)) * t * t + 1
    outer = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return torch.where(t < 1, inner, torch.where(t < 2, outer, torch.zeros_like(t)))


class Kernel(NamedTuple):
    """An interpolation kernel ``w(t)`` and its support: it is zero for ``|t| >= reach``."""

    weight: Callable[[Tensor], Tensor]
    reach: int


KERNELS = {"bilinear": Kernel(_bilinear, 1), "bicubic": Kernel(_bicubic, 2)}


# ----------------------------------------------------------------------------------------------------------------------
# One axis as a matrix


def interpolation_matrix(size: int, scale: int, mode: str, align_corners: bool = False) -> Tensor:
    """The matrix ``[s·size, size]`` (float64) that bilinear or bicubic resizing applies along an axis of that size."""
    return _axis_matrix(size, scale, KERNELS[mode], align_corners, torch.float64, torch.device("cpu"))


_matrices: dict[tuple[object, ...], Tensor] = {}


def _axis_matrix(
    size: int, scale: int, kernel: Kernel, align_corners: bool, dtype: torch.dtype, device: torch.device, halo: int = 0
) -> Tensor:
    """`_build_matrix`, remembered, since it takes longer than resizing a small image does."""
    arguments = (size, scale, kernel, align_corners, dtype, device, halo)
    if torch.compiler.is_compiling():
        return _build_matrix(*arguments)
    if arguments not in _matrices:
        with torch.inference_mode(False):  # else a matrix first used in inference could not be trained through later
            matrix = _build_matrix(*arguments)
        if type(matrix) is not Tensor:  # under a mode that computes shapes only
            return matrix
        _matrices[arguments] = matrix
    return _matrices[arguments]


def _build_matrix(
    size: int, scale: int, kernel: Kernel, align_corners: bool, dtype: torch.dtype, device: torch.device, halo: int
) -> Tensor:
    """The matrix ``[s·size, size + 2·halo]`` for the pixels of a tile and ``halo`` neighbours on each side."""
    out = torch.arange(scale * size, dtype=torch.float64, device=device)
    if align_corners:
        position = out * ((size - 1) / max(scale * size - 1, 1))
    else:
        position = (out + 0.5) / scale - 0.5
    taps = torch.arange(1 - kernel.reach, 1 + kernel.reach, device=device) + position.floor().long()[:, None]
    weights = kernel.weight(position[:, None] - taps)
    columns = (taps + halo).clamp(0, size + 2 * halo - 1)
    zeros = torch.zeros(scale * size, size + 2 * halo, dtype=torch.float64, device=device)
    return zeros.scatter_add(1, columns, weights).to(dtype)


def _tiles(image: Tensor, dim: int, scale: int, kernel: Kernel, align_corners: bool) -> tuple[Tensor, Tensor]:
    """The axis ``dim`` cut into ``[tiles, tile + 2·halo]`` pixels, borders repeated, and the matrix of each tile."""
    size, halo = image.shape[dim], kernel.reach
    if align_corners or size <= 2 * TILE_PX:  # with align_corners no two tiles would share a matrix
        return image.unsqueeze(dim), _axis_matrix(size, scale, kernel, align_corners, image.dtype, image.device)
    count = -(-size // TILE_PX)
    tile = -(-size // count)
    starts = torch.arange(count, device=image.device) * tile
    indices = (starts[:, None] + torch.arange(-halo, tile + halo, device=image.device)).clamp(0, size - 1)
    cut = image.index_select(dim, indices.flatten()).unflatten(dim, (count, tile + 2 * halo))
    return cut, _axis_matrix(tile, scale, kernel, False, image.dtype, image.device, halo)


# ----------------------------------------------------------------------------------------------------------------------
# Two axes, by memory format


def _resize_planes(image: Tensor, scale: int, kernel: Kernel, align_corners: bool) -> Tensor:
    """``[N, C, H, W]``: rows are contiguous, so the columns are resized first, by a product from the right."""
    height, width = image.shape[2:]
    tiles, matrix = _tiles(image, 3, scale, kernel, align_corners)
    image = (tiles @ matrix.T).flatten(3)[..., : scale * width]
    tiles, matrix = _tiles(image, 2, scale, kernel, align_corners)
    return (matrix @ tiles).flatten(2, 3)[:, :, : scale * height].contiguous()


def _resize_pixels_first(image: Tensor, scale: int, kernel: Kernel, align_corners: bool) -> Tensor:
    """``[N, H, W, C]``: both products from the left, with whole pixels and then whole rows as columns of the matrix."""
    height, width, channels = image.shape[1:]
    tiles, matrix = _tiles(image, 2, scale, kernel, align_corners)
    image = (matrix @ tiles).flatten(2, 3)[:, :, : scale * width]
    tiles, matrix = _tiles(image.flatten(2), 1, scale, kernel, align_corners)
    rows = (matrix @ tiles).flatten(1, 2)[:, : scale * height]
    return rows.contiguous().unflatten(2, (scale * width, channels))


def _repeat(image: Tensor, scale: int) -> Tensor:
    """Nearest: each pixel becomes a block of s x s equal pixels."""
    batch, channels, height, width = image.shape
    if is_channels_last(image):
        blocks = image.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, scale, -1, scale, -1)
        return blocks.reshape(batch, scale * height, scale * width, channels).permute(0, 3, 1, 2)
    blocks = image[:, :, :, None, :, None].expand(-1, -1, -1, scale, -1, scale)
    return blocks.reshape(batch, channels, scale * height, scale * width)


def _sum_blocks(image: Tensor, scale: int) -> Tensor:
    """The adjoint of `_repeat`: the sum of each block, rows before columns, since whole rows add fastest."""
    for dim in (2, 3):
        parts = image.unflatten(dim, (image.shape[dim] // scale, scale)).unbind(dim + 1)
        image = parts[0] + parts[1] if scale > 1 else parts[0]
        for part in parts[2:]:
            image += part
    return image


class _Repeat(Function):
    """`_repeat` with a written backward pass: autograd's own sums over both axes at once, ten times slower."""

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, scale: int) -> Tensor:
        return _repeat(image, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.scale = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _SumBlocks.apply(gradient, ctx.scale), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return _Repeat.apply(tangent, ctx.scale)


class _SumBlocks(Function):
    """`_sum_blocks`; the backward pass of each is the other."""

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, scale: int) -> Tensor:
        return _sum_blocks(image, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.scale = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Repeat.apply(gradient, ctx.scale), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return _SumBlocks.apply(tangent, ctx.scale)


# ----------------------------------------------------------------------------------------------------------------------
# Checks


def _check(input: Tensor, scale: int, mode: str) -> int:
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: must be one of {', '.join(MODES)}")
    if isinstance(scale, bool):
        raise TypeError(f"scale={scale}: must be an integer from 1 up")
    try:
        factor = operator.index(scale)
    except TypeError:
        raise TypeError(f"scale={scale!r}: must be an integer from 1 up") from None
    if factor < 1:
        raise ValueError(f"scale={factor}: must be an integer from 1 up")
    if input.dim() not in (3, 4):
        raise ValueError(f"input has the shape {list(input.shape)}: must be [N, C, H, W] or [C, H, W]")
    if 0 in input.shape[-2:]:
        raise ValueError(f"input has the shape {list(input.shape)}: an image needs at least one pixel")
    if not input.is_floating_point():
        raise TypeError(f"input has the dtype {input.dtype}: must be floating point")
    return factor
