"""Which stage of a composition makes the checkerboard.

A stage of scale `s` can only make patterns of period `s` in its own output. Later stages enlarge them: the last stage's
period stays `s`, the one's before it becomes `s²`, and so on. Later stages and pointwise layers change a pattern's
shape but cannot lengthen its period, so the new energy of each period in the final output belongs to one stage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from upsample_lab.metrics import dc_phase_variation, energy_by_period
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import Stage, Stages
from upsample_lab.passport.watching import hookable_parts
from upsample_lab.upsamplers import Upsampler

NEGLIGIBLE_VARIATION = 0.01  # DC-phase variation below which no stage is blamed: 1 % of the image's own level


@dataclass
class StageCall:
    """One call of a part of the module that enlarged its input."""

    name: str
    scale: int
    output: Tensor
    inner: bool = field(default=False)  # whether a part of this part enlarged


def measure_stages(probe: Probe) -> Stages:
    """Feed a constant, and attribute the new energy of each period in the output to the stage that can make it."""
    with _watched(probe.module) as calls:
        output = probe.constant()
    stages = [call for call in calls if not call.inner]
    if math.prod(call.scale for call in stages) != probe.scale:
        stages = [StageCall("", probe.scale, output)]  # branches, or an enlargement that no part alone makes
    periods = [math.prod(call.scale for call in stages[i:]) for i in range(len(stages))]
    total = dc_phase_variation(output, probe.scale)
    energies = energy_by_period(output, tuple(sorted(periods)))
    energy_sum = sum(energies.values()) or 1.0
    entries = tuple(
        Stage(
            name=call.name,
            scale=call.scale,
            period_px=period,
            energy=energies[period],
            share=energies[period] / energy_sum,
            own_phase_variation=_phase_variation(call.output, math.prod(c.scale for c in stages[: i + 1])),
        )
        for i, (call, period) in enumerate(zip(stages, periods, strict=True))
    )
    worst = max(entries, key=lambda stage: stage.share)
    culprit = worst.name if len(entries) > 1 and total > NEGLIGIBLE_VARIATION else ""
    return Stages(entries, total, culprit)


def _phase_variation(output: Tensor, period: int) -> float:
    return dc_phase_variation(output.cpu(), period) if min(output.shape[-2:]) >= period else 0.0


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[StageCall]]:
    """Record the calls of parts that enlarge by a whole factor, innermost parts first; an upsampler is one part."""
    calls: list[StageCall] = []

    def hook(name: str) -> Any:
        def record(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            factor = _factor(inputs, output)
            if factor > 1:
                # Outer parts report after the parts inside them.
                inner = math.prod(call.scale for call in calls if _inside(call.name, name) and not call.inner)
                calls.append(StageCall(name, factor, output.detach(), inner=inner > 1))

        return record

    parts = dict(hookable_parts(module))
    upsamplers = [name for name, part in parts.items() if isinstance(part, Upsampler)]
    handles = [
        part.register_forward_hook(hook(name))
        for name, part in parts.items()
        if not any(_inside(name, outer) and name != outer for outer in upsamplers)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _inside(name: str, outer: str) -> bool:
    return outer == "" or name.startswith(outer + ".")


def _factor(inputs: tuple[Any, ...], output: Any) -> int:
    """The factor by which a call enlarged a batch of images; 1 where it is none, or not a whole one."""
    if not inputs or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
        return 1
    if inputs[0].ndim != 4 or output.ndim != 4:
        return 1
    ratios = {round(after / before) for before, after in zip(inputs[0].shape[-2:], output.shape[-2:], strict=True)}
    return ratios.pop() if len(ratios) == 1 else 1
