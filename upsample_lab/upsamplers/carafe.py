"""Content-aware reassembly of features: every output pixel is a weighted mean with weights of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upsample_lab.conv import Conv2d
from upsample_lab.upsamplers._tools import memory_format_of, of_batches
from upsample_lab.upsamplers.base import Algorithms, Upsampler
from upsample_lab.upsamplers.pixel_shuffle import shuffle_phases


class Carafe(Upsampler):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: `y[l'] = Σ_{n ∈ u x u} W_{l'}[n] · v[l + n]`, `l = ⌊l'/s⌋`.

    1. Values `v = Conv_1(x)` of C_out channels. (The paper has as many channels in as out; a 1x1 convolution before the
       reassembly equals one after it, as the weights sum to 1, and costs s² times less.)
    2. Kernels `W = softmax_n(Conv_e(Conv_1(x)))`: a 1x1 convolution to m channels, one of size e to the u² weights of
       each of the s² phases.
    3. Every output pixel is the weighted mean of the u x u values around the input pixel that it lies in.

    At the borders values are repeated, so that means stay means there. With equal weights: a box of u x u pixels, then
    the nearest neighbour.

    Source: J. Wang et al., "CARAFE: content-aware reassembly of features", arXiv:1905.02188, equations 1 to 4; there
    u = 5, e = u - 2, m = 64.
    """

    equation = "y[l′] = Σ_{n ∈ u×u} W_{l′}[n]·v[⌊l′/s⌋ + n],  v = Conv_1(x),  W = softmax_n Conv_e(Conv_1(x))"
    source = "Wang et al., CARAFE: content-aware reassembly of features, arXiv:1905.02188, eq. 1 to 4"
    linear = False
    shift_equivariant = "by whole input pixels"
    failure_modes = (
        "the weights of the s² phases are predicted by separate channels, and can checker in texture; never in flat "
        "areas, where any weights that sum to 1 give the same; u²·C_out numbers for each input pixel in memory"
    )
    parameter_count_formula = "C_in·C_out + C_out + C_in·m + m + (m·e² + 1)·u²·s²"
    macs_per_pixel_formula = "C_in·C_out/s² + C_in·m/s² + m·e²·u² + C_out·u²"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scale: int,
        *,
        algorithms: Algorithms,
        kernel_size: int,
        encoder_kernel_size: int,
        compressed_channels: int,
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        self.encoder_kernel_size = encoder_kernel_size
        self.compressed_channels = compressed_channels
        self.values = Conv2d(in_channels, out_channels, 1, algorithm=algorithms.conv2d)
        self.compress = Conv2d(in_channels, compressed_channels, 1, algorithm=algorithms.conv2d)
        self.encode = Conv2d(
            compressed_channels,
            scale**2 * kernel_size**2,
            encoder_kernel_size,
            padding=encoder_kernel_size // 2,
            algorithm=algorithms.conv2d,
        )

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        logits = self.encode(self.compress(input)).permute(0, 2, 3, 1)
        kernels = logits.unflatten(3, (self.scale**2, self.kernel_size**2)).softmax(4)
        return reassemble(self.values(input), kernels, self.scale)

    def symbols(self) -> dict[str, int]:
        return {
            **super().symbols(),
            "u": self.kernel_size,
            "e": self.encoder_kernel_size,
            "m": self.compressed_channels,
        }


def reassemble(values: Tensor, kernels: Tensor, scale: int) -> Tensor:
    """Weighted means of neighbourhoods: values `[N, C, H, W]`, kernels `[N, H, W, s², u²]` -> `[N, C, s·H, s·W]`."""
    patches = neighbourhoods(values.permute(0, 2, 3, 1), math.isqrt(kernels.shape[4]))
    means = kernels.to(patches.dtype).contiguous() @ patches  # [N, H, W, s², C]
    output = shuffle_phases(means.flatten(3).permute(0, 3, 1, 2), scale)
    return output.contiguous(memory_format=memory_format_of(values))


def neighbourhoods(pixels: Tensor, size: int) -> Tensor:
    """`[N, H, W, C] -> [N, H, W, u², C]`: the u x u pixels around each pixel, row by row, borders repeated."""
    height, width = pixels.shape[1:3]
    reach = torch.arange(size, device=pixels.device) - size // 2
    rows = (torch.arange(height, device=pixels.device)[:, None] + reach).clamp(0, height - 1)
    columns = (torch.arange(width, device=pixels.device)[:, None] + reach).clamp(0, width - 1)
    indices = width * rows[:, None, :, None] + columns[:, None, :]  # [H, W, u, u]
    return pixels.flatten(1, 2).index_select(1, indices.flatten()).unflatten(1, (height, width, size**2))
