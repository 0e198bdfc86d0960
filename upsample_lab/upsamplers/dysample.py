"""Learned point sampling: every output pixel looks up the input where a predicted offset points to."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function, forward_ad

from upsample_lab.conv import Conv2d, followed_by_a_tool, without_autocast
from upsample_lab.upsamplers._tools import memory_format_of, of_batches
from upsample_lab.upsamplers.base import Algorithms, Upsampler
from upsample_lab.upsamplers.pixel_shuffle import shuffle_phases

STATIC_SCOPE = 0.25  # the paper's: offsets below 1 do not make neighbours change places at s = 2
OFFSET_STD = 0.001  # of the initial weights: starts as bilinear, but for a trace


class DySample(Upsampler):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: `y[o] = v(x_o + Δ_o)`, v bilinear between values, borders repeated.

    1. Values `v = Conv_1(x)` of C_out channels. (The paper has as many channels in as out.)
    2. Positions `x_o = (o + ½)/s - ½`, those of bilinear resizing, and an offset in input pixels for each output pixel
       and each of g groups of channels: `Δ = ¼·Conv_1(x)`, or with scope="dynamic" `Δ = ½·σ(Conv_1′(x))·Conv_1(x)`;
       the s² phases of an offset are channels of the 1x1 convolution ("linear + pixel shuffle").
    3. The values at these points.

    With zero offsets it is bilinear. The groups have to divide `C_out`.

    Source: W. Liu et al., "Learning to upsample by learning to sample", arXiv:2308.15085, section 3.
    """

    equation = "y[o] = v(x_o + Δ_o),  x_o = (o + ½)/s − ½,  v = Conv_1(x),  Δ = ¼·Conv_1(x)"
    source = "Liu et al., Learning to upsample by learning to sample, arXiv:2308.15085, sec. 3"
    linear = False
    shift_equivariant = "by whole input pixels"
    failure_modes = (
        "the offsets of the s² phases are separate channels, so edges can become jagged; never checkers in flat areas; "
        "gradients of the offsets jump where a point crosses a pixel's centre"
    )
    parameter_count_formula = "C_in·C_out + C_out + 2·g·s²·(C_in + 1) + 2·g·s²·C_in·d"
    macs_per_pixel_formula = "C_in·C_out/s² + 2·g·C_in·(1 + d) + 4·C_out"

    def __init__(
        self, in_channels: int, out_channels: int, scale: int, *, algorithms: Algorithms, groups: int, scope: str
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.groups = groups
        self.scope = scope
        self.values = Conv2d(in_channels, out_channels, 1, algorithm=algorithms.conv2d)
        self.offset = Conv2d(in_channels, 2 * groups * scale**2, 1, algorithm=algorithms.conv2d)
        nn.init.normal_(self.offset.weight, std=OFFSET_STD)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]  # it has one
        if scope == "dynamic":
            self.range = Conv2d(in_channels, 2 * groups * scale**2, 1, bias=False, algorithm=algorithms.conv2d)
            nn.init.zeros_(self.range.weight)  # σ(0)/2 is the static scope

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        scope = 0.5 * self.range(input).sigmoid() if self.scope == "dynamic" else STATIC_SCOPE
        offsets = shuffle_phases(self.offset(input) * scope, self.scale)
        return sample(self.values(input), offsets, self.scale)

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "g": self.groups, "d": int(self.scope == "dynamic")}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, groups={self.groups}, scope={self.scope}"


