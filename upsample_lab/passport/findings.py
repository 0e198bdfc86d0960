"""What is wrong, in plain sentences, with the one change that mends it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from upsample_lab.conv import exact_padding
from upsample_lab.passport.inspection import (
    BlurLayer,
    KnownLayer,
    ResizeLayer,
    ShuffleLayer,
    TransposedLayer,
    UnevenPad,
)
from upsample_lab.passport.record import Border, Finding, Gains, GradientSide, Impulse, PerAxis, Stages, Subject
from upsample_lab.passport.stages import NEGLIGIBLE_VARIATION

SHIFT_PX = 0.2
"""Smallest shift that is told of: nearer to a fifth of a pixel than to none. The half-pixel ones are 0.5 and above."""

CERTAIN = 4.0
"""Standard errors, over pairs of channels, from which a shift of learned weights is told of: 1 in 16,000 by chance."""

STRETCH = 0.002
"""Smallest relative error of the magnification told of; `align_corners=True` has `(1 - 1/s)/(n - 1)`, 0.016 for 32."""

MAX_STRETCH = 0.1
"""Largest that aligned corners can make: 0.067 at 16 pixels, the smallest size that is measured, however large s is."""

_TIED = 0.05  # weight variation over bias variation below which the bias alone is to blame

AnyLayer = TypeVar("AnyLayer", bound=KnownLayer)


@dataclass(frozen=True, eq=False)
class Observed:
    """All that the rules look at."""

    subject: Subject
    gains: Gains
    border: Border
    impulse: Impulse
    stages: Stages
    layers: tuple[KnownLayer, ...]
    gradient: GradientSide
    parameter_count: int
    learned: bool  # whether there are weights that training would change
    cost_error: str = ""  # why there is no cost, where it was asked for

    def of(self, kind: type[AnyLayer]) -> list[AnyLayer]:
        return [layer for layer in self.layers if isinstance(layer, kind)]


def find(evidence: Observed) -> tuple[Finding, ...]:
    """All findings: errors first, then defects, then notes."""
    rules = (
        _wrong_size,
        _not_repeatable,
        _silent,
        _no_gradient,
        _no_cost,
        _stride,
        _untied_bias,
        _unequal_gains,
        _stage,
        _blur,
        _mixed_corners,
        _stretch,
        _displaced,
        _shift,
        _border,
    )
    findings = [finding for rule in rules for finding in rule(evidence)]
    return tuple(sorted(findings, key=lambda finding: ("error", "defect", "note").index(finding.severity)))


# ----------------------------------------------------------------------------------------------------------------------
# Size and repeatability


def _wrong_size(e: Observed) -> Iterator[Finding]:
    if not e.subject.wrong_sizes:
        return
    s, size = e.subject.scale, e.subject.wrong_sizes[0]
    if all(e.subject.output_sizes[wrong] == "refused" for wrong in e.subject.wrong_sizes):
        yield Finding(
            "refused-size",
            "note",
            f"Inputs of {_words(list(e.subject.wrong_sizes))} pixels are refused; the figures are those of "
            f"{e.subject.size_px} x {e.subject.size_px}.",
            "Take any size, or pad what is given to it and cut what comes out.",
            "measured",
        )
        return
    height, width = (int(n) for n in size.split(" x "))
    become = e.subject.output_sizes[size]
    got = "is refused" if become == "refused" else f"becomes {become}"
    bad = e.of(TransposedLayer)
    fix = "choose paddings with kernel_size - 2·padding + output_padding = stride"
    if len(bad) == 1:
        k, stride = bad[0].kernel_size[0], bad[0].stride[0]
        padding, output_padding = exact_padding(k, stride)
        fix = f"set padding={padding}, output_padding={output_padding} for kernel_size={k}, stride={stride}"
    elif len(set(e.subject.output_sizes.values())) == 1:
        fix = f"enlarge by a factor, not to a size: scale_factor={s}"
    yield Finding(
        "wrong-output-size",
        "error",
        f"An input of {size} pixels {got}; scale {s} asks for {s * height} x {s * width}.",
        f"{_capital(fix)}.",
        "measured",
        bad[0].where if len(bad) == 1 else "",
    )


def _better_kernel(kernel_size: int, stride: int) -> str:
    """The nearest kernels with which phases have equally many taps and the output lies in its place.

    Those are the multiples of the stride that exceed it by an even number, so that both sides are padded alike.
    """
    step = stride if stride % 2 == 0 else 2 * stride
    below = stride + (kernel_size - stride) // step * step
    sizes = [size for size in (below + step, below) if size >= stride and size != kernel_size]
    return "Use " + ", or ".join(f"kernel_size={size} with padding={(size - stride) // 2}" for size in sizes)


def _not_repeatable(e: Observed) -> Iterator[Finding]:
    if e.subject.repeat_error > 1e-6:
        yield Finding(
            "not-repeatable",
            "error",
            f"Two calls with the same input differ by {e.subject.repeat_error:.1%}, in evaluation mode.",
            "Switch the randomness off in evaluation mode; figures of one call say little until then.",
            "measured",
        )


def _silent(e: Observed) -> Iterator[Finding]:
    if not e.gains.gain.any():
        yield Finding(
            "no-response",
            "note",
            f"{e.subject.point.capitalize()} leaves nothing in the interior, so these figures say nothing.",
            "Give another operating_point, or other weights.",
            "measured",
        )


def _no_gradient(e: Observed) -> Iterator[Finding]:
    if not math.isfinite(e.gradient.border_ratio):
        yield Finding(
            "no-gradient",
            "note",
            "No gradient comes back to the input, so that nothing before this layer can be trained; the backward pass "
            "is not measured.",
            "Leave no_grad, inference_mode and NumPy out of the forward pass.",
            "measured",
        )


def _no_cost(e: Observed) -> Iterator[Finding]:
    if e.cost_error:
        yield Finding(
            "no-cost",
            "note",
            f"The cost is not measured, since the module does not run in float32: {e.cost_error}",
            "Let its forward pass take the dtype of its input.",
            "measured",
        )


# ----------------------------------------------------------------------------------------------------------------------
# The checkerboard


def _stride(e: Observed) -> Iterator[Finding]:
    for layer in e.of(TransposedLayer):
        if layer.divides:
            continue
        k, s = layer.kernel_size[0], layer.stride[0]
        taps = sorted({-(-(k - a) // s) * -(-(k - b) // s) for a in range(s) for b in range(s)})
        yield Finding(
            "stride-does-not-divide-kernel",
            "defect",
            f"The stride of {s} does not divide the kernel of {k}: output pixels see {_words(taps)} input pixels by "
            f"turns, so that even equal weights make a checkerboard.",
            f"{_better_kernel(k, s)}.",
            "inspected",
            layer.where,
        )
    if not e.of(TransposedLayer) and _uneven_taps(e):
        low, high = int(e.gains.taps.min()), int(e.gains.taps.max())
        yield Finding(
            "uneven-taps",
            "defect",
            f"Some output pixels see {low} input pixels and others {high}, by turns, as with a kernel that the stride "
            "does not divide.",
            "Give every phase equally many taps: a kernel size that is a multiple of the scale.",
            "measured",
        )


def _uneven_taps(e: Observed) -> bool:
    taps = e.gains.taps
    return bool(taps.max() >= 2 * taps.min()) and _variation(e) > NEGLIGIBLE_VARIATION and not e.subject.guide


def _variation(e: Observed) -> float:
    """The phases' variation without that of the biases, where the two can be told apart."""
    return e.gains.weight_phase_variation if e.subject.linear else e.gains.dc_phase_variation


