"""Patterns that repeat at a whole period all over one image, told from what the image shows.

A layer's checkerboard is the same in every period of the image, so all of it lies in single lines of the spectrum, at
`(k/p, m/p)` cycles a pixel. What an image shows lies beside them as well. So each line is held against its neighbours:

1. `r = x - m`, with `m` the mean over a window of whole periods: what repeats stays, most of the content goes.
2. `w = 1 / (v + 4)`, with `v` the local mean of `r²`: flat areas, where a pattern can be seen, count most.
3. `A(k, m) = Σ w r e^{-2πi (ky/p + mx/p)} / Σ w`, the amplitude of a line in grey levels: by one FFT for all lines.
4. The line's power over that of its neighbourhood, from the median of the bins around it (over ln 2, as of an
   exponential distribution). Lines that a shorter period has too are not of period p: it has only *new* energy.

The amplitude says what a person sees, the ratio whether it is there at all; both must be passed, and the lines must
be there in most of the image, not in the one corner that shows a fence.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Array = NDArray[np.float64]

REACH = 7  # bins on each side of a line that stand for its neighbourhood; the nearest belong to the line
OWN = 1
FLOOR_LEVELS = 2.0  # a rounded image is never calmer than this
MIN_WINDOW_PX = 4
MIN_PERIODS = 8  # fewer make no line that stands out of its neighbourhood


@dataclass(frozen=True)
class Spectrum:
    """The lines of one period in one plane, or summed over several of equal phase.

    `amplitudes` [L] complex, in levels; `floors` [L], the power of the neighbourhoods; `weight`, the sum of `w`;
    `doubled` [L], whether a line stands for its mirror image too.
    """

    period: int
    amplitudes: NDArray[np.complex128]
    floors: Array
    doubled: Array
    weight: float

    @property
    def ratio(self) -> float:
        """The strongest line's power over its neighbourhood's; of a real line, whose power scatters more, half."""
        return float((np.abs(self.amplitudes) ** 2 / self.floors / (3 - self.doubled)).max())

    @property
    def rms_levels(self) -> float:
        """Root mean square of the pattern, less what the neighbourhood would give by chance."""
        return sqrt(float((self.doubled * np.maximum(np.abs(self.amplitudes) ** 2 - self.floors, 0)).sum()))

    def agreement(self, other: Spectrum) -> float:
        """How far two parts of an image have the same pattern: the cosine between their lines, in -1 … 1."""
        product = float((self.doubled * (self.amplitudes * other.amplitudes.conj()).real).sum())
        norms = [sqrt(float((s.doubled * np.abs(s.amplitudes) ** 2).sum())) for s in (self, other)]
        return product / max(norms[0] * norms[1], 1e-30)


def lines_of(period: int) -> list[tuple[int, int]]:
    """The lines `(k, m)` whose shortest period is `period`, one of each mirrored pair."""
    every = ((k, m) for k in range(period) for m in range(period))
    new = [(k, m) for k, m in every if gcd(gcd(k, m), period) == 1]
    return [(k, m) for k, m in new if (k, m) <= (-k % period, -m % period)]


def fits(shape: tuple[int, ...], period: int) -> bool:
    """Whether an image is large enough for a line of this period to be told from its neighbourhood."""
    return min(shape) >= MIN_PERIODS * period and min(shape) >= 2 * REACH * 2


def spectrum_of(plane: Array, period: int) -> Spectrum:
    """The lines of a plane `[H, W]`, in grey levels, counted from its top left corner.

    Raises ValueError where `fits` is false.
    """
    if not fits(plane.shape, period):
        raise ValueError(f"period {period}: an image of {plane.shape} has too few periods")
    height, width = (side // period * period for side in plane.shape)
    plane = plane[:height, :width]
    window = period * -(-MIN_WINDOW_PX // period)
    residual = plane - uniform_filter(plane, window, mode="nearest")
    weights = 1 / (uniform_filter(residual * residual, 2 * window + 1, mode="nearest") + FLOOR_LEVELS**2)
    total = float(weights.sum())
    spectrum = np.fft.fft2(weights * residual) / total
    power = np.abs(spectrum) ** 2
    lines = lines_of(period)
    places = [(k * (height // period), m * (width // period)) for k, m in lines]
    floors = np.array([_floor(power, row, column) for row, column in places])
    doubled = [1.0 if 2 * k % period == 0 and 2 * m % period == 0 else 2.0 for k, m in lines]
    amplitudes = np.array([spectrum[place] for place in places])
    return Spectrum(period, amplitudes, np.maximum(floors, 1e-12), np.array(doubled), total)


def _floor(power: Array, row: int, column: int) -> float:
    """The mean power around a line, from the median, which other lines nearby do not raise."""
    around = np.arange(-REACH, REACH + 1)
    rows, columns = (row + around) % power.shape[0], (column + around) % power.shape[1]
    own = (np.abs(around)[:, None] <= OWN) & (np.abs(around)[None, :] <= OWN)
    return float(np.median(power[np.ix_(rows, columns)][~own])) / log(2)


def summed(spectra: list[Spectrum]) -> Spectrum:
    """The lines of several images together: what repeats alike in all adds up, what each shows does not."""
    weights = np.array([each.weight for each in spectra])
    shares = weights / weights.sum()
    amplitudes = sum(share * each.amplitudes for share, each in zip(shares, spectra, strict=True))
    floors = sum(share**2 * each.floors for share, each in zip(shares, spectra, strict=True))
    first = spectra[0]
    return Spectrum(first.period, np.asarray(amplitudes), np.asarray(floors), first.doubled, float(weights.sum()))


def is_everywhere(plane: Array, period: int, whole: Spectrum, least: float) -> bool:
    """Whether the quarters of an image have the pattern of the whole: at least three of four agree with it.

    A fence or a row of windows repeats too, but seldom in step all over the image. Images too small to be cut count.
    """
    rows, columns = (side // (2 * period) * period for side in plane.shape)
    if not fits((rows, columns), period):
        return True
    quarters = [plane[top : top + rows, left : left + columns] for top in (0, rows) for left in (0, columns)]
    return sum(spectrum_of(quarter, period).agreement(whole) >= least for quarter in quarters) >= 3
