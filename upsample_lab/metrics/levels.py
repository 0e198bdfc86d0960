"""The pattern that repeats with the phase, as an amplitude in grey levels: what a person would see of it.

A relative figure divides by the mean of the image, so on near-black it is large where nothing is seen. Here a level is
1/255 of the range from 0 to 1, and the figures of any two images, sets and models can be compared.

Smooth shading is no pattern, but it leaks into the phases: along a ramp each phase lies a little higher than the one
before. So a moving average one period long is subtracted first. A pattern of that period has a constant average, and
passes unchanged; a ramp, even a parabola but for a constant, is its own average, and vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from upsample_lab.metrics._images import ImageArray, as_images, check_period, working_dtype
from upsample_lab.metrics._sums import Sums
from upsample_lab.metrics.phases import phase_means

LEVELS = 255.0
"""Grey levels between 0 and 1."""

FLAT_RANGE_LEVELS = 2.0
"""A window is flat where its target's largest and smallest value differ by less, in each channel."""

WINDOW_PX = 8
"""Least side of a flat window; it holds whole periods, at least two."""

WORST_WINDOWS = 4
"""How many of the windows with the strongest pattern are kept as pictures."""


@dataclass(frozen=True)
class Pattern:
    """A pattern's amplitude, in levels. The root mean square and the peak to peak are those of the phase means."""

    rms_levels: float
    p2p_levels: float
    by_period: dict[int, float]
    """The root mean square of what is new at each period (`energy_by_period`): the squares add up to the whole's."""

    def figures(self, name: str = "") -> dict[str, float]:
        """`{name}pattern_rms_levels`, `{name}pattern_p2p_levels`, and `{name}p2_rms_levels` … of each period."""
        return {
            f"{name}pattern_rms_levels": self.rms_levels,
            f"{name}pattern_p2p_levels": self.p2p_levels,
            **{f"{name}p{period}_rms_levels": rms for period, rms in self.by_period.items()},
        }


