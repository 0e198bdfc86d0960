"""The diagnosis of a model: which of its layers makes the pattern in its images, said, drawn, and as numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from upsample_lab.doctor.attribute import BALANCED, Attribution, Effect, Measured, Step, measure
from upsample_lab.doctor.calls import Inputs
from upsample_lab.doctor.measure import Strength
from upsample_lab.doctor.outputs import Units, crop, tensors, units_of, worst_window
from upsample_lab.doctor.sites import Site
from upsample_lab.doctor.table import numbers, table
from upsample_lab.late import from_above
from upsample_lab.passport.progress import Report, shown
from upsample_lab.passport.record import Finding, plain
from upsample_lab.passport.stages import NEGLIGIBLE_VARIATION
from upsample_lab.settings import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEN_LEVELS = 0.5
"""Root mean square from which a pattern of an image is told of: it is one level peak to peak, the least of 8 bits."""

HIDDEN = 0.1
"""Share below which a site that adds a pattern is said to be hidden by others."""

SEEN_DB = 3.0
"""Over the neighbourhood, from which one of another output is: twice its power."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found in a model.

    sites      where it enlarges images, in the order of its forward
    ranking    what each does to the pattern, the strongest first
    chain      the patterns at each site's output and at the model's, as they grow
    together   the effect of curing all sites at once; None where the output is too small to tell
    findings   what is wrong, in sentences, with what mends it
    units      of the output's patterns
    pictures   crops `[C, h, w]` of one place: input, output, and the output with the worst site, and with all, cured
    """

    name: str
    sites: tuple[Site, ...]
    ranking: tuple[Attribution, ...]
    together: Effect | None
    chain: tuple[Step, ...]
    findings: tuple[Finding, ...]
    units: Units
    output: str
    output_shape: tuple[int, ...]
    pictures: dict[str, Tensor]

    @property
    def worst(self) -> Attribution | None:
        """The site that adds the strongest pattern, where one can be seen."""
        first = self.ranking[0]
        return first if is_seen(first, self.units) else None

    def sentence(self) -> str:
        """The diagnosis in one sentence."""
        if self.worst is not None:
            return blame(self.worst, self.units)
        first = self.ranking[0]
        if first.adds is None:
            return "The output is too small to tell a pattern of any site: give a larger input."
        most = f"{amount(first.adds, self.units)} of period {first.periods}"
        return f"No site adds a pattern that is seen; the most is {most}, by {first.site.place}."

    def outlook(self) -> str:
        """What is left with every site cured; empty where there is one alone, or nothing is wrong."""
        if self.worst is None or self.together is None or sum(row.adds is not None for row in self.ranking) < 2:
            return ""
        left, all = number(self.together.after, self.units), amount(self.together.before, self.units)
        return f"With all sites cured, {left} of {all} remain at their periods."

    def to_cure(self) -> tuple[Site, ...]:
        """The worst site; with it all whose kernels even its pattern out, where they do."""
        worst = self.worst
        if worst is None or _alone(worst, self.units):
            return () if worst is None else (worst.site,)
        return tuple(row.site for row in self.ranking if row is worst or row.site.weight)

    def table(self) -> str:
        """The ranking as text."""
        return table(self)

    def figure(self) -> Figure:
        """The chain of sites with the patterns growing along it; input and output as they are, and stretched."""
        chain: Figure = from_above("drawing.diagnosis").figure(self)
        return chain

    def html(self, command: str = "") -> str:
        """One page: findings, figure, table."""
        page: str = from_above("report.diagnosis_page").page(self, command)
        return page

    def json(self) -> str:
        """All figures; amplitudes are in the output's units."""
        return json.dumps(plain(numbers(self)), allow_nan=False, indent=1) + "\n"


