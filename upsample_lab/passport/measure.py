"""`passport` and `lint`: everything about one upsampler, measured alone."""

from __future__ import annotations

from torch import nn

from upsample_lab.passport.cost import measure_cost
from upsample_lab.passport.equivariance import measure_equivariance
from upsample_lab.passport.findings import Evidence, find
from upsample_lab.passport.frequency import measure_frequency
from upsample_lab.passport.gains import measure_border, measure_gains
from upsample_lab.passport.gradient import measure_gradient
from upsample_lab.passport.impulse import Taps, measure_impulse, measure_taps, taps_per_phase
from upsample_lab.passport.inspection import inspect_layers
from upsample_lab.passport.isolation import isolated
from upsample_lab.passport.probe import LINEAR_BELOW, Probe, check_arguments, output_sizes
from upsample_lab.passport.record import Finding, Passport, Subject
from upsample_lab.passport.responses import measure_responses
from upsample_lab.passport.stages import measure_stages

DEFAULT_SIZE_PX = 32
"""Low-resolution test images: an interior of 16 pixels, out of reach of the border for five 3 x 3 convolutions."""


def passport(
    module: nn.Module,
    in_channels: int,
    scale: int,
    *,
    size: int = DEFAULT_SIZE_PX,
    seed: int = 0,
    operating_point: float = 1.0,
    name: str | None = None,
    cost: bool = True,
) -> Passport:
    """Measure any module that maps `[N, C_in, H, W] -> [N, C_out, s·H, s·W]`, one layer or a whole decoder.

    The module is measured in evaluation mode and float64 on its own device, as a copy: it is left exactly as it was,
    and so are all random number generators. It need not be linear: responses are then derivatives at a constant image.

    Args:
        module: the upsampler.
        in_channels: its input channels `C_in`.
        scale: the factor `s` by which it is meant to enlarge, at least 2.
        size: side of the low-resolution test images in pixels, at least 16.
        seed: of the random test images.
        operating_point: value of that constant in all channels; a linear module answers the same around any.
        name: what to call it in tables and figures; by default its class.
        cost: whether to count and time it too (about two seconds).

    Raises:
        TypeError: not a module.
        ValueError: an argument out of range, or a module that refuses such images, enlarges by another factor, or
            gives values that are not finite.
    """
    check_arguments(module, in_channels, scale, size, operating_point)
    with isolated(module) as twin:
        probe = Probe(twin, in_channels, scale, size, seed, operating_point)
        evidence, taps = _gather(probe, name or type(module).__name__, type(module).__name__)
        return Passport(
            subject=evidence.subject,
            gains=evidence.gains,
            border=evidence.border,
            impulse=evidence.impulse,
            frequency=measure_frequency(taps),
            equivariance=measure_equivariance(probe),
            responses=measure_responses(probe, evidence.gains),
            stages=evidence.stages,
            gradient=measure_gradient(probe),
            findings=find(evidence),
            cost=measure_cost(probe) if cost else None,
        )


def lint(
    module: nn.Module,
    in_channels: int,
    scale: int,
    *,
    size: int = DEFAULT_SIZE_PX,
    seed: int = 0,
    operating_point: float = 1.0,
) -> tuple[Finding, ...]:
    """Only what is wrong with an upsampler, errors first; empty when nothing is. Arguments and errors as `passport`."""
    check_arguments(module, in_channels, scale, size, operating_point)
    kind = type(module).__name__
    with isolated(module) as twin:
        evidence, _ = _gather(Probe(twin, in_channels, scale, size, seed, operating_point), kind, kind)
    return find(evidence)


def _gather(probe: Probe, name: str, kind: str) -> tuple[Evidence, Taps]:
    """The measurements that findings rest on."""
    sizes, wrong = output_sizes(probe)
    out_channels = probe.constant(probe.operating_point).shape[1]
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
    taps = measure_taps(probe)
    evidence = Evidence(
        subject=subject,
        gains=measure_gains(probe, taps_per_phase(taps)),
        border=measure_border(probe),
        impulse=measure_impulse(taps),
        stages=measure_stages(probe),
        layers=inspect_layers(probe),
        parameter_count=sum(p.numel() for p in probe.module.parameters()),
    )
    return evidence, taps
