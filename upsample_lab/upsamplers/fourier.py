"""Resize by a zero-padded spectrum, then a convolution."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from upsample_lab.conv import followed_by_a_tool, is_channels_last
from upsample_lab.resize import apply_matrix, remembered
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution


class Fourier(ResizeConvolution):
    """The spectrum of the image, zeros for the frequencies that it cannot have, transformed back on the finer grid.

    Along an axis of n pixels that is the trigonometric polynomial through the pixels, taken at the half-pixel centres
    `x = (o + ½)/s - ½`: a product with the matrix `dirichlet_matrix`. A dense product, and not an FFT, since it
    runs in every dtype and is cheaper for images of the size of feature maps.

    Source: L. Trefethen, "Spectral methods in MATLAB", SIAM 2000, chapter 3: the periodic sinc, for odd and even n.
    """

    equation = "y = Conv_k(u),  u = F⁻¹ pad₀ F x at the half-pixel centres (o + ½)/s − ½"
    source = "Trefethen, Spectral methods in MATLAB, ch. 3: the periodic sinc interpolant"
    shift_equivariant = "by any fraction of a pixel, circularly, below the Nyquist frequency"
    failure_modes = (
        "takes the image for periodic: opposite borders ring into each other, and edges ring (Gibbs); "
        "after a convolution (order=conv_first) its zero-padded border rings through the whole image"
    )
    resize_macs_formula = "H + W/s"

    def axis(self) -> tuple[Callable[..., Tensor], tuple[Hashable, ...]]:
        return dirichlet_matrix, (self.scale,)

    def resize(self, image: Tensor) -> Tensor:
        followed = followed_by_a_tool(image)
        channels_last = not followed and is_channels_last(image)
        for dim in (3, 2):
            if followed:  # where the size may be a symbol
                matrix = dirichlet_matrix(image.shape[dim], self.scale, device=image.device).to(image.dtype)
            else:
                matrix = remembered(dirichlet_matrix, image.shape[dim], self.scale, like=image)
            image = apply_matrix(image, matrix, dim, channels_last)
        return image


def dirichlet_matrix(size: int, scale: int, device: torch.device | None = None) -> Tensor:
    """The matrix `[s·n, n]`, float64: `D(x_o - j)` with `D(t) = sin πt / (n·sin(πt/n))`, or `tan(πt/n)` for even n.

    For even n the coefficient at the Nyquist frequency is split evenly between the positive and the negative one.
    """
    positions = (torch.arange(scale * size, dtype=torch.float64, device=device) + 0.5) / scale - 0.5
    angle = torch.pi * (positions[:, None] - torch.arange(size, device=device))
    odd = size % 2  # may be a symbol, which decides nothing: both are computed then
    if isinstance(odd, int):
        below = torch.sin(angle / size) if odd else torch.tan(angle / size)
    else:
        sine, cosine = torch.sin(angle / size), torch.cos(angle / size)
        below = odd * sine + (1 - odd) * sine / cosine
    at_pixel = below.abs() < 1e-12
    return torch.where(at_pixel, 1.0, torch.sin(angle) / (size * torch.where(at_pixel, 1.0, below)))
