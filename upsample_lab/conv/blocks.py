"""The fast way, ``algorithm="custom"``: im2col and polyphase in blocks that stay in the cache.

The matrix of all patches is ``k²`` times the image. Written as a whole it leaves the cache, and most of the time goes
into carrying it to memory and back. Here it is made a few images at a time, and multiplied while it is still there. The
arithmetic is that of `im2col.py` and `polyphase.py`, the slow obvious twins of this file; four ideas are added:

* One primitive serves the convolution (every ``stride``-th pixel) and each phase of a transposed convolution (stride 1,
  some of the taps), because both meet taps at ``first + q·stride + j·step``: a `Window` an axis.
* Only the taps of one row of the kernel are written side by side, and the rows of all images lie one below the other:
  image row 0 of every image, then row 1, and so on. What a *lower* row of taps sees is then the same matrix from some
  rows on, not another copy: a 3 x 3 kernel copies the image 3 times and not 9, and all phases of a row share it.
* A kernel with few outputs multiplies first and adds shifted results after (`_scatter`): its products are fewer than
  the numbers that it reads.
* The gradient of the weights writes out the patches of whichever of the two images has fewer channels.

The rule is fixed: blocks depend on shapes, type and device alone, so a result can be repeated. The peak of extra memory
is a few blocks, whatever the size of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .geometry import Geometry, Pair
from .hardware import has_fast_bf16
from .layout import empty_result
from .polyphase import Phase, phases
from .zero_insert import flip_kernel

# Patches of a block, in bytes: what the second-level caches of two cores hold. A GPU wants few, large launches.
_BLOCK_BYTES_CPU = 1 << 20
_BLOCK_BYTES_GPU = 256 << 20
# Numbers in a row of taps from which it is multiplied alone; shorter ones are joined into one longer product.
_SHORTEST_PRODUCT = 48
_HALF = (torch.bfloat16, torch.float16)


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

    def part(self, outputs: slice) -> Window:
        """The window of a few of its outputs; ``outputs`` may reach beyond the last."""
        if outputs.start == 0 and outputs.stop >= self.size:  # so that a traced size stays out of the arithmetic
            return self
        start, stop = min(outputs.start, self.size), min(outputs.stop, self.size)
        return self._replace(first=self.first + start * self.stride, size=stop - start)


def convolution_window(axis: int, kernel: int, size: int, g: Geometry) -> Window:
    """The window of a convolution: ``p·stride + u·dilation - padding``, see `Geometry`."""
    return Window(-g.padding[axis], g.stride[axis], g.dilation[axis], kernel, size)


def phase_window(phase: Phase) -> Window:
    """The window of one phase of a transposed convolution."""
    return Window(phase.first, 1, phase.step, len(phase.taps), phase.size)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``y = P(x) w``, a block of patches at a time; see `im2col.convolve`."""
    out, _, kernel_h, kernel_w = weight.shape
    rows, columns = convolution_window(0, kernel_h, size[0], g), convolution_window(1, kernel_w, size[1], g)
    y = empty_result(x, weight, out, *size)
    pixels = _pixels(y)
    if _is_thin(x, weight, g):
        _scatter(x, weight, bias, rows, columns, pixels)
    else:
        _correlate(x, [rows], [columns], [[_matrix(weight, g.groups)]], bias, [[pixels]])
    return y


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``x = Cᵀ y``: the phases of ``x``, each a convolution of ``y`` with its share of the flipped kernel."""
    kernel = flip_kernel(weight, g.groups)
    x = empty_result(y, weight, kernel.shape[0], *size)
    rows, columns = phases(0, kernel.shape[2], size[0], g), phases(1, kernel.shape[3], size[1], g)
    pixels = _pixels(x)
    for row in rows:
        for column in columns:
            if not (row.taps and column.taps):  # a phase that no tap reaches
                target = pixels[:, row.start :: g.stride[0], column.start :: g.stride[1]]
                target.zero_() if bias is None else target.copy_(bias.expand_as(target))
    rows, columns = [row for row in rows if row.taps], [column for column in columns if column.taps]
    matrices = [[_matrix(kernel[:, :, row.taps][..., column.taps], g.groups) for column in columns] for row in rows]
    targets = [[pixels[:, r.start :: g.stride[0], c.start :: g.stride[1]] for c in columns] for r in rows]
    _correlate(y, [phase_window(r) for r in rows], [phase_window(c) for c in columns], matrices, bias, targets)
    return x


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry) -> Tensor:
    """``w = P(x)ᵀ y``, summed over blocks (in float32 where the numbers have half that width)."""
    out, c = y.shape[1], x.shape[1] // g.groups
    if g.groups == 1 and g.stride == (1, 1) and out < c:
        # Tap u of x at p + u·d - padding is, seen from x, tap k-1-u of y at i + (k-1-u)·d - (d·(k-1) - padding).
        padding = tuple(g.dilation[axis] * (kernel[axis] - 1) - g.padding[axis] for axis in (0, 1))
        turned = weight_gradient(y, x, kernel, g._replace(padding=(padding[0], padding[1])))
        return turned.transpose(0, 1).flip(2, 3).contiguous()
    rows, columns = convolution_window(0, kernel[0], y.shape[2], g), convolution_window(1, kernel[1], y.shape[3], g)
    computed = _computed_type(x)
    total_type = torch.float32 if x.dtype in _HALF else x.dtype
    total = torch.zeros(g.groups, out // g.groups, kernel[0] * kernel[1] * c, dtype=total_type, device=x.device)
    pixels = _pixels(y)
    alone = g.groups == 1 and computed == total_type
    if alone and _is_pointwise(rows, x.shape[2]) and _is_pointwise(columns, x.shape[3]):
        seen, ahead = _as_matrix(_pixels(x)), _as_matrix(pixels)
        if seen is not None and ahead is not None:
            return (ahead.t() @ seen).view(out, c, 1, 1)
    merged = _is_merged(columns, c, computed)
    room = _Room()
    for images, padded, origin, outputs in _blocks(x, [rows], [columns], merged):
        part = rows.part(outputs)
        patches = _Patches(room, padded, origin, [part], columns, g.groups, merged)
        ordered = pixels[images, outputs].transpose(0, 1).to(computed)
        factor = ordered.reshape(-1, g.groups, out // g.groups).permute(1, 2, 0)
        for number, matrix in enumerate(patches.seen(part)):
            share = total[:, :, number * matrix.shape[2] : (number + 1) * matrix.shape[2]]
            if computed != total_type:
                share += torch.bmm(factor, matrix)
            elif g.groups == 1:
                share[0].addmm_(factor[0], matrix[0])
            else:
                share.baddbmm_(factor, matrix)
    return total.view(out, *kernel, c).permute(0, 3, 1, 2).to(x.dtype).contiguous()


def _pixels(image: Tensor) -> Tensor:
    """`[N, C, H, W] -> [N, H, W, C]`, the same memory."""
    return image.permute(0, 2, 3, 1)


def _matrix(weight: Tensor, groups: int) -> Tensor:
    """The kernel as matrices: `[C_out, C_in/groups, k_h, k_w] -> [groups, k_h·k_w·C_in/groups, C_out/groups]`."""
    out, c, kernel_h, kernel_w = weight.shape
    matrix = weight.reshape(groups, out // groups, c, kernel_h, kernel_w).permute(0, 3, 4, 2, 1)
    return matrix.reshape(groups, kernel_h * kernel_w * c, out // groups)


def _computed_type(x: Tensor) -> torch.dtype:
    """The type of the products: float32 for 16-bit numbers that a CPU has no units for."""
    if x.dtype not in _HALF or x.device.type != "cpu":
        return x.dtype
    return x.dtype if x.dtype == torch.bfloat16 and has_fast_bf16(x.device) else torch.float32


def _is_merged(columns: Window, channels: int, computed: torch.dtype) -> bool:
    """Whether all taps of the kernel make one product: rows of taps would be too short, or their sums rounded."""
    return columns.taps * channels < _SHORTEST_PRODUCT or computed.itemsize < 4


# ----------------------------------------------------------------------------------------------------------------------
# Blocks


def _blocks(
    x: Tensor, rows: Sequence[Window], columns: Sequence[Window], merged: bool
) -> Iterator[tuple[slice, Tensor, Pair, slice]]:
    """Which images, their pixels with zeros around them, where pixel (0, 0) lies, and which rows of the output.

    The pixels are `[n, H + …, W + …, C]`, in the type to compute with, and are overwritten by the next block's. The
    rows are all, but for an image that is a block by itself.
    """
    batch, c, height, width = x.shape
    computed = _computed_type(x)
    size = max(row.size for row in rows)
    tallest = max(row.taps for row in rows) * size if merged else max(_height(rows) * _lanes(rows), 1)
    numbers = max(1, tallest * max(column.size * column.taps for column in columns) * c)
    count = _at_a_time(batch, numbers, x.device, computed)
    strip = size if count > 1 else _at_a_time(size, max(1, numbers // max(1, size)), x.device, computed)
    top, bottom = _reach(rows, height, spare=_lanes(rows) - 1)
    left, right = _reach(columns, width)
    pixels = _pixels(x)
    in_place = (top, bottom, left, right) == (0, 0, 0, 0) and pixels.is_contiguous() and x.dtype == computed
    padded_size = count, top + height + bottom, left + width + right, c
    buffer = None if in_place else x.new_zeros(padded_size, dtype=computed)
    for images in _slices(batch, count):
        block = pixels[images]
        if buffer is not None:
            padded = buffer[: images.stop - images.start]
            padded[:, top : top + height, left : left + width] = block
            block = padded
        for outputs in _slices(size, strip):
            yield images, block, (top, left), outputs


def _reach(windows: Sequence[Window], size: int, spare: int = 0) -> Pair:
    """How far the windows of one axis reach before and behind an image of ``size`` pixels, and ``spare`` pixels on."""
    before = [-window.first for window in windows]
    behind = [window.last + spare - (size - 1) for window in windows]
    return max([0, *before]), max([0, *behind])


def _lanes(rows: Sequence[Window]) -> int:
    """Into how many lanes the rows of an image fall: row ``i·stride + l`` is in lane ``l``; the highest one in use."""
    first, stride = min(row.first for row in rows), rows[0].stride
    return 1 + max((row.first - first + u * row.step) % stride for row in rows for u in range(row.taps))


def _height(rows: Sequence[Window]) -> int:
    """Rows of each lane."""
    reach = max(row.last for row in rows) - min(row.first for row in rows)
    return reach // rows[0].stride + 1


def _at_a_time(count: int, numbers: int, device: torch.device, dtype: torch.dtype) -> int:
    """How many of ``count`` things, each with so many numbers in its patches, make one block.

    All of them while torch.compile or torch.export trace: a loop over a batch of unknown size has no graph.
    """
    if torch.compiler.is_compiling():
        return count
    limit = _BLOCK_BYTES_CPU if device.type == "cpu" else _BLOCK_BYTES_GPU
    return max(1, min(count, limit // max(1, numbers * dtype.itemsize)))


def _slices(count: int, step: int) -> list[slice]:
    """``count`` things, ``step`` at a time."""
    if step >= count:
        return [slice(0, count)]
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


# ----------------------------------------------------------------------------------------------------------------------
# Patches


class _Room:
    """Memory that one block leaves to the next: fresh memory costs more than the copy that is written to it."""

    def __init__(self) -> None:
        self._numbers = torch.empty(0)

    def empty(self, like: Tensor, *shape: int) -> Tensor:
        """Uninitialised numbers of that shape, in the type of ``like``; they are valid until the next call."""
        if torch.compiler.is_compiling():
            return like.new_empty(shape)
        count = math.prod(shape)
        if self._numbers.numel() < count or self._numbers.dtype != like.dtype:
            self._numbers = like.new_empty(count)
        return self._numbers[:count].view(shape)

    def copy_of(self, tensor: Tensor) -> Tensor:
        """The tensor, contiguous: itself where it is already."""
        return tensor if tensor.is_contiguous() else self.empty(tensor, *tensor.shape).copy_(tensor)


class _Patches:
    """The taps that some columns of the kernel see side by side, for a block of images.

    The matrix is `[lanes, groups, height, n, width, taps·C/groups]`. Row ``i`` of lane ``l`` is what one row of the
    kernel's taps sees of the images' row ``first + i·stride + l``, so what each row of taps sees are neighbouring rows
    of one lane. ``merged``, there is one lane, its rows are the output's, and the taps are all of the kernel's.
    """

    def __init__(
        self,
        room: _Room,
        padded: Tensor,
        origin: Pair,
        rows: Sequence[Window],
        columns: Window,
        groups: int,
        merged: bool,
    ) -> None:
        self.first, self.merged = min(row.first for row in rows), merged
        n, _, _, c = padded.shape
        image, line, pixel, _ = padded.stride()
        stride, down = rows[0].stride * line, rows[0].step * line
        lanes, height, taps = (1, rows[0].size, rows[0].taps) if merged else (_lanes(rows), _height(rows), 1)
        seen = padded[:, origin[0] + self.first :, origin[1] + columns.first :].as_strided(
            (lanes, groups, height, n, columns.size, taps, columns.taps, c // groups),
            (line, c // groups, stride, image, columns.stride * pixel, down, columns.step * pixel, 1),
        )
        self.matrix = room.copy_of(seen).view(lanes, groups, height, n, columns.size, -1)

    def seen(self, row: Window) -> list[Tensor]:
        """What each row of taps sees, `[groups, size·n·width, taps·C/groups]`; one matrix where they are merged."""
        if self.merged:
            return [self.matrix[0].flatten(1, 3)]
        found = []
        for u in range(row.taps):
            start, lane = divmod(row.first - self.first + u * row.step, row.stride)
            found.append(self.matrix[lane, :, start : start + row.size].flatten(1, 3))
        return found


def _met(first: int, stride: int, count: int, size: int) -> tuple[slice, slice]:
    """Of positions ``first + i·stride``, ``i < count``, those from 0 to ``size - 1``: as ``i``, and as such."""
    start = min(count, max(0, -(first // stride)))
    stop = max(start, min(count, (size - 1 - first) // stride + 1))
    if stop == start:
        return slice(0, 0), slice(0, 0)
    return slice(start, stop), slice(first + start * stride, first + (stop - 1) * stride + 1, stride)


# ----------------------------------------------------------------------------------------------------------------------
# Products


def _correlate(
    x: Tensor,
    rows: Sequence[Window],
    columns: Sequence[Window],
    matrices: Sequence[Sequence[Tensor]],
    bias: Tensor | None,
    targets: Sequence[Sequence[Tensor]],
) -> None:
    """Patches times kernel, for each pair of windows: written to ``targets[row][column]``, `[N, rows, columns, C]`."""
    if not rows or not columns:
        return
    groups, computed = matrices[0][0].shape[0], _computed_type(x)
    channels = x.shape[1] // groups
    if groups == len(rows) == len(columns) == 1 and computed == x.dtype:
        ahead, behind = _as_matrix(_pixels(x)), _as_matrix(targets[0][0])
        pointwise = _is_pointwise(rows[0], x.shape[2]) and _is_pointwise(columns[0], x.shape[3])
        if pointwise and ahead is not None and behind is not None and not torch.compiler.is_compiling():
            _product(ahead, matrices[0][0][0], bias, behind)
            return
    merged = any(_is_merged(column, channels, computed) for column in columns)
    factors = [[matrix.to(computed) for matrix in line] for line in matrices]
    added = None if bias is None else bias.to(computed)
    room, products = _Room(), _Room()
    for images, padded, origin, outputs in _blocks(x, rows, columns, merged):
        parts = [row.part(outputs) for row in rows]
        seen = [part for part in parts if part.size]
        for c, column in enumerate(columns):
            shared = None if merged else _Patches(room, padded, origin, seen, column, groups, merged)
            for r, part in enumerate(parts):
                if part.size == 0:
                    continue
                patches = shared or _Patches(room, padded, origin, [part], column, groups, merged)
                target = targets[r][c][images, outputs.start : outputs.start + part.size]
                _multiply(products, patches.seen(part), factors[r][c], added, target)


def _multiply(products: _Room, seen: Sequence[Tensor], matrix: Tensor, bias: Tensor | None, target: Tensor) -> None:
    """The sum over rows of taps of patches times matrix, plus bias, written to ``target``, `[n, rows, columns, C_out]`.

    Straight to its place where that is one image whose pixels lie together.
    """
    n, height, width, out = target.shape
    factors = matrix.unflatten(1, (len(seen), -1)).unbind(1) if len(seen) > 1 else (matrix,)
    if matrix.shape[0] > 1:
        product = torch.bmm(seen[0], factors[0])
        for patches, factor in zip(seen[1:], factors[1:], strict=True):
            product.baddbmm_(patches, factor)
        product = product.transpose(0, 1).reshape(height * n * width, out)
        product = product if bias is None else product + bias
    else:
        # torch.export differentiates the operators that it records, which those with `out=` do not allow.
        traced = torch.compiler.is_compiling()
        in_place = not traced and n == 1 and target.dtype == matrix.dtype and target[0].is_contiguous()
        destination = target[0].view(-1, out) if in_place else products.empty(matrix, height * n * width, out)
        product = _product(seen[0][0], factors[0][0], bias, None if traced else destination)
        for patches, factor in zip(seen[1:], factors[1:], strict=True):
            product.addmm_(patches[0], factor[0])
        if in_place:
            return
    target.copy_(product.view(height, n, width, out).transpose(0, 1))


def _product(patches: Tensor, matrix: Tensor, bias: Tensor | None, destination: Tensor | None) -> Tensor:
    if bias is None:
        return torch.mm(patches, matrix, out=destination)
    return torch.addmm(bias, patches, matrix, out=destination)


def _is_thin(x: Tensor, weight: Tensor, g: Geometry) -> bool:
    """Whether a convolution has fewer products a pixel than inputs; 16-bit products would be rounded before the sum."""
    plain = g.groups == 1 and g.stride == (1, 1) and _computed_type(x).itemsize >= 4
    out, c, kernel_h, kernel_w = weight.shape
    return plain and kernel_h * kernel_w > 1 and out * kernel_h * kernel_w <= c


def _is_pointwise(window: Window, size: int) -> bool:
    """Whether output ``q`` meets input pixel ``q`` and no other."""
    return (window.first, window.stride, window.taps, window.size) == (0, 1, 1, size)


def _as_matrix(pixels: Tensor) -> Tensor | None:
    """`[N, H, W, C] -> [N·H·W, C]`, the same memory; None where it does not lie like that."""
    return pixels.view(-1, pixels.shape[3]) if pixels.numel() > 0 and pixels.is_contiguous() else None


def _scatter(x: Tensor, weight: Tensor, bias: Tensor | None, rows: Window, columns: Window, target: Tensor) -> None:
    """A convolution of stride 1 with few outputs: every pixel times every tap, then the taps' images shifted and added.

    As in `im2col.scatter_patches`, the additions of the transposed convolution, only that they read the other way.
    """
    batch, _, height, width = x.shape
    out, c, kernel_h, kernel_w = weight.shape
    computed = _computed_type(x)
    factor = weight.permute(2, 3, 0, 1).reshape(kernel_h * kernel_w * out, c).to(computed)
    count = _at_a_time(batch, kernel_h * kernel_w * out * height * width, x.device, computed)
    for images in _slices(batch, count):
        block = _pixels(x)[images].to(computed).reshape(-1, c)
        n = images.stop - images.start
        products = (factor @ block.t()).view(kernel_h, kernel_w, out, n, height, width)
        total = products.new_zeros(out, n, rows.size, columns.size)
        if bias is not None:
            total += bias.to(computed).view(-1, 1, 1, 1)
        for u in range(kernel_h):
            down, rows_seen = _met(rows.first + u * rows.step, 1, rows.size, height)
            for v in range(kernel_w):
                right, seen = _met(columns.first + v * columns.step, 1, columns.size, width)
                total[:, :, down, right] += products[u, v][:, :, rows_seen, seen]
        target[images].copy_(total.permute(1, 2, 3, 0))
