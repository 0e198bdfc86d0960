"""Bicubic resize with half-pixel centres, then a convolution."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor

from upsample_lab.resize import KERNELS, interpolation_matrix, resize
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution


class Bicubic(ResizeConvolution):
    """Four taps an axis: `u[o] = Σ_k w(x - k) u[k]` at `x = (o + ½)/s - ½`, w Keys' kernel with a = -¾."""

    equation = "y = Conv_k(u),  u[o] = Σ_j w(x_o − j) x[j],  x_o = (o + ½)/s − ½,  w cubic with a = −¾"
    source = "Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29(6), 1981, eq. 4"
    shift_equivariant = "by whole input pixels"
    failure_modes = "overshoot beside edges: the kernel has negative lobes; no checkerboard in flat areas"
    resize_macs_formula = "4 + 4/s"

    def axis(self) -> tuple[Callable[..., Tensor], tuple[Hashable, ...]]:
        return interpolation_matrix, (self.scale, KERNELS["bicubic"])

    def resize(self, image: Tensor) -> Tensor:
        return resize(image, self.scale, mode="bicubic")
