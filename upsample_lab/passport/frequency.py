"""The response over frequency: what is kept of the input's band, and what is left of its images above it.

Upsampling by `s` repeats the input's spectrum at every multiple of 1 cycle per input pixel; the operator's filter
should keep the copy around 0 and remove the others ("images"). Those at exactly a multiple of 1 are what it makes of a
constant: the checkerboard.
"""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.passport.impulse import Taps
from upsample_lab.passport.record import DB_CEILING, Array, Frequency, decibels, frozen_array

_LINES_BINS = 64  # frequencies per cycle per input pixel on the axes; a multiple of 4, so that half band is one of them
_PLANE_BINS = 16  # and in the plane
_TINY = 1e-300  # keeps a ratio to an operator without gain finite


def measure_frequency(taps: Taps) -> Frequency:
    """`Frequency` of the responses, pooled as power over pairs of channels."""
    power = _power(taps, _LINES_BINS)
    middle = power.shape[0] // 2
    axis = torch.arange(power.shape[0] - middle)
    inside, half = _LINES_BINS // 2, _LINES_BINS // 4
    plane = _power(taps, _PLANE_BINS)
    return Frequency(
        frequency=frozen_array(axis / _LINES_BINS),
        vertical_db=_relative_db(power[middle:, middle], power),
        horizontal_db=_relative_db(power[middle, middle:], power),
        diagonal_db=_relative_db(power.diagonal()[middle:], power),
        plane_frequency=frozen_array((torch.arange(plane.shape[0]) - plane.shape[0] // 2) / _PLANE_BINS),
        plane_db=_relative_db(plane, plane),
        image_rejection_db=_rejection(power, inside),
        half_band_rejection_db=_rejection(power, half),
        dc_rejection_db=_rejection(power, 0),
        droop_db=(
            decibels(float(power[middle + half, middle]), float(power[middle, middle])),
            decibels(float(power[middle, middle + half]), float(power[middle, middle])),
        ),
    )


def _power(taps: Taps, bins: int) -> Tensor:
    """`[s·bins, s·bins]` sum over pairs of `|H|²`, frequency 0 in the middle.

    The discrete-time Fourier transform at multiples of `1/bins` cycles per input pixel, as two products with its
    matrix: exact at these frequencies whatever the size of the image.
    """
    responses, rows, columns = _trimmed(taps.middle)
    count = taps.scale * bins
    frequency = (torch.arange(count, dtype=torch.float64) - count // 2) / count
    down = torch.exp(-2j * torch.pi * frequency[:, None] * rows)
    right = torch.exp(-2j * torch.pi * frequency[:, None] * columns)
    power = torch.zeros(count, count, dtype=torch.float64)
    for pair in responses.flatten(0, 1).to(down.dtype):
        power += (down @ (pair @ right.T)).abs().square()
    return power


def _trimmed(responses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows and columns that are not zero in all responses, with their positions."""
    reached = responses.abs().amax(dim=(0, 1)) > 0
    rows = torch.nonzero(reached.any(dim=1)).flatten()
    columns = torch.nonzero(reached.any(dim=0)).flatten()
    return responses[:, :, rows][..., columns], rows.double(), columns.double()


def _relative_db(values: Tensor, power: Tensor) -> Array:
    zero = power[power.shape[0] // 2, power.shape[1] // 2].clamp_min(_TINY)
    floor = 10 ** (-DB_CEILING / 10)
    return frozen_array(10 * torch.log10((values / zero).clamp_min(floor)))


def _rejection(power: Tensor, reach: int) -> float:
    """Energy in the band `|f| <= reach` bins over that of its images, the same band around each multiple of 1.

    A bin on the very limit of a band that fills the space between the multiples belongs to two bands, so half to each.
    """
    count, middle = power.shape[0], power.shape[0] // 2
    offset = (torch.arange(count) - middle).abs()
    weight = (offset <= reach).double()
    if 2 * reach == _LINES_BINS:
        weight[offset == reach] = 0.5
    copies = torch.zeros(count, dtype=torch.float64)
    for image in range(count // _LINES_BINS):
        copies += weight.roll(image * _LINES_BINS)
    band = float(weight @ power @ weight)
    return decibels(band, float(copies @ power @ copies) - band)