def diagnose(
    model: nn.Module,
    inputs: Inputs,
    *,
    output_range: tuple[float, float] | None = None,
    name: str = "",
    progress: Report | None = None,
) -> Diagnosis:
    """Find where a model enlarges images, and which of these sites makes the pattern in its output.

    Nothing of the model is changed or copied: it runs in evaluation mode without gradients, some twice for each site.

    Args:
        model: any module; its code need not be traceable.
        inputs: what it is called with: a tensor, a tuple of arguments, a dict of keyword arguments. Real inputs give
            the real operating points.
        output_range: black and white of the output; None to tell it from the output's numbers.
        name: of the model in tables; its class where there is none.
        progress: called with the share that is done and what is being measured; None for a bar on a terminal.

    Raises ConfigError, a ValueError, in one line: inputs that the model refuses, no site, an output that is not finite
    or holds no images.
    """
    title = name or type(model).__name__
    bar: AbstractContextManager[Report] = shown(title, lines=False) if progress is None else nullcontext(progress)
    with bar as report:
        evidence = measure(model, inputs, report)
    units = units_of(evidence.output, output_range)
    return Diagnosis(
        name=title,
        sites=evidence.order,
        ranking=evidence.ranking,
        together=evidence.together,
        chain=evidence.chain,
        findings=find(evidence, units),
        units=units,
        output=evidence.output_name,
        output_shape=tuple(evidence.output.shape),
        pictures=_pictures(inputs, evidence),
    )


def assert_clean(
    model: nn.Module, inputs: Inputs, levels: float = 1.0, *, output_range: tuple[float, float] | None = None
) -> None:
    """For a test suite: fail with an AssertionError that names the site where the output has too strong a pattern.

    Args:
        levels: grey levels of 255, root mean square, that are too much at any site's periods.
        output_range: as in `diagnose`.

    Raises ConfigError where no levels can be told: an output that is no image, or too small for the periods.
    """
    found = diagnose(model, inputs, output_range=output_range, progress=lambda share, what: None)
    per_unit = found.units.per_unit
    if per_unit is None:
        raise ConfigError("assert_clean: the output is no image in a known range; give output_range=(black, white)")
    told = [(row.arrives.rms * per_unit, row) for row in found.ranking if row.arrives is not None]
    if not told:
        raise ConfigError(f"assert_clean: the output {list(found.output_shape)} is too small; give a larger input")
    most, row = max(told, key=lambda pair: pair[0])
    if most > levels:
        raise AssertionError(f"a pattern of {most:.2f} levels, above {levels:g}. {blame(row, found.units)}")


def _pictures(inputs: Inputs, evidence: Measured) -> dict[str, Tensor]:
    """Crops where the pattern shows best: of the input, of the output, and of it with the worst and all sites cured."""
    image, healed = evidence.output[0], evidence.healed
    at, size = worst_window(image, healed), (image.shape[-2], image.shape[-1])
    given = [t[0] for _, t in tensors(inputs) if t.dim() == 4 and t.shape[1] in (1, 3) and min(t.shape[-2:]) > 1]
    whole = {"input": given[0]} if given else {}
    whole["output"] = image
    first = evidence.ranking[0]
    if first.site.path in evidence.cured:
        whole[f"with {first.site.place} {first.cure}"] = evidence.cured[first.site.path]
    if len(evidence.cured) > 1:
        whole["with all sites cured"] = healed
    return {name: crop(part.detach(), at, size).float().cpu().clone() for name, part in whole.items()}


# ----------------------------------------------------------------------------------------------------------------------
# In words


def amount(strength: Strength, units: Units) -> str:
    """`12.1 levels`, or `9.3 dB over the neighbourhood`."""
    return f"{number(strength, units)} {'levels' if units.per_unit else 'dB over the neighbourhood'}"


def number(strength: Strength, units: Units) -> str:
    """The same without its unit; what is below its neighbourhood is none."""
    if units.per_unit is None:
        return f"{max(0.0, strength.over_db):.1f}"
    levels = strength.rms * units.per_unit
    return f"{levels:.{2 if 0 < levels < 1 else 1}f}"


def is_seen(row: Attribution, units: Units) -> bool:
    """Whether what a site adds can be seen in the output."""
    if row.adds is None or row.arrives is None:
        return False
    return _is_strong(row.arrives, units) and _is_strong(row.adds, units)


def _alone(row: Attribution, units: Units) -> bool:
    """Whether a site can be cured alone: no other layer is left with a pattern that it undid before."""
    return row.cure_adds is None or not _is_strong(row.cure_adds[1], units)


def _is_strong(strength: Strength, units: Units) -> bool:
    if units.per_unit is None:
        return strength.over_db >= SEEN_DB
    return strength.rms * units.per_unit >= SEEN_LEVELS


