"""Nearest, bilinear and bicubic resizing, by any factor or to any size, from first principles.

Along one axis, output pixel ``o`` of an image of ``n`` pixels looks at the position

    ``x = (o + ½) / s - ½``                  half-pixel centres: pixels are areas, and the images' borders coincide
    ``x = o (n - 1) / (s·n - 1)``            ``align_corners``: the centres of the outermost pixels coincide

and sums the taps around it, ``y[o] = Σ_k w(x - k) u[clamp(k, 0, n-1)]``, with the interpolation kernel

    nearest    1 on ``[-½, ½)``
    bilinear   ``1 - |t|``                                                    on ``|t| < 1``
    bicubic    ``(a+2)|t|³ - (a+3)|t|² + 1``                                  on ``|t| < 1``, and
               ``a|t|³ - 5a|t|² + 8a|t| - 4a``                                on ``1 ≤ |t| < 2``, with ``a = -¾``

(R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29(6), 1981, equation 4 and
section III for the kernel with a free ``a``; ``-¾`` is the value of the common libraries.)

So one axis is one matrix, and an image is resized by two products, ``A_h U A_wᵀ``. That is also the fastest way for
short axes, where one product replaces several passes over memory. On long axes, where a dense matrix would be mostly
zeros, each output phase is a weighted sum of shifted images. What has no phases (`align_corners`, a fractional factor,
a size) gathers the taps of each output pixel instead, `TapTable`. With ``antialias`` the kernel is stretched by ``1/s``
where that is above 1, its weights are normalised, and ``a = -½``, as in Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from upsample_lab.conv import followed_by_a_tool, is_channels_last, own_tensor, under_a_mode, without_autocast
from upsample_lab.conv.checks import as_int
from upsample_lab.conv.kept import Kept
from upsample_lab.late import make_callable

MODES = ("nearest", "bilinear", "bicubic")
BICUBIC_A = -0.75
DENSE_SIZE = 32  # longest axis, in pixels, that a dense matrix resizes: its work grows with the length, not so for sums
MOST_DENSE = 1 << 20  # numbers of a matrix that stands for a wide antialiasing kernel
REMEMBERED = 64  # matrices that are kept


class Kernel(NamedTuple):
    """An interpolation kernel ``w(t)``, t in input pixels, that vanishes for ``|t| >= reach``.

    Weights that are computed from it are remembered under it, so kernels of the same values should be equal.
    """

    weight: Callable[[float], float]
    reach: int


def resize(
    input: Tensor,
    scale: float | Sequence[float] | None = None,
    *,
    size: int | Sequence[int] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
) -> Tensor:
    """Resize images by a factor, or to a size: ``[N, C, H, W] -> [N, C, ⌊s_h·H⌋, ⌊s_w·W⌋]``; also ``[C, H, W]``.

    The same numbers as ``torch.nn.functional.interpolate(input, size, scale, mode, …)``, with gradients of every order;
    dtype and memory format are the input's. ``align_corners`` has no meaning for nearest and is ignored. Bicubic may
    overshoot the range of its input: only indices are clamped. On axes of up to `DENSE_SIZE` pixels a NaN or an
    infinity spreads along the axis, since it is multiplied with the zeros of the matrix too (not with nearest).

    Args:
        scale: output pixels per input pixel, whole or not; one for both axes, or ``(s_h, s_w)``. Positions are found
            with the factor itself, also where ``s·H`` is not whole.
        size: the output's side, or ``(H_out, W_out)``, in place of ``scale``.
        mode: one of `MODES`.
        align_corners: whether the outermost pixels' centres coincide, not their borders.
        antialias: whether the kernel covers ``1/s`` input pixels where an axis shrinks; bilinear and bicubic.

    Raises ValueError for an unknown mode, a factor or size of zero or less, neither or both of them, an input without
    pixels or of another rank, ``antialias`` with nearest, and TypeError for what is no number, or an input that is not
    floating point.
    """
    factors, sides = _check(input, scale, size, mode, antialias)
    if input.dim() == 3:
        images = input.unsqueeze(0)
        return resize(images, scale, size=size, mode=mode, align_corners=align_corners, antialias=antialias).squeeze(0)
    recorded = followed_by_a_tool(input)
    whole = _whole_factor(input, factors, None if recorded else sides)
    if whole == 1:
        return input.clone()
    tracing = recorded or torch.compiler.is_compiling()
    if whole is None or antialias or (align_corners and tracing and mode != "nearest"):
        if tracing:
            return _interpolate(input, factors, sides, mode, align_corners, antialias)
        return _resize_by_taps(input, factors, sides, mode, align_corners, antialias)
    if mode == "nearest":
        if recorded:
            return _repeat_by_view(input, whole)
        return _apply_linear(input, partial(_repeat, scale=whole), partial(_sum_blocks, scale=whole))
    return resample(input, whole, KERNELS[mode], align_corners=align_corners)


def _whole_factor(input: Tensor, factors: tuple[float, float] | None, sides: tuple[int, int] | None) -> int | None:
    """The whole factor that both axes grow by, if there is one; a size is only looked at where it is given."""
    if factors is not None:
        return int(factors[0]) if factors[0] == factors[1] and float(factors[0]).is_integer() else None
    if sides is None:
        return None
    (height, width), (rows, columns) = input.shape[2:], sides
    even = rows % height == 0 and columns % width == 0 and rows // height == columns // width
    return rows // height if even else None


def _interpolate(
    input: Tensor,
    factors: tuple[float, float] | None,
    sides: tuple[int, int] | None,
    mode: str,
    align_corners: bool,
    antialias: bool,
) -> Tensor:
    """PyTorch's own, which tools know, for sizes that may be symbols."""
    if antialias:
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            raise TypeError("resize: antialias=True cannot be compiled; exclude the call with torch.compiler.disable")
        if any(isinstance(side, torch.SymInt) for side in (*input.shape[2:], *(sides or ()))):
            raise TypeError("resize: antialias=True needs a height and a width that are fixed while they are recorded")
        # PyTorch 2.15 repeats the first row where the width becomes 1, so that its own will not do.
        return _resize_by_taps(input, factors, sides, mode, align_corners, antialias)
    aligned = None if mode == "nearest" else align_corners
    with without_autocast(input.device):
        output: Tensor = F.interpolate(input, sides, None if factors is None else list(factors), mode, aligned)
        return output


