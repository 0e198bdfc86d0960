"""One sheet for one upsampler, and one sheet that compares several."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from upsample_lab.drawing import passport_panels as panels
from upsample_lab.drawing.palette import BAD, FAINT, GOOD, INK, Look, look_of, looks_of
from upsample_lab.drawing.style import SMALL_PT, TEXT_PT, TITLE_PT, free_words, label, new_figure
from upsample_lab.passport.record import Finding, Record
from upsample_lab.passport.table import heading, macs_words, ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DrawPanel = Callable[["Axes", Record], None]

COLUMNS = 4
_FINDING_WIDTH = 180  # characters of a finding on the sheet


def figure(passport: Record) -> Figure:
    """All panels of one passport, its findings on top."""
    drawings = panel_drawings(passport)
    rows = -(-len(drawings) // COLUMNS)
    top = 0.9 + 0.25 * len(_finding_lines(passport.findings))
    sheet = new_figure(3.9 * COLUMNS, 3.8 * rows + top)
    grid = sheet.add_gridspec(rows + 1, COLUMNS, height_ratios=[top, *[3.8] * rows])
    _draw_heading(sheet.add_subfigure(grid[0, :]).add_subplot(), passport, top)
    for index, (draw, _) in enumerate(drawings):
        # A part of its own, so that one panel's wide labels leave the others their room.
        axes = sheet.add_subfigure(grid[1 + index // COLUMNS, index % COLUMNS]).add_subplot()
        draw(axes, passport)
        free_words(axes)
    return sheet


def panel_drawings(passport: Record) -> list[tuple[DrawPanel, str]]:
    """The panels with their explanations, in reading order: what is seen, why, how it looks, what it costs."""
    drawings: list[tuple[DrawPanel, str]] = [
        (
            panels.draw_flat,
            "The middle of the response to a constant image. Grey is right; squares are a checkerboard.",
        ),
        (
            panels.draw_gains,
            "What each phase (position of an output pixel modulo the scale) makes of a constant. Level lines: flat "
            "areas stay flat. Zigzags: a checkerboard. Above: how many input pixels the phase sees.",
        ),
        (
            panels.draw_kernel,
            "The response to one input pixel. Lines: borders of input pixels. Its centre should be +.",
        ),
    ]
    if passport.subject.scale <= 4:
        drawings.append((panels.draw_phases, "The same response, taken apart: each phase is a filter of its own."))
    drawings += [
        (
            panels.draw_axes_response,
            "Left of 0.5 the input's own band, which should stay at 0 dB; right of it its images, which should vanish. "
            "What is left at the dotted lines is the checkerboard.",
        ),
        (panels.draw_plane_response, "The same over both axes; inside the square the input's band."),
        (
            panels.draw_shift,
            "Shift the input by half a pixel, or the output by as much: does it agree? High is good; images spoil it.",
        ),
        (panels.draw_border, "The response to a constant, from each border inwards, relative to the interior."),
        (panels.draw_gradient, "Back-propagating ones through the operator: white is even."),
    ]
    if len(passport.stages.stages) > 1:
        drawings.append((panels.draw_stages, "Each stage makes its own period; later stages cannot lengthen it."))
    if passport.cost is not None:
        drawings.append(
            (panels.draw_cost, "Median times of interleaved rounds; at the bars the peak memory of both passes.")
        )
    return drawings + [
        (_response_panel(index), _RESPONSE_TEXT[index]) for index in range(len(passport.responses.all()))
    ]


_RESPONSE_TEXT = (
    "A constant, borders included.",
    "A vertical edge: overshoot and blur.",
    "A slightly slanted edge: its stairs.",
    "Rings of rising frequency, up to the limit of what the input can hold: false rings are images.",
)


def _response_panel(index: int) -> DrawPanel:
    return lambda axes, passport: panels.draw_response(axes, passport.responses.all()[index])


def _finding_lines(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    lines = []
    for finding in findings:
        color = FAINT if finding.severity == "note" else BAD
        texts = textwrap.wrap(f"{finding.severity}: {finding.message} {finding.fix}", _FINDING_WIDTH)
        lines += [(text if i == 0 else f"    {text}", color) for i, text in enumerate(texts)]
    return lines or [("nothing is wrong", GOOD)]


def _draw_heading(axes: Axes, passport: Record, height_in: float) -> None:
    axes.set_axis_off()
    title, *how = heading(passport)
    _write(axes, 1, title, fontsize=18, fontweight="bold", color=INK)
    step = 0.25 / height_in
    for index, (text, color) in enumerate([(" ".join(how), FAINT), *_finding_lines(passport.findings)]):
        shade = "#555555" if color == FAINT else color
        at = 1 - (0.42 / height_in) - index * step
        _write(axes, at, text, fontsize=TITLE_PT, color=shade)


def _write(axes: Axes, at: float, text: str, **font: Any) -> None:
    """A line at a height, left out of the layout: a long one must not push the panels aside."""
    axes.text(0, at, text, va="top", transform=axes.transAxes, **font).set_in_layout(False)


# ----------------------------------------------------------------------------------------------------------------------
# Comparison


def comparison_figure(passports: Sequence[Record]) -> Figure:
    """A row an upsampler: what a flat area becomes, why, and what else it does; then all of them on common axes."""
    rows = len(passports)
    sheet = new_figure(17.5, 2.35 * rows + 5.2)
    parts = sheet.add_gridspec(2, 1, height_ratios=[2.35 * rows, 5.2])
    upper, lower = sheet.add_subfigure(parts[0]), sheet.add_subfigure(parts[1])
    grid = upper.add_gridspec(rows, 7, width_ratios=[1.5, 1, 1.3, 1, 1.5, 1, 1])
    for row, passport in enumerate(passports):
        drawings = (_draw_name, _flat, _gains, _kernel, _frequency, _edge, _zone_plate)
        for column, draw in enumerate(drawings):
            axes = upper.add_subplot(grid[row, column])
            draw(axes, passport)
            if row > 0:
                axes.set_title("", loc="left")
            if row < rows - 1:
                axes.set_xlabel("")
    lower.legend(handles=_legend(passports), loc="outside lower center", ncols=7, frameon=False, fontsize=TEXT_PT)
    for axes, common in zip(lower.subplots(1, 4), (_all_frequency, _all_shift, _all_phase, _all_cost), strict=True):
        common(axes, passports)
        free_words(axes)
    return sheet


def _legend(passports: Sequence[Record]) -> list[Line2D]:
    named = zip([p.subject.name for p in passports], _looks(passports), strict=True)
    return [Line2D([], [], color=k.color, ls=k.dash, marker=k.marker, label=name) for name, k in named]


def _looks(passports: Sequence[Record]) -> list[Look]:
    return looks_of([p.subject.name for p in passports])


def _draw_name(axes: Axes, passport: Record) -> None:
    axes.set_axis_off()
    look = look_of(passport.subject.name.split()[0])
    name, _, options = passport.subject.name.partition(" ")
    _write(axes, 0.98, name, fontsize=14, fontweight="bold", color=look.color)
    text = [*textwrap.wrap(options, 26), *_name_lines(passport)]
    _write(axes, 0.82, "\n".join(text), fontsize=TEXT_PT, color=INK)


def _name_lines(passport: Record) -> list[str]:
    cost = passport.cost
    lines = ["relative DC-phase", f"variation {passport.gains.dc_phase_variation:.3f}"]
    if cost is not None:
        lines += [f"{cost.parameter_count:,} parameters", *macs_words(cost)]
        lines += [f"{ms(cost.timings[0].forward_ms)} forward"]
    if not passport.subject.linear:
        lines += textwrap.wrap(f"not linear: at {passport.subject.point}", 26)
    if passport.subject.guide:
        lines += ["guide: top left"]
    return lines


def _flat(axes: Axes, passport: Record) -> None:
    panels.draw_flat(axes, passport)
    _bare(axes, "Flat area")


def _gains(axes: Axes, passport: Record) -> None:
    panels.draw_gains(axes, passport)
    _bare(axes, "Gains of phases", keep=True)
    axes.set_xlabel("phase (row, column)", fontsize=SMALL_PT)
    axes.set_ylabel("gain / rms", fontsize=SMALL_PT)


def _kernel(axes: Axes, passport: Record) -> None:
    panels.draw_kernel(axes, passport)
    _bare(axes, "One input pixel", keep=True)


def _frequency(axes: Axes, passport: Record) -> None:
    panels.draw_axes_response(axes, passport)
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    _bare(axes, "Gain over frequency", keep=True)
    axes.set_xlabel("cycles per input pixel", fontsize=SMALL_PT)
    axes.set_ylabel("dB", fontsize=SMALL_PT)


def _edge(axes: Axes, passport: Record) -> None:
    panels.draw_response(axes, passport.responses.slanted_edge)
    _bare(axes, "Slanted edge")


def _zone_plate(axes: Axes, passport: Record) -> None:
    panels.draw_response(axes, passport.responses.zone_plate)
    _bare(axes, "Zone plate")


def _bare(axes: Axes, title: str, keep: bool = False) -> None:
    """Only what a small panel can carry: the title of its column, and no words inside."""
    axes.set_title(title, fontsize=TITLE_PT, color=INK, loc="left")
    for text in list(axes.texts):
        text.remove()
    axes.set_xlabel("")
    axes.set_ylabel("")
    if not keep:
        axes.set_xticks([])
        axes.set_yticks([])


def _all_frequency(axes: Axes, passports: Sequence[Record]) -> None:
    for p, look in zip(passports, _looks(passports), strict=True):
        axes.plot(
            p.frequency.frequency, p.frequency.horizontal_db, color=look.color, ls=look.dash, label=p.subject.name
        )
    axes.axvline(0.5, color=FAINT, lw=0.8)
    axes.set_ylim(panels.DB_FLOOR, 12)
    axes.set_xlim(0, passports[0].subject.scale / 2)
    label(axes, "Gain over frequency, horizontal", "cycles per input pixel (0.5: limit of the input)", "dB")


def _all_shift(axes: Axes, passports: Sequence[Record]) -> None:
    for p, look in zip(passports, _looks(passports), strict=True):
        e = p.equivariance
        axes.plot(
            e.bandwidth, np.minimum(e.half_pixel_db, 80), color=look.color, ls=look.dash, marker=look.marker, ms=5
        )
    axes.set_ylim(-10, 82)
    label(
        axes,
        "Moved by half an input pixel",
        "band of the image / Nyquist limit",
        "signal over error, dB (higher is better)",
    )


def _all_phase(axes: Axes, passports: Sequence[Record]) -> None:
    place = np.arange(len(passports))
    values = [p.gains.dc_phase_variation for p in passports]
    axes.barh(place, values, color=[look.color for look in _looks(passports)])
    for at, value in enumerate(values):
        axes.text(value + 0.01, at, f"{value:.3f}", va="center", fontsize=SMALL_PT)
    axes.set_yticks(place, [p.subject.name for p in passports])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15)
    label(axes, "Checkerboard on a flat area", "relative DC-phase variation (0: none)", "")


def _all_cost(axes: Axes, passports: Sequence[Record]) -> None:
    place = np.arange(len(passports))
    timings = [p.cost.timings[0] if p.cost else None for p in passports]
    forward = np.array([(t.forward_ms or 0.0) if t else 0.0 for t in timings])
    backward = np.array([(t.backward_ms or 0.0) if t else 0.0 for t in timings])
    colors = [look.color for look in _looks(passports)]
    axes.barh(place, forward, color=colors)
    axes.barh(place, backward, left=forward, color=colors, alpha=0.4)
    axes.set_yticks(place, ["\n".join(macs_words(p.cost)) if p.cost else p.subject.name for p in passports])
    axes.invert_yaxis()
    where = passports[0].subject.device
    shapes = dict.fromkeys("x".join(map(str, p.cost.input_shape)) for p in passports if p.cost)
    label(axes, "Time: forward, and backward (pale)", f"ms on {where}, float32, input {', '.join(shapes)}", "")