def periods_of(period: int) -> tuple[int, ...]:
    """The periods that stages can make of a decoder with that total scale, the longest last: 8 has 2, 4 and 8."""
    step = next(factor for factor in range(2, period + 1) if period % factor == 0)
    found = [period]
    while found[0] % step == 0 and found[0] > step:
        found.insert(0, found[0] // step)
    return tuple(found)


def without_shading(images: Tensor, period: int) -> Tensor:
    """Less the moving average of one period, `[N, C, H, W] -> [N, C, H - 2h, W - 2h]` with h = ⌈period / 2⌉ pixels.

    The average's weights are 1/period, and half of it at both ends of an even period, so that it lies on the pixel.
    """
    half = (period + 1) // 2
    weights = torch.full((2 * half + 1,), 1 / period, dtype=images.dtype, device=images.device)
    if period % 2:
        weights[0] = weights[-1] = 0  # an odd period has a pixel in its middle
    else:
        weights[0] = weights[-1] = 0.5 / period
    channels = images.shape[1]
    kernel = weights.expand(channels, 1, -1)
    average = F.conv2d(images, kernel[..., None], groups=channels)
    average = F.conv2d(average, kernel[..., None, :], groups=channels)
    return images[..., half:-half, half:-half] - average


def pattern_levels(images: ImageArray, period: int) -> Pattern:
    """The pattern of images that ought to be flat, `[N, C, H, W]` in 0…1: each image's and channel's own, in levels.

    Measured over the interior, the central half of each axis, where the image is large enough. Root mean square over
    phases, channels and images; peak to peak, the largest of any image and channel.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; images below two periods.
    """
    values = as_images(images, min_size_px=1)
    height, width = values.shape[-2:]
    check_period(period, (height, width), repeats=2)
    for axis in (-2, -1):
        size = values.shape[axis]
        margin = max(0, min(size // 4 - (period + 1) // 2, (size - 2 * period) // 2)) // period * period
        values = values.narrow(axis, margin, size - 2 * margin)
    means = phase_means(without_shading(values, period), period)
    return _of_means(means, period, _shares(means, period))


def set_pattern_levels(means: Tensor, period: int) -> Pattern:
    """The pattern of which the phase means `[C, period, period]` are known, such as that of a whole set's residual."""
    return _of_means(means, period, _shares(means, period))


def _of_means(means: Tensor, period: int, energies: Sequence[float]) -> Pattern:
    span = means.amax(dim=(-2, -1)) - means.amin(dim=(-2, -1))
    return _pattern(sum(energies), float(span.max()), dict(zip(periods_of(period), energies, strict=True)))


def _pattern(energy: float, span: float, by_period: dict[int, float]) -> Pattern:
    return Pattern(
        LEVELS * max(0.0, energy) ** 0.5,
        LEVELS * span,
        {period: LEVELS * max(0.0, part) ** 0.5 for period, part in by_period.items()},
    )


def _shares(means: Tensor, period: int) -> list[float]:
    """The mean square of what is new at each period, of phase means `[…, period, period]`."""
    return [float(part.mean()) for part in _new_energies(means, period)]


def _new_energies(means: Tensor, period: int) -> list[Tensor]:
    """`[…, period, period] -> [periods] x […]`: the variance of the phase means that each period adds."""
    variances = [phase_means(means, short).flatten(-2).var(dim=-1, correction=0) for short in periods_of(period)]
    return [variances[0], *(later - before for before, later in pairwise(variances))]


# ----------------------------------------------------------------------------------------------------------------------
# Flat areas of real images


class FlatWindows:
    """Accumulates the pattern of `output - target` over the flat windows of a set, in float64 sums and without a
    device-to-host copy.

    A window has `side` pixels each way, whole periods and at least two, lies on the grid of the phases, half a window
    from the next; it counts where the target, half a period around it too, varies by less than two levels in every
    channel. Its phase means' variance holds the pattern, and the noise within the window over the number of periods:
    that part is known from the variance within the phases (one-way analysis of variance) and is taken off, so pixels
    without a pattern give zero on average. Sums are clipped at the end only. The sign of the pattern may differ from
    window to window: energies are added, not amplitudes.

    Args:
        period: period in pixels; a decoder's total scale is the one that misses nothing.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.side = period * max(2, -(-WINDOW_PX // period))
        self._half = (period + 1) // 2
        self._sums = Sums()
        self._span: Tensor | None = None
        self._noise: Tensor | None = None
        self._worst: dict[str, Tensor] = {}
        self._images = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch, `[N, C, H, W]` in 0…1; images too small for a window add nothing."""
        half, side, period = self._half, self.side, self.period
        step = max(1, side // 2 // period) * period
        first = -(-half // period) * period  # the average needs half a period around a window, and phases are kept
        reach = side + 2 * half
        within = (..., slice(first - half, None), slice(first - half, None))
        begin, self._images = self._images, self._images + len(target)
        if min(target[within].shape[-2:]) < reach:
            return
        flat = _is_flat(target[within], reach, step)  # [N, h, w]
        residual = without_shading(output[within].to(working_dtype(output.device)) - target[within], period)
        windows = residual.unfold(-2, side, step).unfold(-2, side, step)  # [N, C, h, w, side, side]
        energies, within_phases = _window_energies(windows, period)
        if self._noise is None:
            self._noise = _noise_share(side, period, residual)
        clean = (energies - within_phases[..., None] * self._noise).mean(dim=1)  # [N, h, w, periods]
        means = phase_means(windows, period)
        span = (means.amax(dim=(-2, -1)) - means.amin(dim=(-2, -1))).amax(dim=1)  # [N, h, w]
        self._sums.add(energies=(clean * flat[..., None]).sum(dim=(0, 1, 2)), count=flat.sum())
        largest = torch.where(flat, span, 0).max()
        self._span = largest if self._span is None else torch.maximum(self._span, largest)
        self._keep_worst(torch.where(flat, energies.sum(dim=-1).mean(dim=1), -1), output, target, (begin, first, step))

    def _keep_worst(self, energy: Tensor, output: Tensor, target: Tensor, grid: tuple[int, int, int]) -> None:
        """Of each image the strongest window, `[N, h, w]` energies; of equal ones the first, so that batches decide
        nothing."""
        begin, first, step = grid
        strongest, place = energy.flatten(1).max(dim=1)
        count = min(WORST_WINDOWS, len(strongest))
        strongest, image = (part[:count] for part in strongest.sort(descending=True, stable=True))
        place = place[image]
        top, left = first + place // energy.shape[-1] * step, first + place % energy.shape[-1] * step
        offsets = torch.arange(self.side, device=energy.device)
        channels = torch.arange(target.shape[1], device=energy.device)[None, :, None, None]
        rows, columns = (top[:, None] + offsets)[:, None, :, None], (left[:, None] + offsets)[:, None, None, :]
        pixels = (image[:, None, None, None], channels, rows, columns)
        found = {
            "energy": strongest,
            "target": target[pixels],
            "output": output[pixels],
            "place": torch.stack([image + begin, top, left], dim=1),
        }
        if self._worst:
            found = {name: torch.cat([self._worst[name], part]) for name, part in found.items()}
        order = found["energy"].sort(descending=True, stable=True).indices[:WORST_WINDOWS]
        self._worst = {name: part[order] for name, part in found.items()}

    @property
    def count(self) -> int:
        """How many windows were flat."""
        return 0 if self._span is None else int(self._sums.read()["count"])

    def compute(self) -> Pattern | None:
        """The figures over all windows so far, peak to peak the largest of any; None where there was no flat one.

        Raises:
            ValueError: outputs were not finite.
        """
        if self._span is None or (count := self.count) == 0:
            return None
        energies = [float(value) / count for value in self._sums.read()["energies"]]
        named = dict(zip(periods_of(self.period), energies, strict=True))
        return _pattern(sum(energies), float(self._span), named)

    def worst(self) -> dict[str, Tensor]:
        """The worst windows, one of an image, on the CPU: `target` and `output` `[K, C, side, side]`, `place` (image,
        top, left) `[K, 3]` and their pattern's `rms_levels` `[K]`; empty where there was no flat one."""
        if not self._worst or not bool((found := self._worst["energy"] >= 0).any()):
            return {}
        kept = {name: part[found].cpu() for name, part in self._worst.items()}
        return {
            "target": kept["target"].float().contiguous(),
            "output": kept["output"].float().contiguous(),
            "place": kept["place"],
            "rms_levels": (LEVELS * kept["energy"].sqrt()).float(),
        }


def _window_energies(residual: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """New energy of each period `[…, periods]` of windows `[…, h, w]`, and the variance within their phases `[…]`."""
    energies = torch.stack(_new_energies(phase_means(residual, period), period), dim=-1)
    return energies, (residual.var(dim=(-2, -1), correction=0) - energies.sum(dim=-1)).clamp_min(0)


def _noise_share(side: int, period: int, like: Tensor) -> Tensor:
    """What white noise puts into each period's energy, as a share of what it puts into the variance within phases.

    Exact: both are quadratic forms of the pixels, so their expectations are sums over the pixels, one of which is 1.
    Beyond a period of 16, where those are many, the subtracted average is neglected.
    """
    if period > 16:
        periods = torch.tensor([1, *periods_of(period)], dtype=like.dtype, device=like.device)
        return (periods[1:] ** 2 - periods[:-1] ** 2) / (side**2 - period**2)
    reach = side + 2 * ((period + 1) // 2)
    pixels = torch.eye(reach**2, dtype=like.dtype, device=like.device).view(-1, 1, reach, reach)
    energies, within = _window_energies(without_shading(pixels, period), period)
    return energies.sum(dim=(0, 1)) / within.sum()


def _is_flat(target: Tensor, side: int, step: int) -> Tensor:
    """Whether each window of that side varies by less than two levels in every channel: `[N, C, H, W] -> [N, h, w]`.

    A thousandth of a level is left for the rounding of float32: in 8-bit images two levels are not less than two.
    """
    highest, lowest = F.max_pool2d(target.float(), side, step), -F.max_pool2d(-target.float(), side, step)
    return ((highest - lowest) < (FLAT_RANGE_LEVELS - 1e-3) / LEVELS).all(dim=1)