def _untied_bias(e: Observed) -> Iterator[Finding]:
    """Seen from outside in a linear module; in others by the weights of the convolution before a shuffle."""
    g = e.gains
    shuffles = [layer for layer in e.of(ShuffleLayer) if layer.tied_weight and not layer.tied_bias]
    measured = e.subject.linear and g.weight_phase_variation <= _TIED * g.bias_phase_variation
    if g.bias_phase_variation < 1e-3 or not (measured or shuffles) or g.dc_phase_variation < NEGLIGIBLE_VARIATION:
        return
    where = shuffles[-1].conv if shuffles else ""
    yield Finding(
        "untied-bias",
        "defect",
        f"The weights treat all phases alike, but the biases do not: a constant comes out with a relative DC-phase "
        f"variation of {g.dc_phase_variation:.3f}, and black with a pattern too.",
        "Give the phases of an output channel one bias (tie_bias=true), or none (bias=False).",
        "measured, inspected" if shuffles else "measured",
        where,
    )


def _unequal_gains(e: Observed) -> Iterator[Finding]:
    variation = _variation(e)
    tied = [layer for layer in e.of(ShuffleLayer) if layer.tied_weight and not layer.tied_bias]
    if variation <= NEGLIGIBLE_VARIATION or (tied and not e.subject.linear):
        return
    if e.of(TransposedLayer):
        fix = "Start from bilinear weights (init=bilinear) or hold the phases' gains equal (phase_equal=true)."
    elif e.of(ShuffleLayer):
        fix = "Start from ICNR weights with one bias per output channel (init=icnr, tie_bias=true)."
    else:
        fix = "Give every phase the same sum of weights; a resize followed by a convolution has it by construction."
    random = math.sqrt(1 - 1 / e.subject.scale**2)
    who = "With the guide used here the" if e.subject.guide else "The"
    whole = e.gains.dc_phase_variation
    told = f"of {variation:.3f}"
    if f"{whole:.3f}" != f"{variation:.3f}":
        told += f" by the weights alone, {whole:.3f} with the biases"
    yield Finding(
        "unequal-phase-gains",
        "note" if e.subject.guide else "defect",
        f"{who} {e.subject.scale**2} phases answer a constant with unequal gains, a relative DC-phase variation {told} "
        f"(0 is even, {random:.3f} random). A flat area comes out as a checkerboard.",
        fix,
        "measured",
    )


