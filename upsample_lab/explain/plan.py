"""The size planner's answer as text: the sizes, the trap if there is one, its fixes, and every layer that fits."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from upsample_lab.conv.arithmetic import InverseOption, PlannedStage, SizePlan, exact_padding

from .text import INDENT, WIDTH, columns

_HEADER = ("kernel_size", "stride", "padding", "output_padding", "shift_px", "")


def plan_text(plan: SizePlan) -> str:
    """The plan, section by section."""
    sections = [_sizes(plan)]
    if not plan.is_exact:
        sections.append(_fixes(plan))
    sections += [_options(plan), _legend(plan)]
    return "\n\n".join(sections) + "\n"


def _sizes(plan: SizePlan) -> str:
    encoder = plan.encoder
    lines = [
        f"Encoder: {arrow(plan.encoder_sizes)}   "
        f"(kernel {encoder.kernel_size}, stride {encoder.stride}, padding {encoder.padding} in each of "
        f"{_count(plan.stage_count, 'stage')})",
        f"Decoder: {arrow(plan.upsampled_sizes)}   (every stage multiplies by {plan.scale})",
        "",
    ]
    if plan.is_exact:
        total = plan.scale**plan.stage_count
        return "\n".join(
            [*lines, f"Exact: {plan.image_size} is a multiple of {plan.scale}^{plan.stage_count} = {total}."]
        )
    back = plan.encoder_sizes[::-1]
    stage = next(i for i, (got, had) in enumerate(zip(plan.upsampled_sizes, back, strict=True)) if got != had)
    small, large, got = back[stage - 1], back[stage], plan.upsampled_sizes[stage]
    if plan.encoder_divides:
        rounded = "rounded up" if small * plan.scale > large else "rounded down"
        cause = f"{large} is no multiple of {plan.scale}, and the encoder {rounded}, {large} → {small}"
    else:
        cause = (
            f"kernel {encoder.kernel_size} with padding {encoder.padding} does not divide by {plan.scale}: the encoder "
            f"takes {large} → {small}"
        )
    lines += textwrap.wrap(
        f"The trap: {cause}. A decoder stage that multiplies by {plan.scale} makes {small} → {got}, not {large}; the "
        f"reconstruction would have {plan.upsampled_sizes[-1]} pixels instead of {plan.image_size}.",
        WIDTH,
    )
    return "\n".join(lines)


def _fixes(plan: SizePlan) -> str:
    fixes = _better_sizes(plan) if plan.encoder_divides else [_better_padding(plan)]
    fixes += [_undoing(plan, kernel_size) for kernel_size in _undoing_kernels(plan)]
    lines = [line for number, fix in enumerate(fixes, start=1) for line in _item(number, fix)]
    return "\n".join(["Fixes, best first:", *lines])


def _better_sizes(plan: SizePlan) -> list[str]:
    sizes, total = " or ".join(map(str, plan.exact_image_sizes)), plan.scale**plan.stage_count
    fixes = [
        f"pad, crop or resize the image to {sizes} pixels, a multiple of {plan.scale}^{plan.stage_count} = {total}"
    ]
    if plan.exact_stage_count:
        coarse, stages = plan.image_size // plan.scale**plan.exact_stage_count, _count(plan.exact_stage_count, "stage")
        fixes.append(f"stop after {stages}, at {coarse}×{coarse}; any upsampler then fits")
    return fixes


def _better_padding(plan: SizePlan) -> str:
    padding, _ = exact_padding(plan.encoder.kernel_size, plan.scale)
    return (
        f"give the encoder padding {padding}, with which kernel {plan.encoder.kernel_size} divides multiples of "
        f"{plan.scale} by {plan.scale}"
    )


def _item(number: int, text: str) -> list[str]:
    start = f"{INDENT}{number}. "
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def _undoing_kernels(plan: SizePlan) -> list[int]:
    """Kernels that can undo the rounding: the smallest that overlaps evenly, and the encoder's own."""
    common = set.intersection(*({o.kernel_size for o in s.options if not o.leaves_gaps} for s in plan.decoder))
    even = [k for k in sorted(common) if k % plan.scale == 0 and k > plan.scale][:1]
    own = [k for k in (plan.encoder.kernel_size,) if k in common and k not in even]
    return even + own


def _undoing(plan: SizePlan, kernel_size: int) -> str:
    """The stage-by-stage settings of one kernel that give back every size."""
    parts = []
    for stages in _grouped(plan.decoder):
        fitting = [o for o in stages[0].options if o.kernel_size == kernel_size and not o.leaves_gaps]
        option = min(fitting, key=lambda o: abs(o.shift_px))
        steps = " and ".join(f"{stage.input_size} → {stage.output_size}" for stage in stages)
        parts.append(f"padding={option.padding} output_padding={option.output_padding} for {steps}")
    overlap = "even overlap" if kernel_size % plan.scale == 0 else "uneven overlap"
    return f"undo the rounding with kernel_size={kernel_size} ({overlap}): {'; '.join(parts)}"


def _options(plan: SizePlan) -> str:
    parts = ["Transposed convolutions that give back each size exactly:"]
    for stages in _grouped(plan.decoder):
        steps = ", ".join(f"{stage.input_size} → {stage.output_size}" for stage in stages)
        parts += ["", INDENT + steps]
        options = stages[0].options
        if options:
            parts += columns([_HEADER, *map(_row, options)])
        else:
            parts.append(f"{INDENT}none: the encoder changes this size by more than one layer can undo")
    return "\n".join(parts)


def _grouped(stages: Iterable[PlannedStage]) -> list[list[PlannedStage]]:
    """Stages that have the same options, together."""
    groups: list[list[PlannedStage]] = []
    for stage in stages:
        same = next((group for group in groups if group[0].options == stage.options), None)
        if same is None:
            groups.append([stage])
        else:
            same.append(stage)
    return groups


def _row(option: InverseOption) -> Sequence[str]:
    notes = []
    if not option.stride_divides_kernel:
        notes.append("uneven: the stride does not divide the kernel")
    if option.leaves_gaps:
        notes.append("gaps")
    return (
        str(option.kernel_size),
        str(option.stride),
        str(option.padding),
        str(option.output_padding),
        f"{option.shift_px:+.1f}" if option.shift_px else "0",
        "; ".join(notes),
    )


def _legend(plan: SizePlan) -> str:
    return "\n".join(
        [
            f"shift_px: how far the kernel lies from the middle of the {plan.scale}×{plan.scale} pixels it stands for.",
            "uneven: neighbouring pixels get different numbers of taps: a checkerboard even from equal weights.",
            "gaps: some pixels get no tap at all and hold only the bias.",
        ]
    )


def arrow(sizes: Iterable[int]) -> str:
    return " → ".join(map(str, sizes))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
