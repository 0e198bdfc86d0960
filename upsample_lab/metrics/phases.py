"""What depends on the phase of a pixel: its position `(y mod period, x mod period)`, of which there are period².

A checkerboard is by definition a difference between phases, so these metrics need no spectrum, and they see every
orientation and every harmonic of their period at once. Incomplete periods at the bottom and right are left out, so
that each phase counts equally many pixels.
"""

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from upsample_lab.metrics._images import ImageArray, as_images, check_period
from upsample_lab.metrics._sums import RunningSums
from upsample_lab.metrics.sign_test import sign_blocks, sign_test

_ROUNDING_SHARE = 1e-12
"""A variance below this share of the mean square is rounding: float32 pixels carry about (2^-24)² = 4e-15 of it."""


class PhaseVariance(NamedTuple):
    """`ratio`: the share of a residual's variance that is between phases. `p_value`: its chance to be luck alone."""

    ratio: float
    p_value: float


def phase_means(images: Tensor, period: int | tuple[int, int]) -> Tensor:
    """Mean of each phase: `[..., H, W] -> [..., period, period]`; the period may differ by axis."""
    down, across = _per_axis(period)
    height, width = images.shape[-2:]
    rows, columns = height // down, width // across
    whole = images[..., : rows * down, : columns * across]
    return whole.unflatten(-1, (columns, across)).unflatten(-3, (rows, down)).mean(dim=(-4, -2))


