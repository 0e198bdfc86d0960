"""Power spectra: the energy of single lines over their neighbourhood, and the radial power spectrum.

Both work on powers, so a pattern counts whatever its sign in each image.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from upsample_lab.metrics._images import ImageArray, as_images, check_period
from upsample_lab.metrics._sums import RunningSums

Orientation = Literal["horizontal", "vertical", "diagonal"]
ORIENTATIONS: tuple[Orientation, ...] = ("horizontal", "vertical", "diagonal")
LINE_PERIODS = (2, 4, 8)

MIN_REPEATS = 3
"""Times an image must show a period: below 3 the line's lower neighbour, two bins away, would be the image's mean."""

_NEIGHBOUR_BINS = 2  # the nearest offset at which a Hann window's transform is zero, so a line does not leak there
_FLOOR_SHARE = 1e-12  # of the mean square: -120 dB. float32 rounding lies below it, so it never counts as a line


class RadialSpectrum(NamedTuple):
    """`frequency` [R] in cycles a pixel (0 to sqrt(1/2)) and `power` [R], the mean power of the bins of each ring."""

    frequency: Tensor
    power: Tensor


class SpectralLines:
    """Accumulates `line_energy_db` over a set of any size, without a device-to-host copy."""

    def __init__(self, periods: tuple[int, ...] = LINE_PERIODS) -> None:
        self.periods = periods
        self._sums = RunningSums()
        self._image_count = 0

    def update(self, images: ImageArray) -> None:
        """Add a batch `[N, C, H, W]`."""
        values = as_images(images)
        height, width = values.shape[-2:]
        for period in self.periods:
            check_period(period, (height, width), repeats=MIN_REPEATS)
        self._sums.add(ratios_db=_line_ratios_db(values, self.periods).sum(dim=0))
        self._image_count += values.shape[0]

    def compute(self) -> dict[int, dict[Orientation, float]]:
        """The figures over everything added so far; `ValueError` if that is nothing, or not finite."""
        rows = (self._sums.read()["ratios_db"] / self._image_count).tolist()
        return {
            period: dict(zip(ORIENTATIONS, row, strict=True)) for period, row in zip(self.periods, rows, strict=True)
        }


def line_energy_db(images: ImageArray, periods: tuple[int, ...] = LINE_PERIODS) -> dict[int, dict[Orientation, float]]:
    """Power of each spectral line over that of its neighbours, in dB: `[N, C, H, W] -> {period: {orientation: dB}}`.

    Horizontal is a pattern that repeats along the horizontal axis (frequency `(0, 1/p)`, drawn as vertical stripes),
    vertical the same along the other axis, diagonal one that repeats along both (`(1/p, ±1/p)`, a checkerboard).

    Each image less its (windowed) mean is multiplied by a Hann window (von Hann's raised cosine; Harris, "On the use
    of windows for harmonic analysis", Proc. IEEE 66(1), 1978) and transformed at exactly `1/p`, also where that is no
    bin of the image's size. The neighbours are two bins (`2 / size`) below and above in the line's own direction, where
    the window's transform is zero; their geometric mean stands for the smooth spectrum under the line. Powers are
    summed over channels, and the result is the mean of the images' own decibels, so that a few loud images do not hide
    the line in the others.

    White noise gives 0 dB, but -3 dB for period 2 along an axis and -4 dB for its diagonal, whose bins are real, not
    complex. One image's ratio scatters by some 8 dB, the mean of n images by `8 / sqrt(n)`. A line without any
    neighbourhood is held below some 120 dB by a floor at 1e-12 of the image's mean square; a black image gives 0 dB.

    Above 3 dB over 256 images is a find: period 2 from 4 grey levels of 255 on in MNIST and from 1 in CIFAR-10 (JPEG
    copy), period 4 from 8 and 4, period 8 hardly below 16, for there the images themselves are loud.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; an image must show a period three times.
    """
    meter = SpectralLines(periods)
    meter.update(images)
    return meter.compute()


def _power_near_lines(images: Tensor, periods: tuple[int, ...]) -> Tensor:
    """`[N, C, H, W] -> [N, C, 2, F, F]`: power at (fy, +fx) and (fy, -fx) for 0 and each line with its neighbours."""
    rows, row_window = _windowed_waves(images.shape[-2], periods, images)
    columns, column_window = _windowed_waves(images.shape[-1], periods, images)
    mean = row_window @ images @ column_window
    images = images - mean[..., None, None]
    # Real products only: exp(-i(a ± b)) = (cos a - i sin a)(cos b ∓ i sin b).
    (cos_y, sin_y), (cos_x, sin_x) = rows, columns
    partial_cos, partial_sin = cos_y @ images, sin_y @ images
    cos_cos, cos_sin = partial_cos @ cos_x.T, partial_cos @ sin_x.T
    sin_cos, sin_sin = partial_sin @ cos_x.T, partial_sin @ sin_x.T
    rising = (cos_cos - sin_sin).square() + (sin_cos + cos_sin).square()
    falling = (cos_cos + sin_sin).square() + (sin_cos - cos_sin).square()
    return torch.stack((rising, falling), dim=2)


def _windowed_waves(size: int, periods: tuple[int, ...], like: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Cosines and sines `[F, size]` times a Hann window of sum 1, and that window `[size]`."""
    position = torch.arange(size, dtype=like.dtype, device=like.device)
    window = (1 - torch.cos(2 * math.pi * position / size)) / size
    offset = _NEIGHBOUR_BINS / size
    frequencies = [0.0] + [1 / period + shift for period in periods for shift in (-offset, 0.0, offset)]
    angle = 2 * math.pi * torch.tensor(frequencies, dtype=like.dtype, device=like.device)[:, None] * position
    return (torch.cos(angle) * window, torch.sin(angle) * window), window


def _line_ratios_db(images: Tensor, periods: tuple[int, ...]) -> Tensor:
    """Each image's own ratios: `[N, C, H, W] -> [N, len(periods), len(ORIENTATIONS)]`."""
    power = _power_near_lines(images, periods).sum(dim=1)
    # The grid's rows and columns are 0, then (below, line, above) for each period.
    triples = torch.arange(1, power.shape[-1], device=power.device).unflatten(0, (len(periods), 3))
    horizontal, vertical = power[:, 0, 0, triples], power[:, 0, triples, 0]
    diagonal = power[:, :, triples, triples].sum(dim=1)  # (1/p, 1/p) and (1/p, -1/p): two directions of one pattern
    cells = torch.stack((horizontal, vertical, diagonal), dim=2)
    floor = _FLOOR_SHARE * images.square().mean(dim=(-2, -1)).sum(dim=1) + torch.finfo(images.dtype).tiny
    below, line, above = (cells + floor[:, None, None, None]).log10().unbind(dim=-1)
    return 10 * line - 5 * (below + above)


class RadialPower:
    """Accumulates `radial_power_spectrum` over a set of any size, without a device-to-host copy."""

    def __init__(self) -> None:
        self._sums = RunningSums()
        self._plane_count = 0

    def update(self, images: ImageArray) -> None:
        """Add a batch `[N, C, H, W]`."""
        values = as_images(images)
        spectrum = torch.fft.fft2(values, norm="ortho")
        self._sums.add(power=(spectrum.real.square() + spectrum.imag.square()).sum(dim=(0, 1)))
        self._plane_count += values.shape[0] * values.shape[1]

    def compute(self) -> RadialSpectrum:
        """The spectrum of everything added so far; `ValueError` if that is nothing, or not finite."""
        power = self._sums.read()["power"] / self._plane_count
        return _rings(power)

    def corner_db(self) -> float:
        """Power of the last ring over the mean power of all bins but the constant, in dB: 0 for white noise.

        The last ring holds the corner (1/2, 1/2), where a diagonal checkerboard of period 2 has all its energy: half a
        grey level of it, of 255, lifts the figure by 3 dB over that of the clean images.
        """
        power = self._sums.read()["power"] / self._plane_count
        floor = _FLOOR_SHARE * float(power.sum())
        varying = (float(power.sum()) - float(power[0, 0])) / (power.numel() - 1)
        if varying <= floor:
            return 0.0
        return 10 * math.log10((float(_rings(power).power[-1]) + floor) / (varying + floor))


def radial_power_spectrum(images: ImageArray) -> RadialSpectrum:
    """Mean power against spatial frequency, over all directions, images and channels: `[N, C, H, W] -> [R], [R]`.

    Power is `|F|²` of the orthonormal transform (white noise of variance v has power v everywhere); no window, no mean
    removed. A ring holds the bins whose radius, times the image's shorter side, rounds to its index; the constant is a
    ring of its own. All rings are kept, from the constant (first) to the corner `(1/2, 1/2)` (last), so that the powers
    of all bins sum to the energy of the image. Stopping at the radius 1/2, as is usual, loses the corner, and with it
    the diagonal checkerboard.

    Raises:
        TypeError, ValueError: see `as_images`.
    """
    meter = RadialPower()
    meter.update(images)
    return meter.compute()


def _rings(power: Tensor) -> RadialSpectrum:
    """`[H, W]` (in the order of `fft2`) averaged over rings of equal radius."""
    height, width = power.shape
    rows, columns = (torch.fft.fftfreq(size, dtype=power.dtype) for size in (height, width))
    radius = (rows[:, None].square() + columns.square()).sqrt()
    ring = (radius * min(height, width)).round().long().clamp_min(1).flatten()
    ring[0] = 0  # the constant stays alone, also where the longer side has bins closer to it than half a ring
    bin_count = torch.bincount(ring).clamp_min(1)
    return RadialSpectrum(
        torch.bincount(ring, weights=radius.flatten()) / bin_count,
        torch.bincount(ring, weights=power.flatten()) / bin_count,
    )