def _stage(e: Observed) -> Iterator[Finding]:
    if not e.stages.culprit:
        return
    stage = max(e.stages.stages, key=lambda item: item.share)
    place = e.stages.stages.index(stage) + 1
    yield Finding(
        "checkerboard-stage",
        "defect",
        f"{stage.share:.0%} of the checkerboard has a period of {stage.period_px} px, which the stage {stage.name!r}, "
        f"number {place} of {len(e.stages.stages)}, makes.",
        f"Mend {stage.name!r} first.",
        "measured",
        stage.name,
    )


# ----------------------------------------------------------------------------------------------------------------------
# Borders


def _border_text(border: Border) -> str:
    side = border.worst
    return (
        f"at the {_words(list(border.fails))} a constant differs by up to {border.deviation[side]:.0%} from the "
        f"interior, {max(border.width_px.values())} px deep (ratio {border.ratio[side]:.2f} at the {side})"
    )


def _blur(e: Observed) -> Iterator[Finding]:
    padded = [blur for blur in e.of(BlurLayer) if blur.zero_padded]
    if not e.border.fails or not padded:
        return
    yield Finding(
        "zero-padded-blur",
        "defect",
        f"A blur pads with zeros: {_border_text(e.border)}.",
        "Pad it by replication (padding_mode='replicate'; for an average pool count_include_pad=False).",
        "measured, inspected",
        padded[0].where,
    )


def _border(e: Observed) -> Iterator[Finding]:
    if not e.border.fails or any(blur.zero_padded for blur in e.of(BlurLayer)):
        return
    fixed = e.parameter_count == 0
    yield Finding(
        "uneven-border",
        "defect" if fixed else "note",
        f"{_capital(_border_text(e.border))}: {'a filter' if fixed else 'learned layers'} with zeros around the image.",
        "Pad by replication instead of with zeros: padding_mode='replicate' of a convolution; a transposed one "
        "has no such mode, so replicate-pad its input by a pixel and crop its output.",
        "measured",
    )


# ----------------------------------------------------------------------------------------------------------------------
# Places


def _mixed_corners(e: Observed) -> Iterator[Finding]:
    resizes = e.of(ResizeLayer)
    if {layer.align_corners for layer in resizes} != {True, False}:
        return
    aligned = next(layer for layer in resizes if layer.align_corners)
    yield Finding(
        "mixed-align-corners",
        "defect",
        "Some resizes align the corners' centres, others the corners' edges: their grids do not lie on each other.",
        "Use align_corners=False in all of them.",
        "inspected",
        aligned.where,
    )