def blame(row: Attribution, units: Units) -> str:
    """What a site does, and what is left without it: `up3 causes 84 % of the period-4 pattern; …`."""
    assert row.arrives is not None
    assert row.remains is not None
    assert row.adds is not None
    own = row.periods
    if (row.share or 0.0) < HIDDEN:
        hidden = f"stronger ones at {own} px hide it: {amount(row.arrives, units)} with or without it"
        return f"{row.site.place} adds {amount(row.adds, units)} of period {own}; {hidden}."
    pattern = f"patterns of periods {own}" if " and " in own else f"period-{own} pattern"
    cured = "with it balanced" if row.cure == BALANCED else "with its output smoothed"
    left = f"{number(row.remains, units)} of {amount(row.arrives, units)} remain"
    return f"{row.site.place} causes {100 * (row.share or 0):.0f} % of the {pattern}; {cured} {left}."


def find(evidence: Measured, units: Units) -> tuple[Finding, ...]:
    """What is wrong, the strongest first, then what is worth knowing."""
    findings = []
    for row in evidence.ranking:
        site, where = row.site, row.site.place
        if is_seen(row, units):
            findings.append(
                Finding("pattern", "defect", blame(row, units), mend(site, _alone(row, units)), "measured", where)
            )
        elif not row.depends:
            message = f"The output does not depend on {where}: its pattern cannot reach it."
            findings.append(Finding("unused", "note", message, "", "measured", where))
        if row.cure_adds is not None and not _alone(row, units):
            most = f"{amount(row.cure_adds[1], units)} of period {_one(row.cure_adds[0])}"
            message = f"Other layers even out what {where} makes: with it alone {row.cure}, {most} would be added."
            fix = "Cure the sites together, or train on after the cure."
            findings.append(Finding("evened-out", "note", message, fix, "measured", where))
        if not site.measured:
            message = f"{where} enlarges along {len(site.scale)} axes, not 2: it is found, and not measured."
            findings.append(Finding("not-measured", "note", message, "", "inspected", where))
        elif row.depends and row.reaches and row.arrives is None:
            message = f"The output holds too few periods of {where}, {row.periods} px, to tell its pattern."
            findings.append(Finding("too-small", "note", message, "Give a larger input.", "measured", where))
        if _uneven(site) and (row.flat is None or row.flat.variation > NEGLIGIBLE_VARIATION):
            findings.append(Finding("stride", "note", _uneven(site), _other_kernel(site), "inspected", where))
    findings += [Finding("note", "note", note, "", "measured") for note in evidence.notes]
    return tuple(sorted(findings, key=lambda finding: finding.severity == "note"))


def _uneven(site: Site) -> str:
    """Why training will make a pattern of it, where a transposed convolution's stride does not divide its kernel."""
    if site.kind != "deconv" or len(site.kernel_size) != 2 or max(site.scale) == 1:
        return ""
    if all(k % s == 0 for k, s in zip(site.kernel_size, site.scale, strict=True)):
        return ""
    kernel, stride = _one(site.kernel_size), _one(site.scale)
    return f"{site.place}: stride {stride} does not divide kernel {kernel}: its phases have unequally many weights."


def _other_kernel(site: Site) -> str:
    sizes = [int(-(-k // s) * s) for k, s in zip(site.kernel_size, site.scale, strict=True)]
    return f"kernel_size={_one(sizes)} has equally many for each."


def mend(site: Site, alone: bool = True) -> str:
    """The change that mends a site; `prescribe` has it as code to paste.

    `alone` is false where other sites must be balanced with it.
    """
    sites = f', ["{site.path}"]' if alone else ""
    balance = f"balance(model{sites}) keeps the weights and evens their phases; or train on with a resize in its place."
    resize = f'nn.Upsample(scale_factor={_one(site.scale)}, mode="nearest")'
    if site.weight and site.kind in ("deconv", "pixel_shuffle", "upsampler"):
        return balance
    if site.kind == "deconv":
        return f"Pass balanced(weight, {_pair(site.scale)}) of upsample_lab.doctor.kernels as its weight."
    if site.kind == "unpool":
        return f"Unpooled zeros are a pattern by themselves: put {resize} and a convolution in its place and train."
    return f"Follow it by a blur as long as its period, or put {resize} in its place."


def _one(values: Sequence[Any]) -> str:
    """`2`, or `(2, 1)` where the axes differ."""
    return f"{values[0]}" if len(set(values)) == 1 else _pair(values)


def _pair(values: Sequence[Any]) -> str:
    return f"({', '.join(map(str, values))})"
