"""Bilinear resize with half-pixel centres, then a convolution."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor

from upsample_lab.resize import KERNELS, interpolation_matrix, resize
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution


class Bilinear(ResizeConvolution):
    """Two taps an axis: `u[o] = Σ_k (1 - |x - k|)₊ u[k]` at `x = (o + ½)/s - ½`, borders repeated."""

    equation = "y = Conv_k(u),  u[o] = Σ_j (1 − |x_o − j|)₊ x[j],  x_o = (o + ½)/s − ½"
    source = "Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, Distill 2016"
    shift_equivariant = "by whole input pixels"
    failure_modes = "blur: the tent kernel attenuates the upper half of the pass band; no checkerboard in flat areas"
    resize_macs_formula = "2 + 2/s"

    def axis(self) -> tuple[Callable[..., Tensor], tuple[Hashable, ...]]:
        return interpolation_matrix, (self.scale, KERNELS["bilinear"])

    def resize(self, image: Tensor) -> Tensor:
        return resize(image, self.scale, mode="bilinear")