def interior(images: Tensor, period: int | tuple[int, int]) -> Tensor:
    """The central half of each axis, `[..., H, W] -> [..., h, w]`, but at least one period and whole periods.

    Zero padding darkens or brightens a border: a defect of its own, which must not be mistaken for one of the phases.
    """
    for axis, own in zip((-2, -1), _per_axis(period), strict=True):
        size = images.shape[axis]
        border = min(size // 4, (size - own) // 2)
        images = images.narrow(axis, border, (size - 2 * border) // own * own)
    return images


def _per_axis(period: int | tuple[int, int]) -> tuple[int, int]:
    return period if isinstance(period, tuple) else (period, period)


class ResidualPhases:
    """Accumulates `phase_variance` over a set of any size, in float64 sums and without a device-to-host copy."""

    def __init__(self, period: int = 2) -> None:
        self.period = period
        self._sums = RunningSums()
        self._image_count = 0
        self._pixels_per_phase = 0  # of one channel

    def update(self, residual: ImageArray) -> None:
        """Add the residuals `output - target` of a batch, `[N, C, H, W]`."""
        values = as_images(residual, name="residual", min_size_px=1)
        height, width = values.shape[-2:]
        check_period(self.period, (height, width))
        rows, columns = height // self.period, width // self.period
        values = values[..., : rows * self.period, : columns * self.period]
        means = phase_means(values, self.period)
        self._sums.add(
            phases=means.sum(dim=0) * (rows * columns),  # [C, period, period]
            squares=values.square().sum(dim=(0, 2, 3)),  # [C]
            signs=sign_blocks(means - means.mean(dim=(-2, -1), keepdim=True), self._image_count),
        )
        self._image_count += values.shape[0]
        self._pixels_per_phase += values.shape[0] * rows * columns

    def means(self) -> Tensor:
        """The mean of each phase over everything added so far, `[C, period, period]`; raises as `compute`."""
        return self._sums.read()["phases"] / self._pixels_per_phase

    def compute(self) -> PhaseVariance:
        """The figure over everything added so far; `ValueError` if that is nothing, or not finite."""
        means, sums = self.means().flatten(1), self._sums.read()
        squares = sums["squares"]
        count = self._pixels_per_phase * means.shape[1]  # pixels of one channel
        centre = means.mean(dim=1, keepdim=True)
        between = float((means - centre).square().sum()) * self._pixels_per_phase
        total = float((squares - count * centre.squeeze(1).square()).sum())
        if total <= _ROUNDING_SHARE * float(squares.sum()):
            return PhaseVariance(0.0, 1.0)
        if between <= _ROUNDING_SHARE * float(squares.sum()):  # whose signs are alike in all images, as rounding is
            return PhaseVariance(between / total, 1.0)
        return PhaseVariance(min(1.0, between / total), sign_test(sums["signs"]))


def phase_variance(residual: ImageArray, period: int = 2) -> PhaseVariance:
    """Share of a residual's variance that the phase explains, and a test of it: `[N, C, H, W] -> (ratio, p)`.

    The variance of the period² phase means over the total variance, both taken around each channel's own mean and
    summed over channels; the means are over all images, so it sees the pattern that the images have in common.
    White noise of n pixels a channel gives about `(period² - 1) / n`. A constant residual gives `(0, 1)`.
    A ratio above 0.01 is a find: from 4 grey levels of 255 on in the error of a box blur of 256 real images.

    The p-value is that of `sign_test` over the images' own phase means: the chance of a ratio this large if each image
    had its pattern with either sign. Pixels and channels may be as alike as they are; a single image gives 1, and no
    set less than 1/2048. Images that are repeated, or shaded all alike, have a pattern in common in this sense.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; the images must hold one whole period.
    """
    meter = ResidualPhases(period)
    meter.update(residual)
    return meter.compute()


def dc_phase_variation(response: ImageArray, period: int) -> float:
    """Spread of the phases' gains in the response to a constant input, `[N, C, H, W] -> sqrt(mean Var G² / mean G²)`.

    `G[c, p]`, the gain of phase `p` in channel `c`, is that phase's mean over the interior of the image; the result is
    `sqrt(mean_c Var_p G[c, p] / mean_(c, p) G[c, p]²)`, in [0, 1): 0 when all phases are equal, `sqrt(1 - 1/period²)`
    for independent zero-mean gains, whatever their scale. Several images are several channels. Zero response: 0.
    Above 0.001 is a find: a quarter of a grey level of 255 on a constant 0.5 reads 0.002.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; the images must hold one whole period.
    """
    images = as_images(response, name="response", min_size_px=1)
    variance, mean_square = phase_gain_sums(images, period)
    return phase_gain_ratio(float(variance), float(mean_square))


def phase_gain_sums(images: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """Sums over images and channels of `Var_p G` and of `mean_p G²`: the two parts of `dc_phase_variation`."""
    check_period(period, (images.shape[-2], images.shape[-1]))
    gains = phase_means(interior(images, period), period).flatten(-2)
    return gains.var(dim=-1, correction=0).sum(), gains.square().mean(dim=-1).sum()


def phase_gain_ratio(variance_sum: float, mean_square_sum: float) -> float:
    """`dc_phase_variation` from its two sums."""
    return (variance_sum / mean_square_sum) ** 0.5 if mean_square_sum > 0 else 0.0


def energy_by_period(images: ImageArray, periods: tuple[int, ...] = (2, 4, 8)) -> dict[int, float]:
    """New energy at each period, in squared pixel units: `[N, C, H, W] -> {period: mean square}`.

    The pattern that repeats with period 8 contains those of period 4 and 2. What is *new* at a period is the variance
    of its phase means less that of the period before: the parts are orthogonal, so they add up to the variance of the
    phase means of the longest period. Each image's and channel's own interior is measured, then averaged.

    In a decoder of three x2 stages the last stage can only make period 2, the second 4 and the first 8.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; also periods that do not rise, or of which one does
            not divide the next.
    """
    if not periods or any(long % short or long <= short for short, long in pairwise(periods)):
        raise ValueError(f"periods must rise, each dividing the next (such as 2, 4, 8), got {periods}")
    values = as_images(images, min_size_px=1)
    for period in periods:
        check_period(period, (values.shape[-2], values.shape[-1]))
    pattern = phase_means(interior(values, periods[-1]), periods[-1])
    variances = [float(phase_means(pattern, period).flatten(-2).var(dim=-1, correction=0).mean()) for period in periods]
    return {
        period: max(0.0, variance - previous)
        for period, variance, previous in zip(periods, variances, [0.0, *variances[:-1]], strict=True)
    }


def nearest_residual(images: ImageArray, period: int) -> float:
    """Share of the energy that is left when each period x period block is replaced by its mean: in [0, 1].

    `sum (x - block mean)² / sum x²` over all images: 0 if and only if each image is a nearest-upsampled one (blocks
    aligned with the top left corner). The energy includes the mean, so that rounding errors on a constant image do not
    count as detail. For a response that repeats with the period it is `dc_phase_variation`². Zero images: 0.
    Above 1e-6 is a find in images that ought to be nearest-upsampled, from a quarter of a grey level of 255 on.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; the images must hold one whole block.
    """
    residual, total = nearest_residual_sums(as_images(images, min_size_px=1), period)
    return float(residual / total) if total > 0 else 0.0


def nearest_residual_sums(images: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """Energy within blocks and energy altogether, summed over the batch: the two parts of `nearest_residual`."""
    height, width = images.shape[-2:]
    check_period(period, (height, width))
    rows, columns = height // period, width // period
    blocks = images[..., : rows * period, : columns * period]
    blocks = blocks.unflatten(-1, (columns, period)).unflatten(-3, (rows, period))
    block_means = blocks.mean(dim=(-3, -1), keepdim=True)
    return (blocks - block_means).square().sum(), blocks.square().sum()