def resample(image: Tensor, scale: int, kernel: Kernel, *, align_corners: bool = False) -> Tensor:
    """``[N, C, H, W] -> [N, C, s·H, s·W]`` with any interpolation kernel, borders repeated.

    With ``scale=1`` it filters the image with the kernel's values at the whole numbers.
    """
    if image.device.type == "cpu" and image.dtype in (torch.bfloat16, torch.float16):
        # Few CPUs multiply 16-bit matrices, and none sums slices of them as fast; and sums are not to be rounded.
        return resample(image.float(), scale, kernel, align_corners=align_corners).to(image.dtype)
    if followed_by_a_tool(image) and not align_corners:
        return _resample_by_indices(image, scale, kernel)
    channels_last = is_channels_last(image)
    for dim in (3, 2):  # columns first: fewer rows to work on
        size = image.shape[dim]
        if align_corners and size > DENSE_SIZE:
            image = _gather(image, dim, TapTable(size, scale * size, 1 / scale, kernel, True, False))
        elif align_corners or size <= DENSE_SIZE:
            matrix = remembered(interpolation_matrix, size, scale, kernel, align_corners, like=image)
            image = apply_matrix(image, matrix, dim, channels_last)
        else:
            taps = phase_taps(scale, kernel)
            weave = partial(_weave, dim=dim, taps=taps, channels_last=channels_last)
            unweave = partial(_unweave, dim=dim, taps=taps, channels_last=channels_last)
            image = _apply_linear(image, weave, unweave)
    return _in_format(image, channels_last)


