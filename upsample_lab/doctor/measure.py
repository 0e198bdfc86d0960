"""How strong a pattern repeats in images that have content of their own, and what a site makes of a flat area.

A site of scale s repeats itself every s pixels of its own output, and nothing before it can: what is new at that period
is its pattern. In the frequency plane those are the lines at multiples of 1/s. Content has power there too, so what its
neighbourhood has is taken off. Windows of a few periods are measured one by one, so the pattern may change its sign
from place to place, as it does where it follows the content.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from upsample_lab.conv.geometry import Pair
from upsample_lab.doctor.watcher import SiteCall
from upsample_lab.metrics.phases import interior, phase_means
from upsample_lab.passport.record import decibels

REPEATS = 8
"""Periods in a window: its lines lie eight bins apart."""

FEWEST_REPEATS = 4
"""Below, a Hann window (whose lines are three bins wide) leaves no bin between two lines for the neighbourhood."""

_NEAREST = 2  # bins from a line to its neighbourhood: a Hann window's transform is zero there
_NEIGHBOURS = 3  # the nearest bins that are taken on either side

_FLOOR_SHARE = 1e-12  # of the mean square: -120 dB, above the rounding of float32
_MOST_NUMBERS = 1 << 21  # of feature maps that are measured; of larger ones evenly spaced channels are
_ENOUGH_PLANES = 64  # of which windows need not overlap
_CHUNK = 1 << 18  # numbers that are measured at once: their windows and spectra take some 20 times as many bytes


@dataclass(frozen=True)
class Strength:
    """Power of the lines of a pattern, as a mean square in the image's units, and that of their neighbourhood."""

    lines: float
    floor: float

    @property
    def rms(self) -> float:
        """Amplitude of the pattern without what its neighbourhood has, root mean square, in the image's units."""
        return math.sqrt(max(0.0, self.lines - self.floor))

    @property
    def over_db(self) -> float:
        """The lines over their neighbourhood, in dB: about 0 where there is no pattern."""
        return decibels(self.lines, self.floor) if self.lines > 0 else 0.0

    def of(self, rms: float) -> Strength:
        """A pattern of that amplitude in the same neighbourhood."""
        return Strength(self.floor + rms**2, self.floor)

    def at_least(self, rms: float) -> Strength:
        """The same, or one of that amplitude where it is stronger."""
        return self if self.rms >= rms else self.of(rms)

    def __add__(self, other: Strength) -> Strength:
        return Strength(self.lines + other.lines, self.floor + other.floor)


@dataclass(frozen=True)
class FlatField:
    """What a site makes of a flat area, with each channel at the mean of its real activations.

    variation   spread of the phases in the interior over the root mean square, relative: 0 where all are equal
    border      root mean square deviation of the outermost input pixel's width from the interior's pattern, relative;
                None where the image is too small to have an interior
    """

    variation: float
    border: float | None


def period_of(scale: float) -> int:
    """Pixels after which a site of that scale meets its input in the same way again: 3/2 does after 3."""
    exact = Fraction(scale).limit_denominator(64)
    return exact.numerator if exact.denominator <= 3 else round(scale)


def repetition(images: Tensor, period: Pair, coarse: Pair = (1, 1), every: Pair | None = None) -> Strength | None:
    """The pattern that is new at `period`, less what repeats with `coarse` already: `[N, C, H, W]`, mean over N and C.

    Windows hold `REPEATS` periods, in images of few periods `FEWEST_REPEATS`, and overlap by half where planes are few;
    a border of one period is left out where there is room. A window also holds `FEWEST_REPEATS` periods of the other
    patterns, so that their lines lie apart from this one's and from its neighbourhood. That is the louder one of the
    bins before and after a line along each axis: the spectrum of edges, which lies on the axes, is not taken for lines.
    The estimate is conservative for steep spectra: with no pattern, `rms` is 0.

    Args:
        period: pixels per axis (vertical, horizontal); 1 where nothing repeats along an axis.
        coarse: a divisor of it per axis, the period of what comes later and has figures of its own.
        every: a multiple of it per axis, after which all other patterns of the images repeat; None for no others.

    Returns None where the image holds fewer than `FEWEST_REPEATS` periods, or nothing could repeat.
    """
    every = every or period
    planes = None if period == coarse else _cross_power(images, images, period, every)
    if planes is None:
        return None
    power, squares = planes
    new = _new_lines((power.shape[0], power.shape[1]), period, coarse).to(power.device)
    floor = torch.maximum(*_neighbourhoods(power, period, every))[new] + _FLOOR_SHARE * squares
    return Strength(float(power[new].sum()), float(floor.sum()))


