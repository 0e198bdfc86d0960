"""The fast way, ``algorithm="custom"``: im2col and polyphase in blocks that stay in the cache.

The matrix of all patches is ``k²`` times the image. Written as a whole it leaves the cache, and most of the time goes
into carrying it to memory and back. Here it is made a block of images at a time, and one row of the kernel's taps at a
time, small enough for the second-level cache, and multiplied while it is still there. The arithmetic is that of
`im2col.py` and `polyphase.py`, the slow obvious twins of this file; two ideas are added:

* One primitive, `_gather`, serves the convolution (every ``stride``-th pixel) and each phase of a transposed
  convolution (stride 1, some of the taps), because both meet taps at ``first + q·stride + j·step``: a `Window` an axis.
* The transposed convolution never adds overlapping patches: each phase of its output is gathered and multiplied once.

The rule is fixed: blocks depend on shapes, type and device alone, so a result can be repeated. The peak of extra memory
is one block and one padded block of images, whatever the size of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..geometry import Geometry, Pair
from ..im2col import weight_matrix
from ..polyphase import Phase, phases
from ..zero_insert import flip_kernel
from .hardware import has_fast_bf16
from .layout import empty_result

# Patches of a block, in bytes: the second-level cache here has 2 MiB a core. A GPU wants few, large launches.
_BLOCK_BYTES_CPU = 2 << 20
_BLOCK_BYTES_GPU = 256 << 20
# Numbers in a row of taps from which it is multiplied alone. Measured, float32, 2048 patches by 64 channels out: 280
# GFLOP/s with 192 numbers a patch (three taps of 64 channels), 234 with all 576.
_SHORTEST_PRODUCT = 96


class Window(NamedTuple):
    """The taps of one axis: output ``q`` of ``size`` meets tap ``j`` of ``taps`` at ``first + q·stride + j·step``."""

    first: int
    stride: int
    step: int
    taps: int
    size: int

    @property
    def last(self) -> int:
        return self.first + (self.size - 1) * self.stride + (self.taps - 1) * self.step


def convolution_window(axis: int, kernel: int, size: int, g: Geometry) -> Window:
    """The window of a convolution: ``p·stride + u·dilation - padding``, see `Geometry`."""
    return Window(-g.padding[axis], g.stride[axis], g.dilation[axis], kernel, size)


def phase_window(phase: Phase) -> Window:
    """The window of one phase of a transposed convolution."""
    return Window(phase.first, 1, phase.step, len(phase.taps), phase.size)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``y = P(x) w``, a block of patches at a time; see `im2col.convolve`."""
    out, _, kernel_h, kernel_w = weight.shape
    y = empty_result(x, weight, out, *size)
    window = convolution_window(0, kernel_h, size[0], g), convolution_window(1, kernel_w, size[1], g)
    matrix, bias = weight_matrix(weight, g.groups).to(_computed_type(x)), _as_computed(bias, x)
    for images, padded, origin in _padded_blocks(x, [window[0]], [window[1]]):
        _correlate(padded, origin, window, matrix, bias, y[images].permute(0, 2, 3, 1))
    return y


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``x = Cᵀ y``: the phases of ``x``, each a convolution of ``y`` with its share of the flipped kernel."""
    kernel = flip_kernel(weight, g.groups)
    x = empty_result(y, weight, kernel.shape[0], *size)
    rows, columns = phases(0, kernel.shape[2], size[0], g), phases(1, kernel.shape[3], size[1], g)
    kernel, bias = kernel.to(_computed_type(y)), _as_computed(bias, y)
    by_row = (kernel[:, :, row.taps] for row in rows)
    matrices = [[weight_matrix(part[..., column.taps], g.groups) for column in columns] for part in by_row]
    for images, padded, origin in _padded_blocks(y, *(_windows(axis) for axis in (rows, columns))):
        block = x[images].permute(0, 2, 3, 1)
        for row, row_matrices in zip(rows, matrices, strict=True):
            for column, matrix in zip(columns, row_matrices, strict=True):
                window = phase_window(row), phase_window(column)
                target = block[:, row.start :: g.stride[0], column.start :: g.stride[1]]
                _correlate(padded, origin, window, matrix, bias, target)
    return x


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry) -> Tensor:
    """``w = P(x)ᵀ y``, summed over blocks (in float32 where the numbers have half that width)."""
    out, c = y.shape[1], x.shape[1] // g.groups
    window = (
        convolution_window(0, kernel[0], y.shape[2], g),
        convolution_window(1, kernel[1], y.shape[3], g),
    )
    wide = torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
    computed = _computed_type(x)
    total = torch.zeros(g.groups, out // g.groups, kernel[0] * kernel[1] * c, dtype=wide, device=x.device)
    for images, padded, origin in _padded_blocks(x, [window[0]], [window[1]]):
        pixels = y[images].permute(0, 2, 3, 1)
        for rows in _row_blocks(padded, window):
            columns = pixels[:, rows].to(computed).reshape(-1, g.groups, out // g.groups).permute(1, 2, 0)
            for part, taps in _tap_rows((_part(window[0], rows), window[1]), c):
                patches = _gather(padded, origin, part, g.groups)
                if wide == computed and g.groups == 1:
                    total[0, :, taps].addmm_(columns[0], patches[0])
                elif wide == computed:
                    total[:, :, taps].baddbmm_(columns, patches)
                else:
                    total[:, :, taps] += torch.bmm(columns, patches)
    matrix = total.view(out, *kernel, c).permute(0, 3, 1, 2)
    return matrix.to(x.dtype).contiguous()


def _computed_type(x: Tensor) -> torch.dtype:
    """The type of the products: float32 for 16-bit floating-point numbers that a CPU has no units for."""
    if x.dtype.itemsize >= 4 or not x.dtype.is_floating_point or x.device.type != "cpu":
        return x.dtype
    return x.dtype if x.dtype == torch.bfloat16 and has_fast_bf16(x.device) else torch.float32


def _as_computed(bias: Tensor | None, x: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(_computed_type(x))


def _windows(axis: list[Phase]) -> list[Window]:
    return [phase_window(phase) for phase in axis if phase.taps]


def _padded_blocks(x: Tensor, rows: list[Window], columns: list[Window]) -> Iterator[tuple[slice, Tensor, Pair]]:
    """Blocks of images, channels last, with the zeros that the windows reach around them.

    Yields which images, the block `[n, H + …, W + …, C]`, and where pixel (0, 0) of the image lies in it. The block is
    overwritten by the next one.
    """
    batch, c, height, width = x.shape
    top, bottom = _reach(rows, height)
    left, right = _reach(columns, width)
    numbers = max([1, *[_numbers((r, q), c, x) for r in rows for q in columns]])
    count = _at_a_time(batch, numbers, x)
    pixels = x.permute(0, 2, 3, 1)
    computed = _computed_type(x)
    in_place = (top, bottom, left, right) == (0, 0, 0, 0) and pixels.is_contiguous() and x.dtype == computed
    padded_size = count, top + height + bottom, left + width + right, c
    buffer = None if in_place else x.new_zeros(padded_size, dtype=computed)
    for images in _slices(batch, count):
        block = pixels[images]
        if buffer is not None:
            padded = buffer[: images.stop - images.start]
            padded[:, top : top + height, left : left + width] = block
            block = padded
        yield images, block, (top, left)


def _reach(windows: list[Window], size: int) -> Pair:
    """How far the windows of one axis reach before and behind an image of ``size`` pixels."""
    before = [-window.first for window in windows]
    behind = [window.last - (size - 1) for window in windows]
    return max([0, *before]), max([0, *behind])


def _numbers(window: tuple[Window, Window], channels: int, x: Tensor) -> int:
    """How many numbers one image's patches have that are in memory at a time."""
    (rows, columns), _ = _tap_rows(window, channels, whole=_computed_type(x).itemsize < 4)[0]
    return rows.size * columns.size * rows.taps * columns.taps * channels


