"""The transposed convolution as an upsampler."""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.conv import ConvTranspose2d, exact_padding, without_autocast
from upsample_lab.conv.checks import as_pair
from upsample_lab.conv.geometry import Pair
from upsample_lab.resize import remembered
from upsample_lab.upsamplers._channels import matching_channels
from upsample_lab.upsamplers._tools import of_batches
from upsample_lab.upsamplers.base import Algorithms, Upsampler


class Deconv(Upsampler):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: each input pixel writes its value times a k x k kernel.

    `y[s·i - p + t] += x[i] · w[t]`, `0 <= t < k`, along each axis, with the padding p and output padding q that give
    exactly s times the size: `2p - q = k - s`.

    init="random"      torch's default
    init="bilinear"    starts as an interpolation (`bilinear_kernel`)
    phase_equal=true   the kernel that is applied is the nearest one whose s² phases gain equally (`phase_projection`).
                       It is projected in every forward pass, so no step of training leaves that set, and flat areas
                       cannot checker. It needs k >= s: with less, some phases have no weights.

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
        self,
        in_channels: int,
        out_channels: int,
        scale: int,
        *,
        algorithms: Algorithms,
        kernel_size: int,
        init: str,
        phase_equal: bool,
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        self.phase_equal = phase_equal
        self.padding, output_padding = exact_padding(kernel_size, scale)
        kind = PhaseEqualConvTranspose2d if phase_equal else ConvTranspose2d
        self.conv = kind(
            in_channels,
            out_channels,
            kernel_size,
            stride=scale,
            padding=self.padding,
            output_padding=output_padding,
            algorithm=algorithms.conv_transpose2d,
        )
        if init == "bilinear":
            kernel = bilinear_kernel(kernel_size, scale)
            with torch.no_grad():
                self.conv.weight.copy_(matching_channels(in_channels, out_channels)[..., None, None] * kernel)
                self.conv.bias.zero_()  # type: ignore[union-attr]  # it has one
        if phase_equal:
            with torch.no_grad():
                self.conv.weight.copy_(self.conv.effective_weight(self.conv.weight))

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        output: Tensor = self.conv(input)
        return output

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "k": self.kernel_size}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, phase_equal={self.phase_equal}"


class PhaseEqualConvTranspose2d(ConvTranspose2d):
    """A transposed convolution with the nearest kernel whose phases gain equally, of whatever its weight is.

    The weight may be a hook's or a parametrization's: what is made of it is projected too.
    """

    def effective_weight(self, weight: Tensor) -> Tensor:
        """The kernel that is applied, `[C_in, C_out, k, k]`: the projection of the weight."""
        (kernel_size, _), (scale, _) = self.kernel_size, self.stride
        with without_autocast(weight.device):
            projection = remembered(phase_projection, kernel_size, scale, like=weight.detach())
            return (weight.flatten(2) @ projection).unflatten(2, weight.shape[2:])


def bilinear_kernel(kernel_size: int, scale: int) -> Tensor:
    """The k x k tent, centred on half-pixel centres, with the taps of each phase divided by their sum.

    With `k >= 2s` the layer interpolates bilinearly away from borders. A shorter kernel cuts the tent off; dividing by
    the sums keeps all gains at 1, so it starts without a checkerboard all the same (with `k = s` it is the nearest
    neighbour). Only `k < s` leaves phases empty.
    """
    padding, _ = exact_padding(kernel_size, scale)
    centre = padding + (scale - 1) / 2  # where the middle of an input pixel lies among its taps
    tent = (1 - (torch.arange(kernel_size, dtype=torch.float64) - centre).abs() / scale).clamp(min=0)
    phase = torch.arange(kernel_size) % scale
    gains = torch.zeros(scale, dtype=torch.float64).index_add(0, phase, tent)[phase]
    tent = tent / gains
    return tent[:, None] * tent


def phase_projection(kernel_size: int | Pair, scale: int | Pair, dilation: int | Pair = 1) -> Tensor:
    """The orthogonal projection `[k_h·k_w, k_h·k_w]` of flattened kernels onto those whose phases have the same sum.

    Phase p has `n_p` taps and the sum `G_p`. The nearest kernel adds `(G - G_p)/n_p` to each of them, where
    `G = Σ_p G_p/n_p / Σ_p 1/n_p` makes the sum of the squared changes, `Σ_p (G - G_p)²/n_p`, smallest.

    Raises ValueError where a phase has no tap, as with a kernel that is shorter than the stride.
    """
    sides, steps, apart = (as_pair("kernel", pair) for pair in (kernel_size, scale, dilation))
    if any(len({tap * d % s for tap in range(k)}) < s for k, s, d in zip(sides, steps, apart, strict=True)):
        (high, wide), (down, right) = sides, steps
        raise ValueError(
            f"a kernel of {high} x {wide} with stride {down} x {right} and dilation {apart[0]} x {apart[1]} leaves "
            "output pixels without weights: no kernel of this size answers a constant evenly"
        )
    rows, columns = (torch.arange(k) * d % s for k, s, d in zip(sides, steps, apart, strict=True))
    phase = (steps[1] * rows[:, None] + columns).flatten()
    member = (phase[:, None] == torch.arange(steps[0] * steps[1])).to(torch.float64)  # [k_h·k_w, s_h·s_w]
    mean_of_phase = member / member.sum(0)
    common = mean_of_phase.sum(1, keepdim=True) / (1 / member.sum(0)).sum()  # [k_h·k_w, 1]: the weights of G
    return torch.eye(sides[0] * sides[1], dtype=torch.float64) + (common - member) @ mean_of_phase.T
