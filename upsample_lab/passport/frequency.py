"""The response over frequency: what is kept of the input's band, and what is left of its images above it.

Upsampling by `s` repeats the input's spectrum at every multiple of 1 cycle per input pixel; the operator's filter
should keep the copy around 0 and remove the others ("images"). Those at exactly a multiple of 1 are what it makes of a
constant: the checkerboard.
"""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.passport.impulse import ImpulseTaps
from upsample_lab.passport.record import DB_CEILING, Array, Frequency, decibels, frozen_array

_LINE_BINS = 64  # frequencies per cycle per input pixel on the axes; a multiple of 4, so that half band is one of them
_PLANE_BINS = 16  # and in the plane, of which a scale of 4 has 64 a side; a larger one has no more
_TINY = 1e-300  # keeps a ratio to an operator without gain finite
_UNREACHED = 1e-13  # of the largest tap: what a sum in another order leaves of nothing in float64


def measure_frequency(taps: ImpulseTaps) -> Frequency:
    """`Frequency` of the responses, pooled as power over pairs of channels."""
    responses = _trimmed(taps.middle)
    s, bins = taps.scale, max(4, min(_PLANE_BINS, 4 * _PLANE_BINS // taps.scale))
    correlation = autocorrelation(responses)
    axis = torch.arange(s * _LINE_BINS // 2, dtype=torch.float64) / _LINE_BINS
    vertical, horizontal = _line(responses.sum(dim=2), axis / s), _line(responses.sum(dim=1), axis / s)
    plane_axis = (torch.arange(s * bins) - s * bins // 2) / bins
    zero, half = vertical[0], _LINE_BINS // 4
    return Frequency(
        frequency=frozen_array(axis),
        vertical_db=_relative_db(vertical, zero),
        horizontal_db=_relative_db(horizontal, zero),
        diagonal_db=_relative_db(_line(_antidiagonal_sums(responses), axis / s), zero),
        plane_frequency=frozen_array(plane_axis),
        plane_db=_relative_db(_plane(responses, plane_axis / s), zero),
        image_rejection_db=rejection(correlation, s, 0.5),
        half_band_rejection_db=rejection(correlation, s, 0.25),
        dc_rejection_db=rejection(correlation, s, 0.0),
        droop_db=(decibels(float(vertical[half]), float(zero)), decibels(float(horizontal[half]), float(zero))),
    )


def rejection(correlation: Tensor, scale: int, limit: float) -> float:
    """Energy in the band of frequencies up to `limit` on both axes over that of its images, dB.

    The images are the same band around all other multiples of 1 cycle per input pixel; at a limit of 0.5 the bands
    touch, and 0 stands for a constant. `correlation` is that of `autocorrelation`, `limit` in cycles per input pixel.

    No frequency is sampled. By Parseval's theorem the energy in the band is `Σ r[k] w[k]` along each axis, with the
    ideal filter's response `w[k] = sin(2πbk)/(πk)`, `w[0] = 2b`, for `b = limit / s` cycles per output pixel. The
    copies of the band around all multiples of `1/s`, added up, are `s·w[k]` at the multiples of s, and 0 elsewhere.
    """
    filters = [_band_filters(size, scale, limit) for size in correlation.shape]
    (down, all_down), (right, all_right) = filters
    band = float(down @ correlation @ right)
    return decibels(band, float(all_down @ correlation @ all_right) - band)


def autocorrelation(responses: Tensor) -> Tensor:
    """`Σ h[m] h[m + k]` of `[pairs, H, W]`, summed over pairs, `k` in the order of `torch.fft.fftfreq`."""
    sizes = [2 * size for size in responses.shape[-2:]]  # at least 2·size - 1, so that nothing wraps around
    power = torch.zeros(sizes[0], sizes[1] // 2 + 1, dtype=torch.float64)
    for pair in responses:
        power += torch.fft.rfft2(pair, s=sizes).abs().square()
    return torch.fft.irfft2(power, s=sizes)


def _band_filters(size: int, scale: int, limit: float) -> tuple[Tensor, Tensor]:
    """`w` at the distances of `autocorrelation`, and that of all copies; for a limit of 0 in units of the width."""
    distance = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).round()
    width = 2 * limit / scale
    band = torch.sinc(width * distance) * (width or 1.0)
    return band, scale * band * (distance % scale == 0)


def _trimmed(responses: Tensor) -> Tensor:
    """`[pairs, h, w]` of `[C_out, C_in, H, W]`: without the rows and columns around them that no response reaches."""
    strongest = responses.abs().amax(dim=(0, 1))
    reached = strongest > _UNREACHED * strongest.max()
    rows, columns = (torch.nonzero(reached.any(dim=axis)).flatten() for axis in (1, 0))
    if rows.numel() == 0:
        return torch.zeros(1, 1, 1, dtype=responses.dtype)
    return responses[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].flatten(0, 1)


def _line(sums: Tensor, frequency: Tensor) -> Tensor:
    """`[F]` sum over pairs of `|H|²` of `[pairs, n]` sums across a line; `frequency` in cycles per output pixel."""
    return (sums.to(torch.complex128) @ _waves(sums.shape[1], frequency).T).abs().square().sum(dim=0)


def _antidiagonal_sums(responses: Tensor) -> Tensor:
    """`[pairs, h + w - 1]`: sums over the pixels with the same row plus column, which a diagonal wave sees as one."""
    count, height, width = responses.shape
    place = (torch.arange(height)[:, None] + torch.arange(width)).flatten()
    return torch.zeros(count, height + width - 1, dtype=responses.dtype).index_add(1, place, responses.flatten(1))


def _plane(responses: Tensor, frequency: Tensor) -> Tensor:
    """`[F, F]` sum over pairs of `|H|²`."""
    down, right = (_waves(size, frequency) for size in responses.shape[-2:])
    power = torch.zeros(len(frequency), len(frequency), dtype=torch.float64)
    for pair in responses.to(down.dtype):
        power += (down @ (pair @ right.T)).abs().square()
    return power


def _waves(size: int, frequency: Tensor) -> Tensor:
    """The discrete-time Fourier transform as a matrix `[F, n]`: exact at these frequencies, whatever the size."""
    return torch.exp(-2j * torch.pi * frequency.double()[:, None] * torch.arange(size, dtype=torch.float64))


def _relative_db(values: Tensor, zero: Tensor) -> Array:
    floor = 10 ** (-DB_CEILING / 10)
    return frozen_array(10 * torch.log10((values / zero.clamp_min(_TINY)).clamp_min(floor)))
