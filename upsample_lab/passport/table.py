"""The passport as plain text: one line a quantity, with what would be ideal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from upsample_lab.passport.record import DB_CEILING, Cost, Finding, Record

WIDTH = 100
Row = tuple[str, str, str]


def table(passport: Record) -> str:
    """All figures of one passport, at most `WIDTH` columns."""
    lines = [*heading(passport), ""]
    for title, rows in sections(passport):
        lines += [title, *(_line(row) for row in rows), ""]
    if passport.cost:
        lines += ["cost on this device", *cost_lines(passport.cost), ""]
    lines += ["findings", *finding_lines(passport.findings)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def heading(passport: Record) -> list[str]:
    """Name, and how it was measured."""
    s = passport.subject
    first = f"{s.name}: x{s.scale}, {s.in_channels} -> {s.out_channels} channels"
    how = f"measured on {s.size_px} x {s.size_px} inputs in {s.precision} on {s.device}, evaluation mode, seed {s.seed}"
    if not s.linear:
        how += f"; not linear (error {s.linearity_error:.1g}): responses are derivatives at {s.point}"
    if s.guide:
        how += f"; guide: {s.guide}"
    return [first, *textwrap.wrap(how, WIDTH)]


def sections(passport: Record) -> Iterator[tuple[str, list[Row]]]:
    """(title, rows of quantity, value and ideal); the HTML page shows the same."""
    yield "phases", phase_rows(passport)
    yield "place and shape", shape_rows(passport)
    yield "frequency", frequency_rows(passport)
    yield "shift equivariance (higher is better)", shift_rows(passport)
    yield "border and gradient", border_rows(passport)
    if len(passport.stages.stages) > 1:
        yield "checkerboard by stage", stage_rows(passport)


def phase_rows(passport: Record) -> list[Row]:
    g = passport.gains
    taps = sorted({int(tap) for tap in g.taps.ravel()})
    rows = [
        ("DC-phase variation, relative", f"{g.dc_phase_variation:.4f}", f"0 even, {_random(passport):.3f} random"),
        ("  of the weights alone", f"{g.weight_phase_variation:.4f}", "0"),
        ("  of the biases alone", f"{g.bias_phase_variation:.4f}", "0"),
        ("input pixels a phase sees", " or ".join(map(str, taps)), "one number"),
    ]
    if passport.subject.scale <= 4:
        gains = (g.gain**2).mean(axis=0) ** 0.5
        texts = (" ".join(f"{value:.3f}" for value in row) for row in gains)
        rows += [(f"gain of the phases in row {y} (rms)", text, "all equal") for y, text in enumerate(texts)]
    return rows


def _random(passport: Record) -> float:
    return math.sqrt(1 - 1 / passport.subject.scale**2)


def shape_rows(passport: Record) -> list[Row]:
    i = passport.impulse
    support = "the whole image" if i.support_px is None else f"{i.support_px[0]} x {i.support_px[1]} px"
    shift = "undefined" if i.support_shift_px is None else pair(i.support_shift_px, "+.2f", "px")
    return [
        ("support of one input pixel", support, ""),
        ("shift of the support (down, right)", shift, "0"),
        ("shift of slow content (down, right)", pair(i.delay_px, "+.2f", "px"), "0"),
        ("  its standard error over channels", pair(i.delay_error_px, ".2f", "px"), ""),
        ("magnification (down, right)", pair(i.magnification, ".3f", ""), f"{passport.subject.scale}"),
        ("difference between places", f"{i.position_error:.2%}", "0"),
    ]


def frequency_rows(passport: Record) -> list[Row]:
    f = passport.frequency
    return [
        ("image rejection, white input", db(f.image_rejection_db), "high"),
        ("image rejection, lower half band", db(f.half_band_rejection_db), "high"),
        ("image rejection, constant", db(f.dc_rejection_db), "high; the checkerboard"),
        ("droop at half band (down, right)", pair(f.droop_db, "+.2f", "dB"), "0"),
    ]


def shift_rows(passport: Record) -> list[Row]:
    e = passport.equivariance
    rows = [("by 1 input pixel", db(e.integer_db), f"{DB_CEILING:.0f}: exact")]
    return rows + [
        (f"by half a pixel, band {band:.3g} of Nyquist", db(value), "high")
        for band, value in zip(e.bandwidth, e.half_pixel_db, strict=True)
        if round(band * 8) % 2 == 0
    ]


def border_rows(passport: Record) -> list[Row]:
    b, g = passport.border, passport.gradient
    where = "nowhere" if not b.fails else f"{', '.join(b.fails)}; {max(b.width_px.values())} px deep"
    return [
        ("border over interior, constant", f"{b.ratio[b.worst]:.3f} at the {b.worst}", "1"),
        ("border fails (more than 1 % off)", where, "nowhere"),
        ("gradient: spread over the interior", number(g.interior_variation, ".4f"), "0"),
        ("gradient: border over interior", number(g.border_ratio, ".3f"), "1"),
    ]


def stage_rows(passport: Record) -> list[Row]:
    return [
        (
            f"stage {stage.name or 'whole'} (x{stage.scale}): period {stage.period_px} px",
            f"{stage.share:6.1%} of the energy",
            "<- the most" if stage.name == passport.stages.culprit else "",
        )
        for stage in passport.stages.stages
    ]


def cost_lines(cost: Cost) -> list[str]:
    """Counts, then times and memory by dtype and memory format."""
    formula = "" if cost.macs_per_pixel_formula is None else f"   (formula {count(cost.macs_per_pixel_formula)})"
    shape = " x ".join(map(str, cost.input_shape))
    lines = [
        _line(("parameters", f"{cost.parameter_count:,}", "")),
        _line(("MACs per output pixel, forward", f"{count(cost.macs_per_pixel)}{formula}", "")),
        _line(("MACs per output pixel, backward", count(cost.backward_macs_per_pixel), "")),
        _line(("bytes moved, forward, backward", f"{size(cost.bytes_moved)}, {size(cost.backward_bytes_moved)}", "")),
        f"  input {shape}; medians of {cost.repeats} rounds, {cost.threads} CPU threads",
        f"  {'':<24}{'forward':>12}{'backward':>12}{'peak forward':>16}{'peak both':>14}",
    ]
    for t in cost.timings:
        row = f"  {t.dtype + ' ' + t.memory_format:<24}{ms(t.forward_ms):>12}{ms(t.backward_ms):>12}"
        lines.append(row + f"{size(t.forward_peak_bytes):>16}{size(t.backward_peak_bytes):>14}")
        lines += textwrap.wrap(t.note, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines


def defined_macs(cost: Cost) -> float:
    """Multiply-accumulates per output pixel by the layer's own formula, or as dispatched where it has none."""
    return cost.macs_per_pixel if cost.macs_per_pixel_formula is None else cost.macs_per_pixel_formula