def _stretch(e: Observed) -> Iterator[Finding]:
    worst = _stretching(e)
    if not STRETCH < abs(worst) <= MAX_STRETCH:
        return
    aligned = [layer for layer in e.of(ResizeLayer) if layer.align_corners]
    yield Finding(
        "align-corners",
        "defect",
        f"The image is magnified by {e.subject.scale * (1 + worst):.3f}, not {e.subject.scale}: pixels near the border "
        f"move by up to {abs(worst) * e.subject.scale * e.subject.size_px / 2:.1f} px, a larger part of small images.",
        "Use align_corners=False.",
        "measured, inspected" if aligned else "measured",
        aligned[0].where if aligned else "",
    )


def _stretching(e: Observed) -> float:
    """Relative error of the magnification on the worse axis, and 0 where it cannot be measured."""
    if e.impulse.support_px is None:
        return 0.0  # the ends that such a response lacks are missing in its centre
    errors = [value / e.subject.scale - 1 for value in e.impulse.magnification if math.isfinite(value)]
    return max(errors, key=abs, default=0.0)


def _displaced(e: Observed) -> Iterator[Finding]:
    """A magnification that no resize has: an image that is turned over, or put together anew."""
    if abs(_stretching(e)) <= MAX_STRETCH:
        return
    down, right = e.impulse.magnification
    apart = [_OTHER_PLACE.get(round(value / e.subject.scale), "elsewhere") for value in (down, right)]
    yield Finding(
        "displaced",
        "defect",
        f"Neighbouring input pixels do not come out {e.subject.scale} px apart in the same order, but "
        f"{down:+.2f} px down ({apart[0]}) and {right:+.2f} px right ({apart[1]}).",
        "Leave the image as it lies: no flip, transposition or rearrangement within an upsampling layer.",
        "measured",
    )


_OTHER_PLACE = {-1: "turned over", 1: "in order", 0: "all in one place"}


def _shift(e: Observed) -> Iterator[Finding]:
    if abs(_stretching(e)) > MAX_STRETCH:
        return  # which has no one place to be moved from
    shift, learned = _measured_shift(e)
    if not any(abs(value) >= SHIFT_PX for value in shift):
        return
    uneven = e.of(UnevenPad)
    transposed = [t for t in e.of(TransposedLayer) if not t.divides or (t.kernel_size[0] - t.stride[0]) % 2]
    fix, where = "Centre the filter: pad both sides alike, with a kernel as odd or even as the scale asks for.", ""
    if learned:
        fix = "None, if the network around it is trained with it; else weights that are symmetric on average."
    elif uneven:
        fix = "Pad both sides alike and blur with an odd kernel, such as (1, 2, 1) / 4."
        where = uneven[0].where
    elif transposed:
        fix = f"{_better_kernel(transposed[0].kernel_size[0], transposed[0].stride[0])}; it can be centred."
        where = transposed[0].where
    elif e.impulse.support_shift_px is not None and not any(abs(v) >= SHIFT_PX for v in e.impulse.support_shift_px):
        fix = "Give the filter weights that are symmetric about its centre: it is centred, and its weights are not."
    guide = ", with the guide used here" if e.subject.guide else ""
    yield Finding(
        "shift",
        "note" if e.subject.guide or learned else "defect",
        f"The image moves by {_direction(shift)} against its place{guide}"
        f"{', by weights that are learned' if learned else ''}. Every such layer adds its own.",
        fix,
        "measured, inspected" if where else "measured",
        where,
    )


def _measured_shift(e: Observed) -> tuple[PerAxis, bool]:
    """The shift to tell of, and whether it is that of learned weights, beyond chance, in a support that is centred."""
    i = e.impulse
    if e.learned and i.support_px is None:
        centred = True  # a support without end, or with the image's own
    else:
        centred = not any(abs(value) >= SHIFT_PX for value in i.shift_px)
    if not centred or not e.learned:
        return i.shift_px, False
    certain = [
        value if abs(value) > CERTAIN * error else 0.0
        for value, error in zip(i.delay_px, i.delay_error_px, strict=True)
    ]
    return (certain[0], certain[1]), True


def _direction(shift: PerAxis) -> str:
    parts = []
    for value, names in zip(shift, (("up", "down"), ("left", "right")), strict=True):
        if abs(value) >= SHIFT_PX:
            parts.append(f"{abs(value):.2g} px {names[value > 0]}")
    return " and ".join(parts)


def _words(items: list[int] | list[str]) -> str:
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