def apply_matrix(image: Tensor, matrix: Tensor, dim: int, channels_last: bool) -> Tensor:
    """Multiply axis 2 (along a column) or 3 (along a row) of ``[N, C, H, W]`` by ``matrix [n_out, n]``; format is kept.

    In channels-last memory whole pixels, and then whole rows, are the columns of the right-hand matrix.
    """
    with without_autocast(image.device):  # resampling is not to be rounded to bf16
        if not channels_last:
            return image @ matrix.T if dim == 3 else matrix @ image
        pixels = image.permute(0, 2, 3, 1)
        if dim == 3:
            return (matrix @ pixels).permute(0, 3, 1, 2)
        rows = matrix @ pixels.flatten(2)
        return rows.unflatten(2, pixels.shape[2:]).permute(0, 3, 1, 2)


def _resample_by_indices(image: Tensor, scale: int, kernel: Kernel) -> Tensor:
    """`resample` in functions that every tool knows, for sizes that may be symbols: a weighted sum for each phase."""
    for dim in (3, 2):
        size = image.shape[dim]
        pixels = torch.arange(size, device=image.device)
        phases = []
        for taps in phase_taps(scale, kernel):
            parts = [image.index_select(dim, (pixels + d).clamp(0, size - 1)) * weight for d, weight in taps]
            phases.append(sum(parts[1:], parts[0]))
        image = torch.stack(phases, dim + 1).flatten(dim, dim + 1)
    return image


def _repeat_by_view(image: Tensor, scale: int) -> Tensor:
    """Nearest, likewise."""
    batch, channels, height, width = image.shape
    blocks = image[:, :, :, None, :, None].expand(batch, channels, height, scale, width, scale)
    return blocks.reshape(batch, channels, height * scale, width * scale)


# ----------------------------------------------------------------------------------------------------------------------
# Interpolation kernels


def _bilinear(t: float) -> float:
    return max(0.0, 1 - abs(t))


def _bicubic(t: float) -> float:
    a, t = BICUBIC_A, abs(t)
    if t < 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


def _catmull_rom(t: float) -> float:
    a, t = -0.5, abs(t)
    if t < 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


KERNELS = {"bilinear": Kernel(_bilinear, 1), "bicubic": Kernel(_bicubic, 2)}
ANTIALIASED = {"bilinear": Kernel(_bilinear, 1), "bicubic": Kernel(_catmull_rom, 2)}

Taps = tuple[tuple[int, float], ...]


def taps_at(position: float, kernel: Kernel) -> Taps:
    """The pixels that a position looks at, and their weights."""
    first = math.floor(position) + 1 - kernel.reach
    return tuple((k, kernel.weight(position - k)) for k in range(first, first + 2 * kernel.reach))


_phase_taps: Kept[tuple[Taps, ...]] = Kept(REMEMBERED)  # numbers, no tensors: nobody's, whoever made them


def phase_taps(scale: int, kernel: Kernel) -> tuple[Taps, ...]:
    """For each output phase r, the offsets d and weights of ``y[s·i + r] = Σ_d w_d u[i + d]``."""

    def make() -> tuple[Taps, ...]:
        all_taps = (taps_at((phase + 0.5) / scale - 0.5, kernel) for phase in range(scale))
        return tuple(tuple(tap for tap in taps if tap[1] != 0) for taps in all_taps)

    return _phase_taps.get((scale, kernel), make)


# ----------------------------------------------------------------------------------------------------------------------
# Short axes: a matrix


def interpolation_matrix(size: int, scale: int, kernel: Kernel, align_corners: bool = False) -> Tensor:
    """The matrix ``[s·size, size]``, float64, that resizing multiplies an axis of that size with."""
    matrix = []
    for out in range(scale * size):
        if align_corners:
            position = out * (size - 1) / max(scale * size - 1, 1)
        else:
            position = (out + 0.5) / scale - 0.5
        matrix.append(axis_weights(position, size, kernel))
    return torch.tensor(matrix, dtype=torch.float64)


def axis_weights(position: float, size: int, kernel: Kernel) -> list[float]:
    """What each pixel of an axis of that size weighs at a position, which may lie beyond its ends: borders repeated."""
    row = [0.0] * size
    for k, weight in taps_at(position, kernel):
        row[min(max(k, 0), size - 1)] += weight
    return row


def nearest_matrix(size: int, scale: int) -> Tensor:
    """The same for nearest, which repeats each pixel of an axis s times."""
    return torch.eye(size, dtype=torch.float64).repeat_interleave(scale, 0)


