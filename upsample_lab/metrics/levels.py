"""The pattern that repeats with the phase, as an amplitude in grey levels: what a person would see of it.

A relative figure divides by the mean of the image, so on near-black it is large where nothing is seen. Here a level is
1/255 of the range from 0 to 1, and the figures of any two images, sets and models can be compared.

Smooth shading is no pattern, but it leaks into the phases: along a ramp each phase lies a little higher than the one
before. So a moving average one period long is subtracted first. A pattern of that period has a constant average, and
passes unchanged; a ramp, even a parabola but for a constant, is its own average, and vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from upsample_lab.metrics._images import ImageArray, as_images, check_period, working_dtype
from upsample_lab.metrics._sums import RunningSums
from upsample_lab.metrics.phases import phase_means

LEVELS = 255.0
"""Grey levels between 0 and 1."""

FLAT_RANGE_LEVELS = 2.0
"""A window is flat where its target's largest and smallest value differ by less, in each channel."""

WINDOW_PX = 8
"""Least side of a flat window; it holds whole periods, at least two. It is the side of JPEG's blocks, which are what is
flat in photographs; of 12 pixels there are twenty times fewer."""

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


def period_average(images: Tensor, period: int, axis: int) -> Tensor:
    """The moving average of one period along an axis of `[N, C, H, W]`, which loses h = ⌈period / 2⌉ pixels a side.

    Its weights are 1/period, and half of it at both ends of an even period, so that it lies on the pixel.
    """
    half = (period + 1) // 2
    weights = torch.full((2 * half + 1,), 1 / period, dtype=images.dtype, device=images.device)
    if period % 2:
        weights[0] = weights[-1] = 0  # an odd period has a pixel in its middle
    else:
        weights[0] = weights[-1] = 0.5 / period
    channels = images.shape[1]
    kernel = weights.expand(channels, 1, -1)
    return F.conv2d(images, kernel[..., None] if axis == -2 else kernel[..., None, :], groups=channels)


def without_shading(images: Tensor, period: int) -> Tensor:
    """Less the moving average of one period, `[N, C, H, W] -> [N, C, H - 2h, W - 2h]` with h = ⌈period / 2⌉ pixels."""
    half = (period + 1) // 2
    average = period_average(period_average(images, period, -2), period, -1)
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
    return set_pattern_levels(phase_means(without_shading(values, period), period), period)


def set_pattern_levels(means: Tensor, period: int) -> Pattern:
    """The pattern of which the phase means `[…, period, period]` are known, such as that of a whole set's residual."""
    span = means.amax(dim=(-2, -1)) - means.amin(dim=(-2, -1))
    return _pattern(_new_energies(means, period).flatten(0, -2).mean(dim=0), float(span.max()), period)


def _pattern(energies: Tensor, span: float, period: int) -> Pattern:
    """Of the mean square that is new at each period, `[periods]`; taking noise off may have left less than 0."""
    new = energies.tolist()
    by_period = {short: LEVELS * max(0.0, part) ** 0.5 for short, part in zip(periods_of(period), new, strict=True)}
    return Pattern(LEVELS * max(0.0, sum(new)) ** 0.5, LEVELS * span, by_period)


def _new_energies(means: Tensor, period: int) -> Tensor:
    """`[…, period, period] -> […, periods]`: the variance of the phase means that each period adds."""
    variances = [phase_means(means, short).flatten(-2).var(dim=-1, correction=0) for short in periods_of(period)]
    return torch.stack([variances[0], *(later - before for before, later in pairwise(variances))], dim=-1)


# ----------------------------------------------------------------------------------------------------------------------
# Flat areas of real images


