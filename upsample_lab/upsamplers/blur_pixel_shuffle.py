"""A sub-pixel convolution, smoothed so that no checkerboard is left."""

from __future__ import annotations

from torch import Tensor

from upsample_lab.upsamplers._blur import blur, blur_taps
from upsample_lab.upsamplers._tools import of_batches
from upsample_lab.upsamplers.pixel_shuffle import PixelShuffle


class BlurPixelShuffle(PixelShuffle):
    """`y = Box_s(PixelShuffle_s(x))`: each output is the mean of one pixel of every phase, so all phases gain equally.

    The box is centred and repeats the border: no half-pixel shift, no darkened border, unlike the widespread padding at
    the top and left followed by average pooling.

    Source: Y. Sugawara, S. Shiota, H. Kiya, "Super-resolution using convolutional neural networks without any
    checkerboard artifacts", arXiv:1806.02658 (a zero-order hold after the layer), centred here.
    """

    equation = "y = Box_s(PixelShuffle_s(Conv_k(x))),  Box_s = [½, 1, …, 1, ½]/s for even s, borders repeated"
    source = "Sugawara, Shiota and Kiya, arXiv:1806.02658 (their zero-order hold, centred)"
    failure_modes = "blur: details of period s, wanted ones too, are removed; the outermost pixels still checker"
    macs_per_pixel_formula = "C_in·C_out·k² + 2·C_out·t"

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        return blur(super().forward(input), self.scale)

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "t": blur_taps(self.scale)}