_matrices: Kept[Tensor] = Kept(REMEMBERED)


def remembered(make: Callable[..., Tensor], *arguments: Hashable, like: Tensor) -> Tensor:
    """`make(*arguments)` with the dtype and device of `like`, kept: making it takes longer than resizing an image.

    Nothing is kept or handed out under a tool (export, make_fx, fake tensors, torch.func): a tracer made it, or could
    not tell whose it is.
    """
    if under_a_mode():
        return make(*arguments).to(like.device, like.dtype)
    key = (make, arguments, like.dtype, like.device)
    return _matrices.get(key, lambda: make(*arguments).to(like.device, like.dtype))


# ----------------------------------------------------------------------------------------------------------------------
# Any factor: a table of taps


class TapTable(NamedTuple):
    """One axis of `size` pixels resized to `out`: what `_taps` computes from it is remembered under it.

    `step` is the distance of output pixels, in input pixels, before `align_corners` changes it.
    """

    size: int
    out: int
    step: float
    kernel: Kernel | None  # None is nearest
    align_corners: bool
    antialias: bool


def _taps(table: TapTable) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights, each `[taps, out]`."""
    size, out, step, kernel, align_corners, antialias = table
    if kernel is None:
        # PyTorch multiplies in float32, which decides where a position falls on the border of two pixels.
        positions = np.floor(np.arange(out, dtype=np.float32) * np.float32(step)).astype(np.int64)
        return np.minimum(positions, size - 1)[None], np.ones((1, out))
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
    rows = []
    if not antialias:
        for o in range(out):
            rows.append(taps_at(o * step if align_corners else (o + 0.5) * step - 0.5, kernel))
    else:
        stretch = max(step, 1.0)
        for o in range(out):
            centre = step * (o + 0.5)
            first = max(int(centre - kernel.reach * stretch + 0.5), 0)
            end = min(int(centre + kernel.reach * stretch + 0.5), size)
            weights = [kernel.weight((k - centre + 0.5) / stretch) for k in range(first, end)]
            total = sum(weights) or 1.0
            rows.append(tuple((first + k, weight / total) for k, weight in enumerate(weights)))
    longest = max(map(len, rows))
    padded = np.array([[*row, *[(row[0][0] if row else 0, 0.0)] * (longest - len(row))] for row in rows])
    return np.clip(padded[..., 0].T.astype(np.int64), 0, size - 1), np.ascontiguousarray(padded[..., 1].T)


def _tap_indices(table: TapTable) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(_taps(table)[0]))


def _tap_weights(table: TapTable) -> Tensor:
    return torch.from_numpy(_taps(table)[1])


def _tap_matrix(table: TapTable) -> Tensor:
    indices, weights = _taps(table)
    matrix = np.zeros((table.out, table.size))
    for index, weight in zip(indices, weights, strict=True):
        np.add.at(matrix, (np.arange(table.out), index), weight)
    return torch.from_numpy(matrix)


def _gather(image: Tensor, dim: int, table: TapTable) -> Tensor:
    """``y[o] = Σ_t w[t, o] u[i[t, o]]`` along an axis, a tap at a time: extra memory is that of the output."""
    indices = remembered(_tap_indices, table, like=image.new_empty(0, dtype=torch.int64))
    if table.kernel is None:
        return image.index_select(dim, indices[0])
    weights = remembered(_tap_weights, table, like=image).unflatten(1, (-1, *[1] * (3 - dim)))
    output = image.index_select(dim, indices[0]) * weights[0]
    for index, weight in zip(indices[1:], weights[1:], strict=True):
        output = output + image.index_select(dim, index) * weight
    return output


def _resize_by_taps(
    image: Tensor,
    factors: tuple[float, float] | None,
    sides: tuple[int, int] | None,
    mode: str,
    align_corners: bool,
    antialias: bool,
) -> Tensor:
    if image.device.type == "cpu" and image.dtype in (torch.bfloat16, torch.float16) and mode != "nearest":
        return _resize_by_taps(image.float(), factors, sides, mode, align_corners, antialias).to(image.dtype)
    kernel = None if mode == "nearest" else (ANTIALIASED if antialias else KERNELS)[mode]
    channels_last = not followed_by_a_tool(image) and is_channels_last(image)
    for dim in (3, 2):
        size = int(image.shape[dim])  # a tensor under torch.jit.trace, which divides in float32
        if sides is not None:
            out, step = sides[dim - 2], size / sides[dim - 2]
        else:
            assert factors is not None
            out, step = math.floor(size * factors[dim - 2]), 1 / factors[dim - 2]
        if out == size and (antialias or mode != "bicubic"):
            continue  # as PyTorch does, whatever the factor
        table = TapTable(size, out, step, kernel, align_corners, antialias)
        # A kernel that covers many pixels is a dense matrix as long as that is small.
        if kernel is not None and antialias and step * kernel.reach > 4 and size * out <= MOST_DENSE:
            image = apply_matrix(image, remembered(_tap_matrix, table, like=image), dim, channels_last)
        else:
            image = _gather(image, dim, table)
    return _in_format(image, channels_last)


def _in_format(image: Tensor, channels_last: bool) -> Tensor:
    if not channels_last or is_channels_last(image):
        return image
    return image.contiguous(memory_format=torch.channels_last)


# ----------------------------------------------------------------------------------------------------------------------
# Long axes, and nearest: sums of slices


class _Linear(Function):
    """A linear map with its adjoint: the backward pass of each is the other, to any order."""

    @staticmethod
    def forward(image: Tensor, apply: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        return own_tensor(apply(image))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.forth, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _apply_linear(gradient, ctx.back, ctx.forth), None, None


class _LinearBothModes(_Linear):
    """With the forward derivative too, which torch.compile does not take."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return _apply_linear(tangent, ctx.forth, ctx.back)


