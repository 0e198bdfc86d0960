"""Which site makes the pattern: measured where it is made and where it arrives, and confirmed by taking it away.

A site is cured alone, in flight, and the model runs again: what is then gone from the output was the site's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv.geometry import Pair
from upsample_lab.doctor.calls import Inputs, run_watched
from upsample_lab.doctor.kernels import balanced, balanced_shuffle
from upsample_lab.doctor.measure import (
    FEWEST_REPEATS,
    FlatField,
    Strength,
    as_batch,
    flat_field,
    overlap,
    period_of,
    repetition,
)
from upsample_lab.doctor.outputs import chosen_output, tensors
from upsample_lab.doctor.sites import Site, SiteList
from upsample_lab.doctor.watcher import SiteCall
from upsample_lab.metrics.levels import period_average
from upsample_lab.passport.progress import Report, ignore
from upsample_lab.settings import ConfigError

BALANCED, SMOOTHED = "balanced", "smoothed"


class Reach(NamedTuple):
    """The lines of a call at some later place: its period there, and that of what comes after it, which is not its."""

    period: Pair
    coarse: Pair
    every: Pair  # after which all patterns there repeat


@dataclass(frozen=True)
class Attribution:
    """What one site does to the pattern, strongest first in a ranking.

    reaches     the lines that it can make at the model's output, of each call; empty where the output cannot show them
    own         at its own output, strongest call; None where that is too small to tell
    flat        its response to its own mean activations
    arrives     all that is at the model's output at its lines; `remains`, the same with the site cured
    adds        the site's part of that, which is ranked; None where the output cannot show it
    cure_adds   the strongest pattern that curing it alone adds, at any site's lines: other layers undo what it makes,
                and are left without it; its period and its strength
    cure        balanced: the nearest kernel with equal phases in its place; smoothed: its output averaged over a period
    depends     whether the model's output depends on it at all
    """

    site: Site
    reaches: tuple[Reach, ...]
    own: Strength | None
    flat: FlatField | None
    arrives: Strength | None = None
    remains: Strength | None = None
    adds: Strength | None = None
    cure_adds: tuple[Pair, Strength] | None = None
    cure: str = ""
    depends: bool = True

    @property
    def periods(self) -> str:
        """`4`, or `4 and 2` of a layer that is used twice; `4x2` where the axes differ."""
        each = dict.fromkeys(str(h) if h == w else f"{h}x{w}" for h, w in (reach.period for reach in self.reaches))
        return " and ".join(each)

    @property
    def share(self) -> float | None:
        """Of the amplitude that arrives, what goes with the site, 0 to 1; None where nothing arrives."""
        if self.arrives is None or self.remains is None or self.arrives.rms == 0:
            return None
        return min(1.0, max(0.0, 1 - self.remains.rms / self.arrives.rms))


@dataclass(frozen=True)
class Step:
    """The patterns at one place of the chain: amplitude by the period that they will have at the model's output,
    relative to the deviation of what passes here."""

    where: str
    relative: dict[Pair, float]


@dataclass(frozen=True, eq=False)
class Measured:
    """All that is measured of a model.

    order     its sites, in the order of their first calls; `ranking`, the strongest first
    together  the effect of curing them all at once
    cured     the first image of the output with a site cured, by its path; `healed`, with all of them
    """

    order: tuple[Site, ...]
    ranking: tuple[Attribution, ...]
    together: Effect | None
    chain: tuple[Step, ...]
    output_name: str
    output: Tensor
    cured: dict[str, Tensor]
    healed: Tensor
    notes: tuple[str, ...]


def measure(model: nn.Module, inputs: Inputs, report: Report = ignore) -> Measured:
    """Find the sites, measure each in place, and cure each alone. Raises ConfigError for what cannot be diagnosed."""
    report(0.0, "looking for sites")
    notes: list[str] = []
    sites, calls = SiteList(model), _Reaches()

    def note(call: SiteCall) -> None:
        sites.add(call)
        calls.add(call)

    result = run_watched(model, inputs, note, notes)
    found = sites.found
    if not found:
        raise ConfigError(_nothing(model, notes))
    name, output = chosen_output(result)
    size = (output.shape[-2], output.shape[-1])
    measured = _InPlace(size)
    passes = 3 + sum(site.measured for site in found)
    report(1 / passes, "measuring each site")
    again = chosen_output(run_watched(model, inputs, measured.visit))[1]
    if not output.isfinite().all():
        raise ConfigError(_not_finite(inputs, measured.first_not_finite))
    if not torch.equal(output, again):
        notes.append("Two runs on the same input differ, also with the same random numbers: figures carry that noise.")
    del again
    rows, cured = [], {}
    for index, site in enumerate(found):
        row = Attribution(site, calls.at(size, site.path), measured.own.get(site.path), measured.flat.get(site.path))
        if site.measured:
            report((2 + index) / passes, f"without {site.path or 'the model itself'}")
            row, cured[site.path] = _without(model, inputs, row, result, output, calls.at(size))
        rows.append(row)
    ranking = tuple(sorted(rows, key=lambda row: -row.adds.rms if row.adds else 0.0))
    report(1 - 1 / passes, "without any of them")
    healed = chosen_output(run_watched(model, inputs, _cured))[1]
    together = effect_of(output, healed, calls.at(size))
    chain = (*measured.steps, Step("output", calls.relative(output, size)[0]))
    return Measured(found, ranking, together, chain, name, output, cured, healed[0], tuple(notes))


def _without(
    model: nn.Module, inputs: Inputs, row: Attribution, result: Any, output: Tensor, everywhere: tuple[Reach, ...]
) -> tuple[Attribution, Tensor]:
    """One site cured, and what is left of its pattern; the first image so."""
    cures = set()

    def cure(call: SiteCall) -> Tensor | None:
        if call.path != row.site.path:
            return None
        changed, how = cured_output(call)
        cures.add(how)
        return changed

    other = run_watched(model, inputs, cure)
    depends = not _same(result, other) or not _same(result, run_watched(model, inputs, _disturb(row.site.path)))
    changed = chosen_output(other)[1]
    row = replace(row, cure=SMOOTHED if SMOOTHED in cures else BALANCED, depends=depends)
    return (_judged(row, output, changed, everywhere) if depends else row), changed[0].clone()


def _judged(row: Attribution, output: Tensor, cured: Tensor, everywhere: tuple[Reach, ...]) -> Attribution:
    """What the site does to the output, from the output with and without its pattern."""
    effect = effect_of(output, cured, row.reaches)
    if effect is None:
        return row
    added = [(reach.period, one.added) for reach in everywhere if (one := effect_of(output, cured, (reach,)))]
    return replace(
        row,
        arrives=effect.before,
        remains=effect.after,
        adds=effect.removed,
        cure_adds=max(added, key=lambda pair: pair[1].rms, default=None),
    )


@dataclass(frozen=True)
class Effect:
    """What a cure does to the pattern at some lines: before and after, what it takes away, and what it adds."""

    before: Strength
    after: Strength
    removed: Strength
    added: Strength


def effect_of(output: Tensor, cured: Tensor, reaches: tuple[Reach, ...]) -> Effect | None:
    """The effect of a cure on an output; None where that is too small for all of the lines.

    Content hides a pattern; in the difference of the two outputs there is less of it. So the pattern of the difference
    is taken, and how much of it the output holds: all, where the cure takes it away, and nothing, where it adds it.
    """
    difference = output - cured
    before, after, differs = (total(images, reaches) for images in (output, cured, difference))
    if before is None or after is None or differs is None:
        return None
    whole, held = (
        sum(part for reach in reaches if (part := overlap(images, difference, *reach)) is not None)
        for images in (difference, output)
    )
    share = min(1.0, max(0.0, held / whole)) if whole > 0 else 0.5
    return Effect(
        before=before.at_least(share * differs.rms),
        after=after.at_least((1 - share) * differs.rms),
        removed=differs.of(max(0.0, 2 * share - 1) * differs.rms),
        added=differs.of(max(0.0, 1 - 2 * share) * differs.rms),
    )


def cured_output(call: SiteCall) -> tuple[Tensor, str]:
    """The call's output without a pattern of its own, and how: with the nearest kernel whose phases gain equally, or,
    where no kernel decides, averaged over one period, which blurs too."""
    kernel = call.kernel
    try:
        if kernel is not None and kernel.form == "deconv":
            stride = (int(call.scale[0]), int(call.scale[1]))
            dilation = (kernel.dilation[0], kernel.dilation[1])
            return kernel.run(balanced(kernel.weight, stride, dilation), kernel.bias), BALANCED
        if kernel is not None:
            return kernel.run(*balanced_shuffle(kernel.weight, kernel.bias, int(call.scale[0]))), BALANCED
    except ValueError:  # a kernel shorter than its stride, which nothing balances
        pass
    images = as_batch(call.output)
    for axis, scale in zip((-2, -1), call.scale, strict=True):
        period = period_of(scale)
        half = (period + 1) // 2
        if 1 < period <= images.shape[axis]:
            padding = (half, half, 0, 0) if axis == -1 else (0, 0, half, half)
            images = period_average(F.pad(images, padding, mode="replicate"), period, axis)
    return images.reshape(call.output.shape), SMOOTHED


def _cured(call: SiteCall) -> Tensor | None:
    """A visit that cures every site of images."""
    return cured_output(call)[0] if len(call.scale) == 2 else None


def _disturb(path: str) -> Any:
    """A visit that changes a site's output a little: what an output that stays the same does not depend on."""

    def visit(call: SiteCall) -> Tensor | None:
        return 1.01 * call.output + 0.01 * call.output.std() + 1e-3 if call.path == path else None

    return visit


