"""The sub-pixel convolution: s² channels for each output channel, moved into s x s blocks of pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upsample_lab.conv import Conv2d, conv2d, followed_by_a_tool, is_channels_last, is_ordinary, keeps_size
from upsample_lab.upsamplers._tools import of_batches
from upsample_lab.upsamplers.base import Algorithms, Upsampler


class PixelShuffle(Upsampler):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: `y[c, s·i + a, s·j + b] = Conv_k(x)[s²·c + s·a + b, i, j]`.

    init="random"   torch's default for the convolution
    init="icnr"     the s² kernels of each output channel start equal, so it starts as a nearest-neighbour resize after
                    a convolution (ICNR, "initialised to convolution nearest-neighbour resize")
    tie_bias=true   one bias for each output channel. With s² of them, random at the start, ICNR still checkers.

    Weights are laid out as in torch: channel `s²·c + s·a + b` of `conv.weight` belongs to phase (a, b).

    Source: W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network", CVPR 2016, equation 4; A. Aitken et al., "Checkerboard artifact free sub-pixel convolution",
    arXiv:1707.02937 for ICNR.
    """

    equation = "y[c, s·i + a, s·j + b] = Conv_k(x)[s²·c + s·a + b, i, j],  0 ≤ a, b < s"
    source = "Shi et al., CVPR 2016, eq. 4; ICNR: Aitken et al., arXiv:1707.02937"
    linear = True
    shift_equivariant = "by whole input pixels"
    failure_modes = (
        "checkerboard: each of the s² phases has a kernel of its own; ICNR starts without one, "
        "but not if the biases are random and untied, and training may bring it back"
    )
    parameter_count_formula = "C_in·C_out·s²·k² + C_out·b"
    macs_per_pixel_formula = "C_in·C_out·k²"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scale: int,
        *,
        algorithms: Algorithms,
        kernel_size: int,
        init: str,
        tie_bias: bool,
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        self.tie_bias = tie_bias
        self.conv = Conv2d(
            in_channels,
            out_channels * scale**2,
            kernel_size,
            padding=kernel_size // 2,
            bias=not tie_bias,
            algorithm=algorithms.conv2d,
        )
        if tie_bias:
            bound = 1 / math.sqrt(in_channels * kernel_size**2)  # torch's default for a bias
            self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))
        if init == "icnr":
            with torch.no_grad():
                first_of_each = self.conv.weight[:: scale**2]
                self.conv.weight.copy_(first_of_each.repeat_interleave(scale**2, 0))

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        conv, phases = self.conv, self.scale**2
        if followed_by_a_tool(input) or not is_ordinary(conv, Conv2d) or not keeps_size(conv, conv.weight):
            return self._by_definition(input)
        if conv.bias is not None and not self.tie_bias:
            bias = _phase_major(conv.bias, phases)
        elif conv.bias is None and self.tie_bias:
            bias = self.bias.repeat(phases)
        else:  # given or deprived of one since
            return self._by_definition(input)
        weight = _phase_major(conv.weight, phases)
        planes = conv2d(input, weight, bias, padding=conv.padding, algorithm=conv.algorithm)
        return shuffle_phases(planes, self.scale)

    def _by_definition(self, input: Tensor) -> Tensor:
        """The convolution called as a module, whose channels are in torch's order, and torch's shuffle."""
        output = F.pixel_shuffle(self.conv(input), self.scale)
        return output + self.bias.to(output.dtype)[:, None, None] if self.tie_bias else output

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "k": self.kernel_size, "b": 1 if self.tie_bias else self.scale**2}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, tie_bias={self.tie_bias}"


def _phase_major(channels: Tensor, phases: int) -> Tensor:
    """Channel `phases·c + p` moved to `C_out·p + c`, so that the shuffle moves whole pixels in channels-last memory."""
    return channels.unflatten(0, (-1, phases)).transpose(0, 1).flatten(0, 1)


def shuffle_phases(planes: Tensor, scale: int) -> Tensor:
    """`[N, s²·C, H, W] -> [N, C, s·H, s·W]`: channel `C·(s·a + b) + c` becomes phase (a, b) of channel c."""
    batch, channels, height, width = planes.shape
    size, each = (scale * height, scale * width), channels // scale**2
    if not followed_by_a_tool(planes) and is_channels_last(planes):
        pixels = planes.permute(0, 2, 3, 1).reshape(batch, height, width, scale, scale, each)
        return pixels.permute(0, 1, 3, 2, 4, 5).reshape(batch, *size, each).permute(0, 3, 1, 2)
    pixels = planes.reshape(batch, scale, scale, each, height, width)
    return pixels.permute(0, 3, 4, 1, 5, 2).reshape(batch, each, *size)
