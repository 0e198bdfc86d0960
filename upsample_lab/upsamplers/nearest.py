"""Nearest-neighbour resize, then a convolution."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor

from upsample_lab.resize import nearest_matrix, resize
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution


class Nearest(ResizeConvolution):
    """Each pixel becomes a block of s x s equal pixels: `y[s·i + r] = x[i]` along each axis."""

    equation = "y = Conv_k(u),  u[s·i + r] = x[i],  0 ≤ r < s"
    source = "Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, Distill 2016"
    shift_equivariant = "by whole input pixels"
    failure_modes = (
        "blocks: a box kernel lets the images of the spectrum through (only 13 dB down at their first side lobe), "
        "which the convolution has to remove; no checkerboard in flat areas"
    )
    resize_macs_formula = "0"

    def axis(self) -> tuple[Callable[..., Tensor], tuple[Hashable, ...]]:
        return nearest_matrix, (self.scale,)

    def resize(self, image: Tensor) -> Tensor:
        return resize(image, self.scale, mode="nearest")
