"""The transposed convolution as an upsampler."""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.conv import ConvTranspose2d
from upsample_lab.upsamplers._channels import matching_channels
from upsample_lab.upsamplers.base import Algorithms, Upsampler


class Deconv(Upsampler):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: each input pixel writes its value times a k x k kernel.

    `y[s·i - p + t] += x[i] · w[t]`, `0 <= t < k`, along each axis, with the padding p and output padding q that give
    exactly s times the size: `2p - q = k - s`.

    init="random" is torch's default. init="bilinear" starts as an interpolation (`bilinear_kernel`).

    Source: M. Zeiler et al., "Deconvolutional networks", CVPR 2010; V. Dumoulin and F. Visin, "A guide to convolution
    arithmetic for deep learning", arXiv:1603.07285, chapter 4. Its checkerboard: A. Odena et al., Distill 2016.
    """

    equation = "y[s·i − p + t] += x[i]·w[t],  0 ≤ t < k,  2p − q = k − s"
    source = "Zeiler et al., Deconvolutional networks, CVPR 2010; Dumoulin and Visin, arXiv:1603.07285, ch. 4"
    linear = True
    shift_equivariant = "by whole input pixels"
    failure_modes = (
        "checkerboard: each of the s² phases has weights of its own, so random kernels gain unequally "
        "(DC-phase variation √(1 − 1/s²)) whether or not s divides k; empty pixels when k < s"
    )
    parameter_count_formula = "C_in·C_out·k² + C_out"
    macs_per_pixel_formula = "C_in·C_out·k²/s²"

    def __init__(
        self, in_channels: int, out_channels: int, scale: int, *, algorithms: Algorithms, kernel_size: int, init: str
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        padding, output_padding = exact_padding(kernel_size, scale)
        self.conv = ConvTranspose2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=scale,
            padding=padding,
            output_padding=output_padding,
            algorithm=algorithms.conv_transpose2d,
        )
        if init == "bilinear":
            kernel = bilinear_kernel(kernel_size, scale)
            with torch.no_grad():
                self.conv.weight.copy_(matching_channels(in_channels, out_channels)[..., None, None] * kernel)
                self.conv.bias.zero_()  # type: ignore[union-attr]  # it has one

    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        output: Tensor = self.conv(input)
        return output

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "k": self.kernel_size}


def exact_padding(kernel_size: int, scale: int) -> tuple[int, int]:
    """Padding p and output padding q of the transposed convolution whose output is exactly s times its input.

    Of the solutions of `2p - q = k - s` the one with the smallest q, so that nothing is cut off at the right only to
    be added again.
    """
    padding = max(0, -(-(kernel_size - scale) // 2))
    return padding, 2 * padding - (kernel_size - scale)


def bilinear_kernel(kernel_size: int, scale: int) -> Tensor:
    """The k x k tent, centred on half-pixel centres, with the taps of each phase divided by their sum.

    With `k >= 2s` the layer interpolates bilinearly away from borders. A shorter kernel cuts the tent off; dividing by
    the sums keeps all gains at 1, so it starts without a checkerboard all the same (with `k = s` it is the nearest
    neighbour). Only `k < s` leaves phases empty.
    """
    padding, _ = exact_padding(kernel_size, scale)
    taps = torch.arange(kernel_size)
    centre = padding + (scale - 1) / 2  # where the middle of an input pixel lies among its taps
    tent = (1 - (taps - centre).abs() / scale).clamp(min=0)
    gains = torch.zeros(scale).index_add(0, taps % scale, tent)[taps % scale]
    tent = tent / gains
    return tent[:, None] * tent