def _at_a_time(count: int, numbers: int, x: Tensor) -> int:
    """How many of ``count`` things, each with so many numbers of ``x``'s type in its patches, make one block.

    All of them while torch.compile or torch.export trace: a loop over a batch of unknown size has no graph.
    """
    if torch.compiler.is_compiling():
        return count
    limit = _BLOCK_BYTES_CPU if x.device.type == "cpu" else _BLOCK_BYTES_GPU
    return max(1, min(count, limit // max(1, numbers * _computed_type(x).itemsize)))


def _slices(count: int, step: int) -> list[slice]:
    """``count`` things, ``step`` at a time."""
    if step >= count:
        return [slice(0, count)]
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _row_blocks(padded: Tensor, window: tuple[Window, Window]) -> list[slice]:
    """Rows of the output whose patches fit into one block; all of them, but for an image that is a block by itself."""
    n, _, _, c = padded.shape
    rows = window[0]
    count = _at_a_time(rows.size, n * _numbers(window, c, padded) // max(rows.size, 1), padded)
    return _slices(rows.size, count)


def _gather(padded: Tensor, origin: Pair, window: tuple[Window, Window], groups: int) -> Tensor:
    """Patches as rows of a matrix, `[groups, pixels, taps·C/groups]`; no copy where they lie in memory like that."""
    n, _, _, c = padded.shape
    rows, columns = window
    image, row, pixel, _ = padded.stride()
    patches = padded[:, origin[0] + rows.first :, origin[1] + columns.first :].as_strided(
        (groups, n, rows.size, columns.size, rows.taps, columns.taps, c // groups),
        (c // groups, image, rows.stride * row, columns.stride * pixel, rows.step * row, columns.step * pixel, 1),
    )
    return patches.reshape(groups, n * rows.size * columns.size, rows.taps * columns.taps * (c // groups))


def _correlate(
    padded: Tensor, origin: Pair, window: tuple[Window, Window], matrix: Tensor, bias: Tensor | None, target: Tensor
) -> None:
    """Patches times the kernel's matrix, written to ``target``, `[n, rows, columns, C_out]`."""
    groups, taps, per_group = matrix.shape
    if taps == 0:  # a phase that no tap reaches
        target.zero_() if bias is None else target.copy_(bias.expand_as(target))
        return
    for rows in _row_blocks(padded, window):
        part, here = (_part(window[0], rows), window[1]), target[:, rows]
        if groups > 1:
            product = torch.bmm(_gather(padded, origin, part, groups), matrix).transpose(0, 1).reshape(here.shape)
            here.copy_(product if bias is None else product + bias)
        elif here.is_contiguous() and here.dtype == matrix.dtype:
            _multiply(padded, origin, part, matrix[0], bias, here.view(-1, per_group))
        else:
            product = here.new_empty(here.shape, dtype=matrix.dtype)
            _multiply(padded, origin, part, matrix[0], bias, product.view(-1, per_group))
            here.copy_(product)


def _multiply(
    padded: Tensor, origin: Pair, window: tuple[Window, Window], matrix: Tensor, bias: Tensor | None, out: Tensor
) -> None:
    """``out = patches @ matrix + bias``, a row of taps at a time where that is faster."""
    # torch.export differentiates the operators that it records, which those with `out=` do not allow.
    destination = None if torch.compiler.is_compiling() else out
    first = True
    for part, taps in _tap_rows(window, padded.shape[3], whole=padded.dtype.itemsize < 4):
        patches = _gather(padded, origin, part, 1)[0]
        if not first:
            out.addmm_(patches, matrix[taps])
            continue
        if bias is None:
            product = torch.mm(patches, matrix[taps], out=destination)
        else:
            product = torch.addmm(bias, patches, matrix[taps], out=destination)
        if destination is None:
            out.copy_(product)
        first = False


def _tap_rows(
    window: tuple[Window, Window], channels: int, *, whole: bool = False
) -> list[tuple[tuple[Window, Window], slice]]:
    """The window, row of taps by row of taps, and which rows of the kernel's matrix belong to each.

    The patches of one row are a ``k``-th of all and stay in the cache; rows too short for an efficient product stay
    together, and so do ``whole`` ones: 16-bit results would be rounded at each addition.
    """
    rows, columns = window
    numbers = columns.taps * channels
    if whole or numbers < _SHORTEST_PRODUCT:
        return [(window, slice(0, rows.taps * numbers))]
    return [
        ((rows._replace(first=rows.first + u * rows.step, taps=1), columns), slice(u * numbers, (u + 1) * numbers))
        for u in range(rows.taps)
    ]


def _part(window: Window, outputs: slice) -> Window:
    """The window of a few of its outputs."""
    return window._replace(first=window.first + outputs.start * window.stride, size=outputs.stop - outputs.start)