def sample(values: Tensor, offsets: Tensor, scale: int) -> Tensor:
    """Bilinear values at offset points, borders repeated.

    values   `[N, C, H, W]`
    offsets  `[N, 2·g, s·H, s·W]` in input pixels, to the right and then down, for each of g groups of channels
    returns  `[N, C, s·H, s·W]`, dtype and memory format of the values
    """
    batch, channels, height, width = values.shape
    groups, tall, wide = offsets.shape[1] // 2, scale * height, scale * width
    precise = torch.promote_types(values.dtype, torch.float32)  # coordinates need more than the 8 bits of bfloat16
    centres = [
        (torch.arange(scale * n, dtype=precise, device=values.device) + 0.5) / scale - 0.5 for n in (width, height)
    ]
    grid = torch.stack(torch.meshgrid(*centres, indexing="xy"), -1)
    moved = offsets.to(precise).reshape(batch * groups, 2, tall, wide).permute(0, 2, 3, 1) + grid
    images = values.to(precise).reshape(batch * groups, channels // groups, height, width)
    with without_autocast(values.device):
        if followed_by_a_tool(values) or _has_tangent(images) or _has_tangent(moved):
            output = bilinear_at(images, moved)
        else:
            size = torch.tensor([width, height], dtype=precise, device=values.device)
            at = (2 * moved + 1) / size - 1
            output = _grid_sample(images, at) if torch.compiler.is_compiling() else _BilinearAt.apply(images, at)
    output = output.reshape(batch, channels, tall, wide).to(values.dtype)
    return output.contiguous(memory_format=memory_format_of(values))


def bilinear_at(images: Tensor, points: Tensor) -> Tensor:
    """Bilinear values `[N, C, P, Q]` of `[N, C, H, W]` at points `[N, P, Q, 2]` (to the right, down; in pixels).

    Borders are repeated, also for the gradient of the points: it is 0 beyond them.
    """
    batch, channels, height, width = images.shape
    tall, wide = points.shape[1:3]
    x, y = points[..., 0].clamp(0, width - 1), points[..., 1].clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    columns, rows = left.long(), top.long()
    pixels = images.reshape(batch, channels, height * width)
    output = torch.zeros_like(x).unsqueeze(1)
    for row, down in ((rows, 1 - (y - top)), ((rows + 1).clamp(max=height - 1), y - top)):
        for column, across in ((columns, 1 - (x - left)), ((columns + 1).clamp(max=width - 1), x - left)):
            places = (row * width + column).reshape(batch, 1, tall * wide).expand(batch, channels, tall * wide)
            corner = pixels.gather(2, places).reshape(batch, channels, tall, wide)
            output = output + corner * (down * across).unsqueeze(1)
    return output


class _BilinearAt(Function):
    """`torch.nn.functional.grid_sample` of images at a grid (-1 and 1 are the outer edges of the outermost pixels).

    PyTorch's has no derivative of its derivative: that is `bilinear_at`'s, as forward derivatives are. And it reads
    beyond its memory where a coordinate is no number: that is an output that is no number here.
    """

    @staticmethod
    def forward(images: Tensor, grid: Tensor) -> Tensor:
        known, lost = _numbers(grid)
        output = _grid_sample(images, known)
        return output if lost is None else output.masked_fill(lost.unsqueeze(1), torch.nan)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, grid = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # a derivative of this one may be asked for
            inputs = [tensor for tensor, want in zip((images, grid), wanted, strict=True) if want]
            output = bilinear_at(images, _in_pixels(images, grid))
            found = iter(torch.autograd.grad(output, inputs, gradient, create_graph=True))
            for_images, for_grid = (next(found) if want else None for want in wanted)
            return for_images, for_grid
        known, lost = _numbers(grid)
        for_images, for_grid = torch.ops.aten.grid_sampler_2d_backward(gradient, images, known, 0, 1, False, wanted)
        if lost is not None:
            for_grid = for_grid.masked_fill(lost.unsqueeze(3), torch.nan)
        return for_images if wanted[0] else None, for_grid if wanted[1] else None


def _grid_sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _has_tangent(tensor: Tensor) -> bool:
    """Whether forward derivatives are asked for."""
    return not torch.compiler.is_compiling() and forward_ad.unpack_dual(tensor).tangent is not None


def _in_pixels(images: Tensor, grid: Tensor) -> Tensor:
    return ((grid + 1) * grid.new_tensor([images.shape[3], images.shape[2]]) - 1) / 2


def _numbers(grid: Tensor) -> tuple[Tensor, Tensor | None]:
    """The grid with zeros for what is no number, and where that was; None where nothing was, which is cheap to tell."""
    if grid.device.type != "cpu" or not grid.sum().isnan():
        return grid, None
    lost = grid.isnan()
    return grid.masked_fill(lost, 0), lost.any(-1)
