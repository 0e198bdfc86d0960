"""Bilinear resize of sums of neighbouring channels, then a convolution."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from upsample_lab.conv import Conv2d
from upsample_lab.resize import KERNELS, interpolation_matrix, resize
from upsample_lab.upsamplers._fold import Foldable, Resize, resize_then_convolve
from upsample_lab.upsamplers._tools import of_batches
from upsample_lab.upsamplers.base import Algorithms


class BilinearAdditive(Foldable):
    """`[N, g·C_out, H, W] -> [N, C_out, s·H, s·W]`: `y = Conv_k(u)`, `u[c] = Σ_{j<g} Bilinear_s(x[g·c + j])`.

    The sums make fewer channels without a weight, so the convolution costs 1/g of the one after a plain resize.
    `C_out` has to divide `C_in`.

    Source: Z. Wojna et al., "The devil is in the decoder: classification, regression and GANs", arXiv:1707.05847
    (there g = 4; the convolution is what follows in a decoder).
    """

    equation = "y = Conv_k(u),  u[c] = Σ_{j<g} Bilinear_s(x[g·c + j]),  g = C_in/C_out"
    source = "Wojna et al., The devil is in the decoder, arXiv:1707.05847"
    linear = True
    shift_equivariant = "by whole input pixels"
    failure_modes = "blur as bilinear; the groups are fixed, so the layer before has to arrange its channels by them"
    parameter_count_formula = "C_out·C_out·k² + C_out"
    macs_per_pixel_formula = "C_out·C_out·k² + C_out·(2 + 2/s)"

    def __init__(
        self, in_channels: int, out_channels: int, scale: int, *, algorithms: Algorithms, kernel_size: int
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        self.conv = Conv2d(
            out_channels, out_channels, kernel_size, padding=kernel_size // 2, algorithm=algorithms.conv2d
        )

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        resize_image = partial(resize, scale=self.scale, mode="bilinear")
        bilinear = Resize(self.scale, resize_image, interpolation_matrix, (self.scale, KERNELS["bilinear"]))
        return resize_then_convolve(sums_of_groups(input, self.out_channels), bilinear, self.conv, self.fold)

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "k": self.kernel_size}


def sums_of_groups(image: Tensor, channels: int) -> Tensor:
    """Sums of groups of neighbouring channels: `[N, g·C, H, W] -> [N, C, H, W]`.

    The paper resizes and then sums. Both are linear and act on different axes, so here the sums come first, at
    1/(g·s²) of the work.
    """
    group = int(image.shape[1]) // channels
    sums = image[:, ::group]
    for member in range(1, group):  # and not .sum(), which would leave channels-last memory
        sums = sums + image[:, member::group]
    return sums
