"""Bilinear resize of sums of neighbouring channels: no weights at all."""

from __future__ import annotations

from torch import Tensor

from upsample_lab.resize import resize
from upsample_lab.upsamplers.base import Algorithms, Upsampler


class BilinearAdditive(Upsampler):
    """`[N, g·C_out, H, W] -> [N, C_out, s·H, s·W]`: `y[c] = Σ_{j<g} Bilinear_s(x[g·c + j])`.

    The paper resizes and then sums; both are linear and act on different axes, so the sum comes first here, at
    1/(g·s²) of the work. Raises ValueError if `C_out` does not divide `C_in`.

    Source: Z. Wojna et al., "The devil is in the decoder: classification, regression and GANs", arXiv:1707.05847
    (there g = 4).
    """

    equation = "y[c] = Σ_{j<g} Bilinear_s(x[g·c + j]),  g = C_in/C_out"
    source = "Wojna et al., The devil is in the decoder, arXiv:1707.05847"
    linear = True
    shift_equivariant = "by whole input pixels"
    failure_modes = "blur as bilinear, and nothing learned: the layers around it have to do all of the work"
    parameter_count_formula = "0"
    macs_per_pixel_formula = "C_out·(2 + 2/s)"

    def __init__(self, in_channels: int, out_channels: int, scale: int, *, algorithms: Algorithms) -> None:
        super().__init__(in_channels, out_channels, scale)
        if in_channels % out_channels:
            raise ValueError(
                f"in_channels={in_channels}: must be a multiple of out_channels={out_channels} for bilinear_additive, "
                f"which sums groups of as many channels"
            )

    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        group = self.in_channels // self.out_channels
        sums = input[:, ::group]
        for member in range(1, group):  # and not .sum(), which would leave channels-last memory
            sums = sums + input[:, member::group]
        return resize(sums, self.scale, mode="bilinear")