def _same(one: Any, other: Any) -> bool:
    before, after = dict(tensors(one)), dict(tensors(other))
    return before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def total(images: Tensor, reaches: tuple[Reach, ...]) -> Strength | None:
    """The pattern of several calls together; None where the images are too small for all of them."""
    parts = [part for reach in reaches if (part := repetition(images, *reach)) is not None]
    return sum(parts[1:], parts[0]) if parts else None


# ----------------------------------------------------------------------------------------------------------------------
# In place


@dataclass
class _Reaches:
    """Which lines each call so far can make in an image of some size that comes later."""

    calls: list[tuple[str, tuple[float, ...], tuple[int, ...]]] = field(default_factory=list)

    def add(self, call: SiteCall) -> None:
        if len(call.scale) == 2:
            self.calls.append((call.path, call.scale, call.out_size))

    def at(self, size: Pair, path: str | None = None) -> tuple[Reach, ...]:
        """Of all calls, or of those of one site, each once."""
        own = [reach for name, reach in self.each(size) if path in (None, name)]
        return tuple(dict.fromkeys(reach for reach in own if reach.period != reach.coarse))

    def relative(self, images: Tensor, final: Pair) -> tuple[dict[Pair, float], Strength | None]:
        """The amplitude of each pattern so far over the images' deviation, by its period in an output of that size;
        and the last call's pattern itself."""
        deviation = float(images.float().std(dim=(-2, -1)).square().mean()) ** 0.5
        found: dict[Pair, float] = {}
        strength = None
        size = (images.shape[-2], images.shape[-1])
        for (_, here), (_, there) in zip(self.each(size), self.each(final), strict=True):
            strength = repetition(images, *here)
            if there.period != there.coarse and strength is not None:
                found[there.period] = strength.rms / deviation if deviation > 0 else 0.0
        return found, strength

    def each(self, size: Pair) -> list[tuple[str, Reach]]:
        """Every call's site and its lines in an image of that size."""
        lines = [_lines(scale, out, size) for _, scale, out in self.calls]
        every = [_common([own[0][axis] for own in lines], size[axis] // FEWEST_REPEATS) for axis in (0, 1)]
        reaches = []
        for period, coarse in lines:
            height, width = (all if all % own == 0 else own for all, own in zip(every, period, strict=True))
            reaches.append(Reach(period, coarse, (height, width)))
        return [(name, reach) for (name, _, _), reach in zip(self.calls, reaches, strict=True)]


def _common(periods: list[int], most: int) -> int:
    """The least common multiple of those that fit."""
    found = 1
    for period in sorted(periods):
        if math.lcm(found, period) <= most:
            found = math.lcm(found, period)
    return found


def _lines(scale: tuple[float, ...], out_size: tuple[int, ...], size: Pair) -> tuple[Pair, Pair]:
    """Period, and that of what comes after it, of a call whose output had `out_size`, in an image made of it."""
    axes = []
    for own, before, after in zip((period_of(s) for s in scale), out_size, size, strict=True):
        later = max(1, round(after / before))
        axes.append((own * later, later) if 4 * after >= 3 * before else (max(1, round(own * after / before)), 1))
    (height, rows), (width, columns) = axes
    return (height, width), (rows, columns)


@dataclass
class _InPlace:
    """Measures each call as it happens, and keeps nothing of its images."""

    final: Pair
    so_far: _Reaches = field(default_factory=_Reaches)
    own: dict[str, Strength] = field(default_factory=dict)
    flat: dict[str, FlatField] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    first_not_finite: str = ""

    def visit(self, call: SiteCall) -> None:
        if not self.first_not_finite and not call.output.isfinite().all():
            self.first_not_finite = call.path or "the model itself"
        if len(call.scale) != 2 or self.first_not_finite:
            return
        images = as_batch(call.output)
        self.so_far.add(call)
        found, own = self.so_far.relative(images, self.final)
        self.steps.append(Step(call.path, found))
        if own is not None and (call.path not in self.own or own.over_db > self.own[call.path].over_db):
            self.own[call.path] = own
        flat = flat_field(call)
        if flat is not None and (call.path not in self.flat or flat.variation > self.flat[call.path].variation):
            self.flat[call.path] = flat


def _nothing(model: nn.Module, notes: list[str]) -> str:
    unused = [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.ConvTranspose2d | nn.Upsample | nn.PixelShuffle | nn.MaxUnpool2d)
    ]
    reason = f"; {', '.join(unused)} is there, and no forward calls it" if unused else ""
    return " ".join([f"no site: {type(model).__name__} enlarges no image in a way that is known{reason}.", *notes])


def _not_finite(inputs: Inputs, first: str) -> str:
    if not all(t.isfinite().all() for _, t in tensors(inputs) if t.is_floating_point()):
        return "inputs: not all numbers are finite"
    where = f", first at {first}" if first else ", after the last site"
    return f"the model's output is not finite (NaN or infinity){where}: give it trained weights, or inputs in its range"