class FlatWindows:
    """Accumulates the pattern of `output - target` over the flat windows of a set, in float64 sums and without a
    device-to-host copy.

    A window has `side` pixels each way, whole periods and at least two, lies on the grid of the phases, half a window
    from the next and one period from the border; it counts where the target varies by less than two levels in it, in
    every channel. Within it a plane and the phases are fitted together by least squares, so that shading is not taken
    for a pattern. White noise of variance `v` puts `v / side²` times the number of a period's phases into its energy;
    `v` is known from what the fit leaves (analysis of covariance with the phases as groups) and that part is taken off,
    so that pixels without a pattern give zero on average. Sums are clipped at the end only. The sign of the pattern may
    differ from window to window: energies are added, not amplitudes.

    Args:
        period: period in pixels; a decoder's total scale is the one that misses nothing.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.side = period * max(2, -(-WINDOW_PX // period))
        self._sums = RunningSums()
        self._span: Tensor | None = None
        self._worst: dict[str, Tensor] = {}
        self._images = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch, `[N, C, H, W]` in 0…1; images too small for a window add nothing."""
        period, side = self.period, self.side
        step = max(1, side // period // 2) * period
        images = torch.arange(self._images, self._images + len(target), device=target.device)
        self._images += len(target)
        height, width = (size // period * period - 2 * period for size in target.shape[-2:])
        if min(height, width) < side:
            return
        within = (..., slice(period, period + height), slice(period, period + width))
        flat = _is_flat(target[within], side, step)  # [N, h, w]
        if flat.device.type == "cpu":  # where it costs no wait: photographs with a flat window are few
            some = flat.flatten(1).any(dim=1)
            flat, images, output, target = flat[some], images[some], output[some], target[some]
            if not len(images):
                return
        residual = (output[within] - target[within]).to(working_dtype(output.device))
        pattern, noise = _fit_windows(
            residual, period, side // period, step // period
        )  # [N, C, h, w, p, p], [N, C, h, w]
        phases = torch.tensor([1, *(short**2 for short in periods_of(period))], device=noise.device)
        clean = _new_energies(pattern, period) - noise[..., None] * phases.diff()  # [N, C, h, w, periods]
        clean = clean.mean(dim=1)
        span = (pattern.amax(dim=(-2, -1)) - pattern.amin(dim=(-2, -1))).amax(dim=1)  # [N, h, w]
        self._sums.add(energies=(clean * flat[..., None]).sum(dim=(0, 1, 2)), count=flat.sum())
        largest = torch.where(flat, span, 0).max()
        self._span = largest if self._span is None else torch.maximum(self._span, largest)
        energy = torch.where(flat, clean.sum(dim=-1).clamp_min(0), -1)
        self._keep_worst(energy, output, target, images, step)

    def _keep_worst(self, energy: Tensor, output: Tensor, target: Tensor, images: Tensor, step: int) -> None:
        """Of each image the strongest window, `[N, h, w]` energies; of equal ones the first, so that batches decide
        nothing."""
        strongest, place = energy.flatten(1).max(dim=1)
        count = min(WORST_WINDOWS, len(strongest))
        strongest, image = (part[:count] for part in strongest.sort(descending=True, stable=True))
        place = place[image]
        top, left = (self.period + index * step for index in (place // energy.shape[-1], place % energy.shape[-1]))
        offsets, channels = (torch.arange(count, device=energy.device) for count in (self.side, target.shape[1]))
        rows, columns = (top[:, None] + offsets)[:, None, :, None], (left[:, None] + offsets)[:, None, None, :]
        pixels = (image[:, None, None, None], channels[None, :, None, None], rows, columns)
        found = {
            "energy": strongest,
            "target": target[pixels],
            "output": output[pixels],
            "place": torch.stack([images[image], top, left], dim=1),
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
        return _pattern(self._sums.read()["energies"] / count, float(self._span), self.period)

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


def _fit_windows(residual: Tensor, period: int, cells: int, step: int) -> tuple[Tensor, Tensor]:
    """Phases and a plane, fitted together to each window of `cells` x `cells` periods, `step` periods from the next.

    Pixels `[N, C, H, W]`, whole periods, to the phases' own means about the plane `[N, C, h, w, period, period]`, and
    what white noise as strong as what is left puts into the energy of each phase `[N, C, h, w]`.

    The plane's slopes can only be told from the phases by how the periods differ: they are the regression of the
    periods' means on their place.
    """
    rows, columns = (size // period for size in residual.shape[-2:])
    grid = residual.unflatten(-1, (columns, period)).unflatten(-3, (rows, period))  # [N, C, R, p, Q, p]
    means = _windowed(_windowed(grid, 2, cells, step), 4, cells, step).permute(0, 1, 2, 4, 3, 5)
    centre = means.mean(dim=(-2, -1), keepdim=True)
    of_period = grid.mean(dim=(3, 5))  # [N, C, R, Q]
    squares = _windowed(_windowed(grid.square().mean(dim=(3, 5)), 2, cells, step), 3, cells, step)

    place = torch.arange(cells, dtype=residual.dtype, device=residual.device) - (cells - 1) / 2
    spread = (cells**2 - 1) / 12  # mean of place²
    down = _windowed(_windowed(of_period, 3, cells, step), 2, cells, step, place) / spread  # [N, C, h, w], a period
    across = _windowed(_windowed(of_period, 2, cells, step), 3, cells, step, place) / spread

    within = (torch.arange(period, dtype=residual.dtype, device=residual.device) - (period - 1) / 2) / period
    plane = down[..., None, None] * within[:, None] + across[..., None, None] * within
    between = (means - centre).square().mean(dim=(-2, -1))
    left = squares - centre.square()[..., 0, 0] - between - (down.square() + across.square()) * spread
    pixels = (cells * period) ** 2
    variance = left.clamp_min(0) * pixels / (pixels - period**2 - 2)
    by_plane = 2 / ((cells**2 - 1) * period**2)  # the slopes are noisy too
    return means - centre - plane, variance / pixels * (1 + by_plane)


def _windowed(values: Tensor, dim: int, count: int, step: int, weights: Tensor | None = None) -> Tensor:
    """The mean of each `count` neighbours along an axis, `step` from the next, or their mean weighed."""
    length = (values.shape[dim] - count) // step * step + 1
    parts = []
    for offset in range(count):
        part = values.narrow(dim, offset, length)[(slice(None),) * dim + (slice(None, None, step),)]
        parts.append(part if weights is None else part * weights[offset])
    return sum(parts[1:], parts[0]) / count


def _is_flat(target: Tensor, side: int, step: int) -> Tensor:
    """Whether each window of that side varies by less than two levels in every channel: `[N, C, H, W] -> [N, h, w]`.

    A thousandth of a level is left for the rounding of float32: in 8-bit images two levels are not less than two.
    """
    highest, lowest = F.max_pool2d(target.float(), side, step), -F.max_pool2d(-target.float(), side, step)
    return ((highest - lowest) < (FLAT_RANGE_LEVELS - 1e-3) / LEVELS).all(dim=1)
