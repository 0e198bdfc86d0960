"""The ranking of a diagnosis as plain text, and as numbers; a `Diagnosis` offers both, so it is not imported here."""

from __future__ import annotations

import textwrap
from typing import Any

from upsample_lab.doctor.attribute import Attribution
from upsample_lab.doctor.measure import Strength
from upsample_lab.doctor.outputs import Units
from upsample_lab.doctor.prescriptions import prescribe

WIDTH = 120
_PATH = 36  # characters of a path in the table; of a longer one the end is shown

HEADS = (
    "site", "what it is", "channels", "pixels", "period", "own", "flat", "border", "adds", "arrives", "cured", "share",
)  # fmt: skip


def table(diagnosis: Any) -> str:
    """Sentence, ranked sites, and findings, at most `WIDTH` columns but for long paths."""
    rows = [HEADS, *(cells(row, diagnosis.units) for row in diagnosis.ranking)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    said = filter(None, (diagnosis.sentence(), diagnosis.outlook()))
    lines = [*said, "", f"{diagnosis.name}: {_output(diagnosis)}", ""]
    for index, row in enumerate(rows):
        words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        figures = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(words + figures).rstrip())
        if index == 0:
            lines.append("─" * (sum(widths) + 2 * (len(widths) - 1)))
    lines += ["", *(f"{word:<6} {meaning}" for word, meaning in LEGEND), ""]
    for finding in diagnosis.findings:
        text = f"{finding.severity}: {finding.message} {finding.fix}".strip()
        lines += _wrapped(text, indent="    ")
    for site in diagnosis.to_cure():
        for way in prescribe(site)[:1]:
            lines += ["", f"To paste, for {site.place}:", "", *str(way).splitlines()]
    return "\n".join(lines).rstrip() + "\n"


LEGEND = (
    ("own", "pattern at the site's own output, over its neighbourhood"),
    ("flat", "spread of its phases on a flat area, at the mean of its activations; border: its borders' difference"),
    ("adds", "its part of the pattern at the model's output; arrives: all that is there at its periods"),
    ("cured", "what remains of that with this site balanced (~ smoothed over a period); share: what goes with it"),
)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _output(diagnosis: Any) -> str:
    return f"output{diagnosis.output} {list(diagnosis.output_shape)}, {diagnosis.units}"


def cells(row: Attribution, units: Units, whole: bool = False) -> tuple[str, ...]:
    """One site's row under `HEADS`, with a long path cut unless it is wanted whole."""
    site = row.site
    path = site.place
    ratio = "x".join(f"{s:g}" for s in dict.fromkeys(site.scale))
    kernel = f" k{'x'.join(map(str, dict.fromkeys(site.kernel_size)))}" if site.kernel_size else ""
    what = f"{site.kind}{f' {site.mode}' if site.mode else ''}{kernel} x{ratio}"
    what += f", {site.calls} calls" if site.calls > 1 else ""
    sizes = [site.sizes[0][0], site.sizes[-1][1]]
    return (
        path if whole or len(path) <= _PATH else f"…{path[1 - _PATH :]}",
        what,
        f"{site.in_channels}>{site.out_channels}",
        ">".join("x".join(map(str, size)) for size in sizes),
        row.periods.replace(" and ", ","),
        "" if row.own is None else f"{row.own.over_db:+.1f} dB",
        "" if row.flat is None else f"{row.flat.variation:.1%}",
        "" if row.flat is None or row.flat.border is None else f"{row.flat.border:.1%}",
        _short(row.adds, units),
        _short(row.arrives, units) if row.depends else "unused",
        _short(row.remains, units) + ("~" if row.remains is not None and row.cure == "smoothed" else ""),
        "" if row.share is None else f"{row.share:.0%}",
    )


def _short(strength: Strength | None, units: Units) -> str:
    if strength is None:
        return ""
    return f"{strength.over_db:+.1f} dB" if units.per_unit is None else f"{strength.rms * units.per_unit:.2f}"


def numbers(diagnosis: Any) -> dict[str, Any]:
    """What the JSON file holds."""
    return {
        "name": diagnosis.name,
        "sentence": diagnosis.sentence(),
        "output": diagnosis.output,
        "output_shape": diagnosis.output_shape,
        "levels_per_unit": diagnosis.units.per_unit,
        "sites": diagnosis.sites,
        "ranking": [_numbers(row) for row in diagnosis.ranking],
        "together": None
        if diagnosis.together is None
        else {name: _strength(getattr(diagnosis.together, name)) for name in ("before", "after")},
        "chain": [
            {"where": step.where, "relative": {f"{h}x{w}": value for (h, w), value in step.relative.items()}}
            for step in diagnosis.chain
        ],
        "findings": diagnosis.findings,
    }


def _numbers(row: Attribution) -> dict[str, Any]:
    strengths = {"own": row.own, "arrives": row.arrives, "remains": row.remains, "adds": row.adds}
    return {
        "path": row.site.path,
        "periods": [reach.period for reach in row.reaches],
        "depends": row.depends,
        "cure": row.cure,
        "share": row.share,
        "flat": row.flat,
        "cure_adds": row.cure_adds and {"period": row.cure_adds[0], **(_strength(row.cure_adds[1]) or {})},
        **{name: _strength(strength) for name, strength in strengths.items()},
    }


def _strength(strength: Strength | None) -> dict[str, float] | None:
    return None if strength is None else {"rms": strength.rms, "over_db": strength.over_db}