def _apply_linear(image: Tensor, apply: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]) -> Tensor:
    function = _Linear if torch.compiler.is_dynamo_compiling() else _LinearBothModes
    output: Tensor = function.apply(image, apply, adjoint)
    return output


def _empty(like: Tensor, dim: int, size: int, channels_last: bool) -> Tensor:
    shape = [*like.shape[:dim], size, *like.shape[dim + 1 :]]
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format)


def _weave(image: Tensor, dim: int, taps: tuple[Taps, ...], channels_last: bool) -> Tensor:
    """``y[s·i + r] = Σ_d w_d u[clamp(i + d)]`` along an axis longer than the kernel."""
    size = image.shape[dim]
    output = _empty(image, dim, len(taps) * size, channels_last)
    for target, phase in zip(_phases(output, dim, len(taps)), taps, strict=True):
        start, end = max(0, -phase[0][0]), size - max(0, phase[-1][0])  # where no tap needs clamping
        pieces = [(image.narrow(dim, start + offset, end - start), weight) for offset, weight in phase]
        _write_sum(pieces, target.narrow(dim, start, end - start))
        for i in (*range(start), *range(end, size)):
            row = [(image.narrow(dim, min(max(i + offset, 0), size - 1), 1), weight) for offset, weight in phase]
            _write_sum(row, target.narrow(dim, i, 1))
    return output


def _write_sum(pieces: list[tuple[Tensor, float]], target: Tensor) -> None:
    """``target = Σ weight · piece``; two pieces are interpolated, which leaves constants as they are."""
    (first, weight), *rest = pieces
    if torch.compiler.is_compiling():  # which fuses the sum anyway, and does not trace strided `out=`
        target.copy_(sum((piece * factor for piece, factor in rest), first * weight))
    elif len(rest) == 1 and math.isclose(weight + rest[0][1], 1):
        torch.lerp(first, *rest[0], out=target)
    else:
        torch.mul(first, weight, out=target)
        for piece, factor in rest:
            target.add_(piece, alpha=factor)


