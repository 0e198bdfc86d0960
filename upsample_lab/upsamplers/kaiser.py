"""Resize with a Kaiser-windowed sinc of 6 taps a phase, then a convolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from upsample_lab.resize import Kernel, interpolation_matrix, resample
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution

TAPS = 6  # of each phase: n in the paper


class Kaiser(ResizeConvolution):
    """`u[o] = Σ_k h(x - k) u[k]` at `x = (o + ½)/s - ½`, with h the low-pass filter `kaiser_sinc(s)`, borders repeated.

    Source: T. Karras et al., "Alias-free generative adversarial networks", arXiv:2106.12423, section 3 and appendix C:
    filters of n = 6 taps a phase, cut off at the Nyquist frequency of the input.
    """

    equation = "y = Conv_k(u),  u[o] = Σ_j h(x_o − j) x[j],  x_o = (o + ½)/s − ½,  h(t) = sinc(t)·Kaiser_β(t), 6 taps"
    source = "Karras et al., Alias-free generative adversarial networks, arXiv:2106.12423, sec. 3 and app. C"
    shift_equivariant = "by whole input pixels; by fractions within the pass band"
    failure_modes = "ringing beside edges; still passes images just above the input's Nyquist frequency"
    resize_macs_formula = "6 + 6/s"

    def axis(self) -> tuple[Callable[..., Tensor], tuple[Hashable, ...]]:
        return interpolation_matrix, (self.scale, kaiser_sinc(self.scale))

    def resize(self, image: Tensor) -> Tensor:
        return resample(image, self.scale, kaiser_sinc(self.scale))


def kaiser_sinc(scale: int) -> Kernel:
    """The low-pass filter of 6s taps for that scale, as an interpolation kernel."""
    return Kernel(_KaiserSinc(scale), TAPS // 2)


@dataclass(frozen=True)
class _KaiserSinc:
    """The windowed sinc, divided by the sum of its phase's taps, so that no phase gains more than another."""

    scale: int

    def __call__(self, t: float) -> float:
        first = t - math.floor(t) - TAPS // 2  # of the taps that share a phase with t
        return self.windowed(t) / sum(self.windowed(first + k) for k in range(TAPS + 1))

    def windowed(self, t: float) -> float:
        edge = (TAPS * self.scale - 1) / (2 * self.scale)  # where the outermost of the 6s taps lie
        if abs(t) > edge + 1e-9:
            return 0.0
        sinc = math.sin(math.pi * t) / (math.pi * t) if t else 1.0
        beta = kaiser_beta(self.scale)
        return sinc * float(np.i0(beta * math.sqrt(max(0.0, 1 - (t / edge) ** 2))) / np.i0(beta))


def kaiser_beta(scale: int) -> float:
    """The window's shape parameter, for a transition band of half-width `(√2 - 1)/2` cycles a pixel, the paper's.

    J. Kaiser's formulas, as in A. Oppenheim and R. Schafer, "Discrete-time signal processing", 3rd edition, section
    7.5.3: the attenuation A that 6s taps reach with that band, in dB, and the β that A takes.
    """
    transition = 2 * (math.sqrt(2) - 1) / scale  # full width over the Nyquist frequency of the output
    attenuation_db = 2.285 * (TAPS * scale - 1) * math.pi * transition + 7.95
    if attenuation_db > 50:
        return 0.1102 * (attenuation_db - 8.7)
    return 0.5842 * (attenuation_db - 21) ** 0.4 + 0.07886 * (attenuation_db - 21)
