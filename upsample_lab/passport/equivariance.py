"""Does a moved image come out moved? Whole input pixels, and half ones against exact sinc interpolation.

The test image is periodic and repeated twice along each axis, so that the half around the middle of the response is
one period of the response to the endless image: no border takes part, and both shifts are exact by the shift theorem
of the discrete Fourier transform. The measure is EQ-T of Karras et al., "Alias-free generative adversarial networks",
2021 (eq. 1 and appendix E.3), with the response's own energy in place of the squared range of values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upsample_lab.passport.probe import Probe, Refused
from upsample_lab.passport.record import Equivariance, decibels, frozen_array

BANDWIDTHS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Of the input's Nyquist limit. At 1 a half-pixel shift is not defined: that frequency has no phase."""

_IMAGES = 2


def measure_equivariance(probe: Probe) -> Equivariance:
    """`Equivariance` for random images of each bandwidth, the worse of a vertical and a horizontal shift.

    NaN for a module that refuses images of this size, which may be one pixel smaller than all others.
    """
    noise = _deviations(probe)
    try:
        half = [_agreement_of_worse_axis(probe, _band_limited(noise, band), 0.5) for band in BANDWIDTHS]
        whole = _agreement_of_worse_axis(probe, _band_limited(noise, BANDWIDTHS[-1]), 1.0)
    except Refused:
        half, whole = [math.nan] * len(BANDWIDTHS), math.nan
    return Equivariance(integer_db=whole, bandwidth=frozen_array(BANDWIDTHS), half_pixel_db=frozen_array(half))


def _deviations(probe: Probe) -> Tensor:
    return probe.noise(_IMAGES, probe.size // 2, salt=3) - probe.point


def _band_limited(noise: Tensor, bandwidth: float) -> Tensor:
    """The noise's part with frequencies up to `bandwidth` of the Nyquist limit on either axis, at deviation 0.25."""
    size = noise.shape[-1]
    inside = (torch.fft.fftfreq(size).abs() * 2 <= bandwidth).to(noise.dtype)
    part = torch.fft.ifft2(torch.fft.fft2(noise) * inside[:, None] * inside).real
    return 0.25 * part / part.std()


def _agreement_of_worse_axis(probe: Probe, deviations: Tensor, shift: float) -> float:
    unshifted = _periodic_response(probe, deviations)
    return min(agreement(probe, deviations, shift, axis, unshifted) for axis in (-2, -1))


def agreement(probe: Probe, deviations: Tensor, shift: float, axis: int, unshifted: Tensor | None = None) -> float:
    """Energy of the response's variation over the energy of the disagreement, dB.

    `unshifted` is the response to the deviations as they are, where it is known already.
    """
    unshifted = _periodic_response(probe, deviations) if unshifted is None else unshifted
    upsampled_last = _periodic_response(probe, sinc_shift(deviations, shift, axis))
    shifted_last = sinc_shift(unshifted, shift * probe.scale, axis)
    variation = shifted_last - shifted_last.mean(dim=(-2, -1), keepdim=True)
    error = float((upsampled_last - shifted_last).square().sum())
    return decibels(float(variation.square().sum()), error)


def _periodic_response(probe: Probe, deviations: Tensor) -> Tensor:
    """One period of the response to the image repeated over the plane, `[N, C, n, n] -> [N, C_out, s·n, s·n]`."""
    size, s = deviations.shape[-1], probe.scale
    tiled = (probe.point + deviations).repeat(1, 1, 2, 2)
    response = probe.fitted(probe(tiled), (2 * size, 2 * size))
    start = size // 2 * s
    middle = response[..., start : start + s * size, start : start + s * size]
    return middle.roll((start, start), dims=(-2, -1))


def sinc_shift(images: Tensor, pixels: float, axis: int) -> Tensor:
    """Shift periodic images by any distance towards the end of an axis: each frequency turned by its phase."""
    size = images.shape[axis]
    turn = torch.exp(-2j * torch.pi * torch.fft.fftfreq(size, dtype=torch.float64) * pixels)
    if size % 2 == 0:
        turn[size // 2] = turn[size // 2].real.clone()  # the Nyquist frequency stands for both signs
    return torch.fft.ifft(torch.fft.fft(images, dim=axis) * (turn[:, None] if axis == -2 else turn), dim=axis).real
