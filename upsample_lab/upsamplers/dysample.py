"""Learned point sampling: every output pixel looks up the input where a predicted offset points to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upsample_lab.conv import Conv2d
from upsample_lab.resize import is_channels_last
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
    groups = offsets.shape[1] // 2
    precise = torch.promote_types(values.dtype, torch.float32)  # coordinates need more than the 8 bits of bfloat16
    centres = [
        (torch.arange(scale * n, dtype=precise, device=values.device) + 0.5) / scale - 0.5 for n in (width, height)
    ]
    grid = torch.stack(torch.meshgrid(*centres, indexing="xy"), -1)
    moved = offsets.to(precise).reshape(batch * groups, 2, *offsets.shape[2:]).permute(0, 2, 3, 1) + grid
    size = torch.tensor([width, height], dtype=precise, device=values.device)
    with torch.autocast(values.device.type, enabled=False):
        output = F.grid_sample(
            values.to(precise).reshape(batch * groups, channels // groups, height, width),
            (2 * moved + 1) / size - 1,  # -1 and 1 are the outer edges of the outermost pixels
            padding_mode="border",
            align_corners=False,
        )
    memory_format = torch.channels_last if is_channels_last(values) else torch.contiguous_format
    return output.reshape(batch, channels, *offsets.shape[2:]).to(values.dtype).contiguous(memory_format=memory_format)
