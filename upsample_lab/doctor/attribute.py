"""Which site makes the pattern: measured where it is made and where it arrives, and confirmed by taking it away.

A site is cured alone, in flight, and the model runs again: what is then gone from the output was the site's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv.geometry import Pair
from upsample_lab.doctor.calls import Inputs, SiteCall, run_watched
from upsample_lab.doctor.kernels import balanced, balanced_shuffle
from upsample_lab.doctor.measure import FlatField, Strength, as_batch, flat_field, period_of, repetition
from upsample_lab.doctor.outputs import chosen_output, crop, tensors
from upsample_lab.doctor.sites import Site, SiteList
from upsample_lab.metrics.levels import period_average
from upsample_lab.passport.progress import Report, ignore
from upsample_lab.settings import ConfigError

BALANCED, SMOOTHED = "balanced", "smoothed"


class Reach(NamedTuple):
    """The lines of a call at some later place: its period there, and that of what comes after it, which is not its."""

    period: Pair
    coarse: Pair


@dataclass(frozen=True)
class Attribution:
    """What one site does to the pattern, strongest first in a ranking.

    reaches     the lines that it can make at the model's output, of each call; empty where the output cannot show them
    own         at its own output, strongest call; None where that is too small to tell
    flat        its response to its own mean activations
    arrives     all that is at the model's output at its lines; `remains`, the same with the site cured
    adds        the site's part of that: the pattern of the difference that the cure makes, which has less of a
                neighbourhood than the images have. What is ranked
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
    cure: str = ""
    depends: bool = True

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
    """All that is measured of a model: its sites in order, and ranked. `cured` are its outputs with each site cured,
    cut to what is shown."""

    order: tuple[Site, ...]
    ranking: tuple[Attribution, ...]
    chain: tuple[Step, ...]
    output_name: str
    output: Tensor
    cured: dict[str, Tensor]
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
    passes = 2 + sum(site.measured for site in found)
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
            row, cured[site.path] = _without(model, inputs, row, result, output)
        rows.append(row)
    ranking = tuple(sorted(rows, key=lambda row: -row.adds.rms if row.adds else 0.0))
    chain = (*measured.steps, Step("output", calls.relative(output, size)))
    return Measured(found, ranking, chain, name, output, cured, tuple(notes))


def _without(
    model: nn.Module, inputs: Inputs, row: Attribution, result: Any, output: Tensor
) -> tuple[Attribution, Tensor]:
    """One site cured, and what is left of its pattern; the output so, cut to its middle."""
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
    cure_used = SMOOTHED if SMOOTHED in cures else BALANCED
    parts = [total(images, row.reaches) if depends else None for images in (output, changed, output - changed)]
    row = replace(row, arrives=parts[0], remains=parts[1], adds=parts[2], cure=cure_used, depends=depends)
    return row, crop(changed).clone()


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
        own = [_reach(scale, out, size) for name, scale, out in self.calls if path in (None, name)]
        return tuple(dict.fromkeys(reach for reach in own if reach.period != reach.coarse))

    def relative(self, images: Tensor, final: Pair) -> dict[Pair, float]:
        """The amplitude of each pattern so far over the images' deviation, by its period in an output of that size."""
        size = (images.shape[-2], images.shape[-1])
        deviation = float(images.float().std(dim=(-2, -1)).square().mean()) ** 0.5
        found = {}
        for _, scale, out in self.calls:
            here, there = _reach(scale, out, size), _reach(scale, out, final)
            if there.period != there.coarse and (strength := repetition(images, *here)) is not None:
                found[there.period] = strength.rms / deviation if deviation > 0 else 0.0
        return found


def _reach(scale: tuple[float, ...], out_size: tuple[int, ...], size: Pair) -> Reach:
    """Of a call whose output had `out_size`, in an image of `size` that is made of it."""
    axes = []
    for own, before, after in zip((period_of(s) for s in scale), out_size, size, strict=True):
        later = max(1, round(after / before))
        axes.append((own * later, later) if 4 * after >= 3 * before else (max(1, round(own * after / before)), 1))
    (height, rows), (width, columns) = axes
    return Reach((height, width), (rows, columns))


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
        self.steps.append(Step(call.path, self.so_far.relative(images, self.final)))
        own = repetition(images, *_reach(call.scale, call.out_size, (images.shape[-2], images.shape[-1])))
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