def _unweave(gradient: Tensor, dim: int, taps: tuple[Taps, ...], channels_last: bool) -> Tensor:
    """The adjoint of `_weave`: every tap takes back what it gave, and the outermost pixels what the border gave."""
    size = gradient.shape[dim] // len(taps)
    output = _empty(gradient, dim, size, channels_last)
    sources = _phases(gradient, dim, len(taps))
    _write_sum([(sources[0], dict(taps[0]).get(0, 0.0))], output)  # saves a pass that fills it with zeros
    for source, phase in zip(sources, taps, strict=True):
        for offset, weight in phase:
            if offset == 0 and source is sources[0]:
                continue
            kept, start = size - abs(offset), max(offset, 0)
            output.narrow(dim, start, kept).add_(source.narrow(dim, start - offset, kept), alpha=weight)
            if offset:
                beyond = source.narrow(dim, kept if offset > 0 else 0, abs(offset)).sum(dim, keepdim=True)
                output.narrow(dim, size - 1 if offset > 0 else 0, 1).add_(beyond, alpha=weight)
    return output


def _phases(image: Tensor, dim: int, scale: int) -> tuple[Tensor, ...]:
    """The s views of every s-th row or column."""
    return image.unflatten(dim, (image.shape[dim] // scale, scale)).unbind(dim + 1)


def _repeat(image: Tensor, scale: int) -> Tensor:
    """Nearest: each pixel becomes a block of s x s equal pixels."""
    batch, channels, height, width = image.shape
    if is_channels_last(image):
        blocks = image.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, scale, -1, scale, -1)
        return blocks.reshape(batch, scale * height, scale * width, channels).contiguous().permute(0, 3, 1, 2)
    blocks = image[:, :, :, None, :, None].expand(-1, -1, -1, scale, -1, scale)
    # A copy made in so many words: torch 2.11 compiles `reshape`, which may be a view, to a gradient of zero.
    copy = blocks.clone(memory_format=torch.contiguous_format)
    return copy.view(batch, channels, scale * height, scale * width)


def _sum_blocks(image: Tensor, scale: int) -> Tensor:
    """The adjoint of `_repeat`: the sum of each block, rows before columns, since whole rows add fastest."""
    for dim in (2, 3):
        parts = _phases(image, dim, scale)
        image = parts[0] + parts[1]
        for part in parts[2:]:
            image += part
    return image


# ----------------------------------------------------------------------------------------------------------------------
# Checks


def _check(
    input: Tensor, scale: Any, size: Any, mode: str, antialias: bool
) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    """The factors or the sides, vertical first."""
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: must be one of {', '.join(MODES)}")
    if antialias and mode == "nearest":
        raise ValueError("antialias=True: is for bilinear and bicubic, not for mode='nearest'")
    if (scale is None) == (size is None):
        raise ValueError(f"scale={scale!r} and size={size!r}: give one of them")
    if input.dim() not in (3, 4):
        raise ValueError(f"input has the shape {list(input.shape)}: must be [N, C, H, W] or [C, H, W]")
    if 0 in input.shape[-2:]:
        raise ValueError(f"input has the shape {list(input.shape)}: an image needs at least one pixel")
    if not input.is_floating_point():
        raise TypeError(f"input has the dtype {input.dtype}: must be floating point")
    if size is not None:
        return None, _pair("size", size, "an integer from 1 up, or two of them", _as_side)
    factors = _pair("scale", scale, "a number above 0, or two of them", _as_factor)
    if not followed_by_a_tool(input) and min(int(input.shape[dim - 2] * factors[dim]) for dim in (0, 1)) < 1:
        raise ValueError(f"scale={scale!r}: leaves no pixel of an input of the shape {list(input.shape)}")
    return factors, None


def _pair(name: str, value: Any, allowed: str, convert: Callable[[Any], Any]) -> tuple[Any, Any]:
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name}={value!r}: must be {allowed}")
    try:
        pair = convert(both[0]), convert(both[1])
    except (TypeError, ValueError):
        raise TypeError(f"{name}={value!r}: must be {allowed}") from None
    if any(not isinstance(each, torch.SymInt) and not 0 < each < math.inf for each in pair):
        raise ValueError(f"{name}={value!r}: must be {allowed}")
    return pair


def _as_side(value: Any) -> Any:
    return as_int("size", value)


def _as_factor(value: Any) -> float:
    if isinstance(value, (bool, str)):
        raise TypeError
    return float(value)


make_callable(__name__)