def macs_words(cost: Cost) -> list[str]:
    """`2,304 MACs/px`, and, where it differs by more than a border makes, what is really done: `1,025 as run`."""
    words = [f"{count(defined_macs(cost))} MACs/px"]
    differs = abs(cost.macs_per_pixel - defined_macs(cost)) > 0.1 * defined_macs(cost)
    return [*words, f"{count(cost.macs_per_pixel)} as run"] if differs else words


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """What is wrong, each with its mend."""
    lines = []
    for f in findings:
        where = f" [{f.where}]" if f.where else ""
        for text, indent in ((f"{f.severity}: {f.message}{where}", "  "), (f"-> {f.fix}", "     ")):
            lines += textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent="     ")
    return lines or ["  nothing is wrong"]


def _line(row: Row) -> str:
    return f"  {row[0]:<38} {row[1]:<36} {row[2]}"


def db(value: float) -> str:
    """Decibels; the ceiling is said in words, and what could not be measured too."""
    if math.isnan(value):
        return "undefined"
    return "exact" if value >= DB_CEILING else f"{value:.1f} dB"


def number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "undefined"


def pair(values: Sequence[float], form: str, unit: str) -> str:
    """`(vertical, horizontal)`; a shift of rounding size is 0."""
    shown = (format(0.0 if abs(v) < 5e-4 else v, form) if math.isfinite(v) else "undefined" for v in values)
    return f"{', '.join(shown)} {unit}".rstrip()


def ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"


def count(value: float) -> str:
    """A number of operations: whole from 100 up, else to three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(byte_count: int | None) -> str:
    """Bytes in binary units."""
    if byte_count is None:
        return "-"
    value, unit = float(byte_count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


COMPARISON_COLUMNS = (
    "DC-phase", "shift px", "image rej.", "droop", "half px", "border", "parameters", "MACs/px", "as run",
    "forward", "backward",
)  # fmt: skip
"""DC-phase: the relative variation. MACs/px: by the layer's definition; as run: as dispatched, folded where it is."""


def comparison_rows(passports: Sequence[Record]) -> list[list[str]]:
    """One row of `COMPARISON_COLUMNS` for each passport, its name first."""
    return [[passport.subject.name, *_comparison(passport)] for passport in passports]


def _comparison(passport: Record) -> list[str]:
    shift = passport.impulse.shift_px
    worst = max(shift, key=abs)
    cost, timing = passport.cost, passport.cost.timings[0] if passport.cost else None
    half = float(passport.equivariance.half_pixel_db[list(passport.equivariance.bandwidth).index(0.5)])
    return [
        f"{passport.gains.dc_phase_variation:.3f}",
        f"{0.0 if abs(worst) < 5e-3 else worst:.2f}" if math.isfinite(worst) else "-",
        db(passport.frequency.image_rejection_db),
        db(round(min(passport.frequency.droop_db), 1) + 0.0),
        db(half),
        f"{passport.border.ratio[passport.border.worst]:.2f}",
        f"{cost.parameter_count:,}" if cost else "-",
        count(defined_macs(cost)) if cost else "-",
        count(cost.macs_per_pixel) if cost else "-",
        ms(timing.forward_ms) if timing else "-",
        ms(timing.backward_ms) if timing else "-",
    ]


def comparison(passports: Sequence[Record]) -> str:
    """Several passports side by side, then what is wrong with each."""
    rows = [["", *COMPARISON_COLUMNS], *comparison_rows(passports)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    lines += ["", "defects"]
    for passport in passports:
        codes = [finding.code for finding in passport.findings if finding.severity != "note"]
        lines.append(f"  {passport.subject.name:<{widths[0]}}  {', '.join(codes) or 'none'}")
    return "\n".join(lines) + "\n"