def overlap(
    images: Tensor, pattern: Tensor, period: Pair, coarse: Pair = (1, 1), every: Pair | None = None
) -> float | None:
    """How much of a pattern images hold: the mean product of both at the lines that are new at `period`, less that of
    their neighbourhood, so that content which both have does not count. Arguments and None as `repetition`'s.

    Over the pattern's overlap with itself it is 1 where the images hold it whole, 0 where they hold nothing of it.
    """
    every = every or period
    planes = None if period == coarse else _cross_power(images, pattern, period, every)
    if planes is None:
        return None
    product, _ = planes
    new = _new_lines((product.shape[0], product.shape[1]), period, coarse).to(product.device)
    return float((product - torch.stack(_neighbourhoods(product, period, every)).mean(dim=0))[new].sum())


def _cross_power(one: Tensor, other: Tensor, period: Pair, every: Pair) -> tuple[Tensor, float] | None:
    """Real part of the mean product of two images' windowed spectra, `[rows, columns]`, and the first one's mean
    square; None where there are too few periods."""
    height, width = one.shape[-2:]
    sides = [_side(size, own, all, max(period)) for size, own, all in _zip((height, width), period, every)]
    if max(period) == 1 or None in sides:
        return None
    rows, columns = (int(side) for side in sides if side is not None)
    margins = [
        own if size - 2 * own >= side else 0 for size, own, side in _zip((height, width), period, (rows, columns))
    ]
    planes = [_some(images.detach()).flatten(0, -3) for images in ((one,) if other is one else (one, other))]
    steps = [
        side if len(planes[0]) >= _ENOUGH_PLANES else max(own, side // 2 // own * own)
        for own, side in zip(period, (rows, columns), strict=True)
    ]
    window = _hann(rows, one)[:, None] * _hann(columns, one)
    product, squares, count = torch.zeros(rows, columns, dtype=torch.float64, device=one.device), 0.0, 0
    for parts in zip(*(plane.split(max(1, _CHUNK // (height * width))) for plane in planes), strict=True):
        spectra = []
        for part in parts:
            inside = part[:, margins[0] : height - margins[0], margins[1] : width - margins[1]].to(torch.float32)
            cut = inside.unfold(-2, rows, steps[0]).unfold(-2, columns, steps[1]).flatten(0, 2)
            squares += float(cut.square().mean(dim=(-2, -1)).sum()) if part is parts[0] else 0.0
            spectra.append(torch.fft.rfft2((cut - (cut * window).sum(dim=(-2, -1), keepdim=True)) * window))
        product += _whole_plane((spectra[0] * spectra[-1].conj()).real.sum(dim=0).double(), columns)
        count += len(spectra[0])
    return product / count, squares / count


def _zip(*pairs: Pair) -> zip[tuple[int, int, int]]:
    return zip(*pairs, strict=True)


def _side(size: int, own: int, every: int, longest: int) -> int | None:
    """Side of a window along an axis: whole periods, or None where there are too few."""
    if max(own, every) == 1:
        return min(size, REPEATS * longest) if size > 2 * _NEAREST else None
    unit = every if size >= FEWEST_REPEATS * every else own
    if size < FEWEST_REPEATS * unit:
        return None
    wanted = max(REPEATS * own, FEWEST_REPEATS * unit)
    return max(FEWEST_REPEATS, min(wanted, size) // unit) * unit


def _some(images: Tensor) -> Tensor:
    """Evenly spaced channels of feature maps that are larger than `_MOST_NUMBERS`."""
    channels = images.shape[1]
    keep = max(1, min(channels, _MOST_NUMBERS * channels // images.numel()))
    return images if keep == channels else images[:, torch.linspace(0, channels - 1, keep).round().long()]


def _hann(side: int, like: Tensor) -> Tensor:
    """A Hann window of sum 1, so that a line's power is its mean square."""
    position = torch.arange(side, dtype=torch.float32, device=like.device)
    return (1 - torch.cos(2 * math.pi * position / side)) / side


def _whole_plane(half: Tensor, columns: int) -> Tensor:
    """The power of all bins from that of `rfft2`'s: of real images, power(-u, -v) = power(u, v)."""
    mirrored = half[:, 1 : (columns + 1) // 2].flip(0, 1).roll(1, dims=0)
    return torch.cat([half, mirrored], dim=1)


def _new_lines(sides: Pair, period: Pair, coarse: Pair) -> Tensor:
    """Which bins are multiples of 1/period, but not of 1/coarse, along both axes."""
    lines, old = [], []
    for side, own, before in _zip(sides, period, coarse):
        bins = torch.arange(side)
        apart = side // own if own > 1 else side
        lines.append(bins % apart == 0)
        old.append(bins % (apart * (own // before) if own > 1 else side) == 0)
    return (lines[0][:, None] & lines[1]) & ~(old[0][:, None] & old[1])


def _neighbourhoods(power: Tensor, period: Pair, every: Pair) -> tuple[Tensor, Tensor]:
    """Of each bin, the mean of those before and after it along either axis that are no line's of any pattern."""
    along = []
    for axis, (own, all) in enumerate(zip(period, every, strict=True)):
        side = power.shape[axis]
        apart = side // own if own > 1 else side
        lines = side // all if all > 1 and side % all == 0 and side // all >= FEWEST_REPEATS else apart
        near = range(_NEAREST, max(_NEAREST, apart - _NEAREST) + 1)
        offsets = [k for k in near if _NEAREST <= k % lines <= lines - _NEAREST][:_NEIGHBOURS]
        shifted = [power.roll(sign * k, dims=axis) for k in offsets for sign in (-1, 1)]
        along.append(torch.stack(shifted).mean(dim=0))
    return along[0], along[1]


# ----------------------------------------------------------------------------------------------------------------------
# A flat area


def flat_field(call: SiteCall) -> FlatField | None:
    """What a call makes of its own input's mean, image by image and channel by channel, in its own size.

    None where the operation has no phases, or cannot be done on another input.
    """
    period = (period_of(call.scale[0]), period_of(call.scale[1]))
    if max(period) == 1:
        return None
    source = call.input if call.source is None else call.source
    flat = source.mean(dim=call.spatial, keepdim=True).expand_as(source)
    response = call.again(flat if source.dim() == 6 else flat.contiguous())  # six axes are told by their strides
    response = _some(as_batch(response)).double()
    if min(size // own for size, own in zip(response.shape[-2:], period, strict=True)) < 1:
        return None
    middle = interior(response, period)
    means = phase_means(middle, period)
    variance = means.flatten(-2).var(dim=-1, correction=0).sum()
    square = float(means.square().flatten(-2).mean(dim=-1).sum())
    if square == 0:
        return FlatField(0.0, None)
    return FlatField(math.sqrt(float(variance) / square), _border(response, period, square))


def _border(response: Tensor, period: Pair, square: float) -> float | None:
    """How far the outermost periods are from the interior's pattern, relative."""
    (height, width), (rows, columns) = response.shape[-2:], period
    if height < 4 * rows or width < 4 * columns:
        return None
    whole = response[..., : height // rows * rows, : width // columns * columns]
    at = [size // 4 // own * own for size, own in zip(whole.shape[-2:], period, strict=True)]
    inside = whole[..., at[0] : at[0] + rows, at[1] : at[1] + columns]  # a whole period, on the grid of the phases
    deviation = whole - inside.repeat(1, 1, whole.shape[-2] // rows, whole.shape[-1] // columns)
    frame = torch.ones(whole.shape[-2:], dtype=torch.bool, device=whole.device)
    frame[rows:-rows, columns:-columns] = False
    return math.sqrt(float(deviation[..., frame].square().mean(dim=-1).sum()) / square)


def as_batch(images: Tensor) -> Tensor:
    """`[N, C, H, W]`, also of one image without the N."""
    return images if images.dim() == 4 else images[None]
