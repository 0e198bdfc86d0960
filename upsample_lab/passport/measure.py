"""`passport` and `lint`: everything about one upsampler, measured alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from upsample_lab.cost import parameter_count
from upsample_lab.late import from_above
from upsample_lab.passport.equivariance import BANDWIDTHS, measure_equivariance
from upsample_lab.passport.findings import Observed, find
from upsample_lab.passport.frequency import measure_frequency
from upsample_lab.passport.gains import measure_border, measure_gains
from upsample_lab.passport.gradient import measure_gradient
from upsample_lab.passport.impulse import (
    FEW_CHANNELS,
    MAX_CHANNELS,
    ImpulseTaps,
    measure_impulse,
    measure_taps,
    taps_per_phase,
)
from upsample_lab.passport.inspection import inspect_layers
from upsample_lab.passport.isolation import isolated
from upsample_lab.passport.probe import LINEAR_BELOW, OperatingPoint, Probe, check_arguments, first_line, output_sizes
from upsample_lab.passport.progress import Report, ignore, shown
from upsample_lab.passport.record import Cost, Finding, Record, Subject, plain
from upsample_lab.passport.responses import measure_responses
from upsample_lab.passport.stages import measure_stages
from upsample_lab.passport.table import table
from upsample_lab.passport.timing import measure_cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_SIZE_PX = 32
"""Low-resolution test images: an interior of 16 pixels, out of reach of the border for five 3 x 3 convolutions."""


@dataclass(frozen=True, eq=False)
class Passport(Record):
    """The record of one upsampler, and its three forms."""

    def to_json(self) -> str:
        """Strict JSON, a section a line; what is undefined (NaN) becomes null."""
        sections = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in plain(self).items())
        return "{\n" + ",\n".join(sections) + "\n}\n"

    def table(self) -> str:
        """The figures and findings as plain text, at most 100 columns wide."""
        return table(self)

    def figure(self) -> Figure:
        """One sheet with all panels, as a matplotlib figure that belongs to no window and no global state."""
        sheet: Figure = from_above("drawing.passport").figure(self)
        return sheet


def passport(
    module: nn.Module,
    in_channels: int,
    scale: int,
    *,
    size: int = DEFAULT_SIZE_PX,
    seed: int = 0,
    operating_point: OperatingPoint = 1.0,
    name: str | None = None,
    cost: bool = True,
    progress: Report | bool | None = None,
) -> Passport:
    """Measure any module that maps `[N, C_in, H, W] -> [N, C_out, s·H, s·W]`, one layer or a whole decoder.

    The module is measured in evaluation mode and float64 on its own device, as a copy: it is left exactly as it was,
    and so are all random number generators. It need not be linear: responses are then derivatives at a constant image.
    What cannot be had (a gradient through NumPy, times in a dtype that the module refuses) is NaN or None, and a
    finding says why.

    Args:
        module: the upsampler.
        in_channels: its input channels `C_in`.
        scale: the factor `s` by which it is meant to enlarge, at least 2.
        size: side of the low-resolution test images in pixels, at least 16.
        seed: of the random test images.
        operating_point: value of that constant in all channels, or a tuple of one for each; a linear module answers the
            same around any, but for what its biases do beside it.
        name: what to call it in tables and figures; by default its class.
        cost: whether to count and time it too (about two seconds, or some ten passes of a slow module).
        progress: true for a bar on stderr, or lines where that is no terminal; None for the bar alone; false for
            nothing; or a function that is told the share of the work that is done, and what is measured.

    Raises:
        TypeError: not a module.
        ValueError: an argument out of range, or a module that refuses such images, enlarges by another factor, or
            gives values that are not finite.
    """
    check_arguments(module, in_channels, scale, size, operating_point)
    name = name or type(module).__name__
    with _reporting(name, progress) as report, isolated(module) as twin:
        work = _Work(report, in_channels, with_cost=cost)
        probe = Probe(twin, in_channels, scale, size, seed, operating_point, on_images=work.did)
        evidence, taps = _gather(probe, work, name, type(module).__name__)
        work.what = "frequency response"
        frequency = measure_frequency(taps)
        work.what = "shifts"
        equivariance = measure_equivariance(probe)
        responses = measure_responses(probe, evidence.gains)
        counted, error = _cost(probe, work) if cost else (None, "")
        return Passport(
            subject=evidence.subject,
            gains=evidence.gains,
            border=evidence.border,
            impulse=evidence.impulse,
            frequency=frequency,
            equivariance=equivariance,
            responses=responses,
            stages=evidence.stages,
            gradient=evidence.gradient,
            findings=find(replace(evidence, cost_error=error)),
            cost=counted,
        )


def lint(
    module: nn.Module,
    in_channels: int,
    scale: int,
    *,
    size: int = DEFAULT_SIZE_PX,
    seed: int = 0,
    operating_point: OperatingPoint = 1.0,
    progress: Report | bool | None = None,
) -> tuple[Finding, ...]:
    """Only what is wrong with an upsampler, errors first; empty when nothing is. Arguments and errors as `passport`."""
    check_arguments(module, in_channels, scale, size, operating_point)
    kind = type(module).__name__
    with _reporting(kind, progress) as report, isolated(module) as twin:
        work = _Work(report, in_channels, with_cost=False)
        probe = Probe(twin, in_channels, scale, size, seed, operating_point, on_images=work.did)
        evidence, _ = _gather(probe, work, kind, kind)
    return find(evidence)


@contextmanager
def _reporting(name: str, progress: Report | bool | None) -> Iterator[Report]:
    if callable(progress):
        yield progress
    elif progress is False:
        yield ignore
    else:
        with shown(name, lines=progress is True) as report:
            yield report


class _Work:
    """How much there is to do, in images that go through the module, and how much is done."""

    COST = 40  # images that counting and timing stand for

    def __init__(self, report: Report, in_channels: int, *, with_cost: bool) -> None:
        pixels = 2 * min(in_channels, MAX_CHANNELS) + 4 * min(in_channels, FEW_CHANNELS)
        shifts = 2 * (3 * len(BANDWIDTHS) + 3)
        self.total = pixels + shifts + 20 + (self.COST if with_cost else 0)
        self.report, self.what, self._done = report, "sizes", 0.0

    def did(self, images: float) -> None:
        self._done += images
        self.report(min(1.0, self._done / self.total), self.what)

    def cost(self, share: float) -> None:
        self.report(min(1.0, (self.total - self.COST * (1 - share)) / self.total), "cost")


def _cost(probe: Probe, work: _Work) -> tuple[Cost | None, str]:
    """The cost, or why there is none."""
    try:
        return measure_cost(probe, work.cost), ""
    except Exception as error:  # whatever a third party's forward raises in float32
        return None, first_line(error)


def _gather(probe: Probe, work: _Work, name: str, kind: str) -> tuple[Observed, ImpulseTaps]:
    """The measurements that findings rest on."""
    sizes, wrong = output_sizes(probe)
    out_channels = probe.constant().shape[1]
    linearity_error = probe.linearity_error()
    subject = Subject(
        name=name,
        kind=kind,
        scale=probe.scale,
        in_channels=probe.in_channels,
        out_channels=out_channels,
        size_px=probe.size,
        seed=probe.seed,
        operating_point=probe.operating_point,
        linearity_error=linearity_error,
        linear=linearity_error < LINEAR_BELOW.get(probe.dtype, 1e-2),
        repeat_error=probe.repeat_error(),
        precision=str(probe.dtype).removeprefix("torch."),
        device=str(probe.device),
        guide="top left of each window, as max-pooling a constant leaves it" if probe.needs_guide else "",
        output_sizes=sizes,
        wrong_sizes=wrong,
    )
    work.what = "single pixels"
    taps = measure_taps(probe)
    work.what = "constants"
    learned = any(p.requires_grad for p in probe.module.parameters())
    evidence = Observed(
        subject=subject,
        gains=measure_gains(probe, taps_per_phase(taps)),
        border=measure_border(probe),
        impulse=measure_impulse(taps, learned),
        stages=measure_stages(probe),
        layers=inspect_layers(probe),
        parameter_count=parameter_count(probe.module),
        learned=learned,
        gradient=measure_gradient(probe),
    )
    return evidence, taps
