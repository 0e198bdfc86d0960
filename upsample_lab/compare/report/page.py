"""The report as one HTML file: no network, no library, readable on a phone, in the dark, on paper, without a mouse.

Everything that is shown is written here; the script only sorts, chooses and moves. Whatever comes from names and
configurations passes `escape`, and the page's policy lets no script run but its own and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
from matplotlib.markers import MarkerStyle

from upsample_lab.compare.report.looks import VariantLook, variant_looks
from upsample_lab.compare.report.material import Material
from upsample_lab.compare.report.pictures import NEUTRAL, Pictures, data_address, error_strip, strip
from upsample_lab.compare.report.svg import color_rules, figure_element, used_colors
from upsample_lab.compare.report.words import (
    DIFFERENCE_COLUMNS,
    NONE,
    Cell,
    Column,
    difference_row,
    facts,
    measured,
    metric_title,
    number,
    plural,
    results_table,
    table_note,
)
from upsample_lab.compare.result import Comparison, Metric, Variant
from upsample_lab.palette import BAD, GOOD

FIRST_DIRECTION = {"higher": "descending", "lower": "ascending", "": "ascending"}


def report_page(material: Material) -> str:
    """The page as a string."""
    comparison = material.comparison
    package = files("upsample_lab.compare.report")
    script = package.joinpath("report.js").read_text(encoding="utf-8")
    sections = [section for section in _sections(material) if section[2]]
    body = "\n".join(_section(name, title, content) for name, title, content in sections)
    looks = variant_looks(comparison.variants)
    colors = used_colors(body) | {look.color for look in looks.values()}
    return Template(package.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        policy=_policy(script),
        title=escape(f"{comparison.experiment}: comparison"),
        experiment=escape(comparison.experiment),
        facts=escape(facts(comparison)),
        colors=f":root {{\n{color_rules(colors)}\n}}",
        style=package.joinpath("report.css").read_text(encoding="utf-8"),
        sprites=_strip_rules(comparison, material.pictures),
        verdict="\n".join(f"<p>{escape(sentence)}</p>" for sentence in comparison.verdict),
        contents="".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections),
        sections=body,
        data=_json(_script_data(comparison, material.pictures)),
        script=script,
    )


def _policy(script: str) -> str:
    """Nothing is fetched, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(content: object) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _section(name: str, title: str, content: str) -> str:
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}\n{content}\n</section>'


def _sections(material: Material) -> Iterator[tuple[str, str, str]]:
    """(id, title, content); one without content is left out."""
    yield "results", "Results", _results(material)
    yield "differences", "Paired differences", _differences(material)
    yield "cost", "Quality against cost", _charts(material, "cost", COST_NOTE)
    yield "artifact", "Quality against artifact", _charts(material, "artifact", ARTIFACT_NOTE)
    yield "training", "Over training", _charts(material, "curves", CURVES_NOTE)
    yield "images", "The same images", _gallery(material.comparison, material.pictures)
    yield "regions", "Where they differ", _charts(material, "regions", REGIONS_NOTE)
    yield "passports", "Passports", _passports(material)
    yield "measured", "How it was measured", _measured(material.comparison)
    yield "limits", "What this does not show", _items(material.comparison.caveats)
    yield "left-out", "Runs left out", _items(material.comparison.left_out)


COST_NOTE = (
    "Up is better, left is cheaper. Filled markers lie on the front: no other variant is both better and cheaper. Bars "
    "are intervals of the mean."
)
ARTIFACT_NOTE = (
    "A layer can reconstruct best on average and still leave the pattern that the eye finds first. Steep lines on the "
    "right are variants that the two figures judge differently."
)
CURVES_NOTE = (
    "Mean over the seeds at each validation; bands are intervals of that mean. A steep start is cut off where it would "
    "flatten what follows."
)
REGIONS_NOTE = (
    "Mean squared error over all test images, pixels in 0…1, by kind of pixel: edges are the fifth of an image's "
    "pixels with the largest gradient, flat areas those with none to speak of."
)

# ------------------------------------------------------------------------------------------------------------- tables


def _results(material: Material) -> str:
    comparison = material.comparison
    columns, rows = results_table(comparison)
    looks = variant_looks(comparison.variants)
    head = _heading(Column("variant")) + "".join(
        _heading(column, sorted_now=index == 0) for index, column in enumerate(columns)
    )
    body = "".join(
        f'<tr data-variant="variant-{index}"><th scope="row"><span class="name">{swatch(looks[variant.name])}'
        f"<span>{escape(variant.name)}{_settings(variant, comparison.variants)}</span></span></th>"
        f"{''.join(map(_cell, row))}</tr>"
        for index, (variant, row) in enumerate(zip(comparison.variants, rows, strict=True))
    )
    choices = "".join(
        f'<option value="variant-{index}">{escape(variant.name)}</option>'
        for index, variant in enumerate(comparison.variants)
    )
    spotlight = (
        f'<label class="choice">Highlight in the figures <select id="spotlight"><option value="">all alike</option>'
        f"{choices}</select></label>"
        if len(comparison.variants) > 1 and any(material.charts.values())
        else ""
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of results">'
        f'<table class="results" aria-describedby="results-note"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<p class="note" id="results-note">{escape(table_note(comparison))}</p>{spotlight}'
    )


def _settings(variant: Variant, variants: Sequence[Variant]) -> str:
    """In small print, in what it differs from other variants of the same upsampler."""
    others = [other for other in variants if other.upsampler == variant.upsampler and other is not variant]
    own = [
        f"{key.removeprefix('upsample.')} {_value(value)}"
        for key, value in variant.settings.items()
        if value is not None and any(other.settings.get(key) != value for other in others)
    ]
    return f'<span class="detail">{escape(", ".join(own))}</span>' if own else ""


def _value(value: object) -> str:
    """As it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def swatch(look: VariantLook) -> str:
    """The variant's marker in its colour, as in the figures."""
    style = MarkerStyle(look.marker)
    polygons = [np.asarray(p) for p in style.get_path().transformed(style.get_transform()).to_polygons()]
    lines = "".join("M" + "L".join(f"{x:.2f} {-y:.2f}" for x, y in polygon) + "z" for polygon in polygons)
    path = f'<path d="{lines}" fill="var(--c-{look.color[1:]})"/>'
    return f'<svg class="swatch" viewBox="-.55 -.55 1.1 1.1" aria-hidden="true">{path}</svg>'


def _heading(column: Column, sorted_now: bool = False, words: bool = False) -> str:
    direction = FIRST_DIRECTION[column.better]
    state = f' aria-sort="{direction}"' if sorted_now else ""
    unit = f' <span class="unit">({escape(column.unit)})</span>' if column.unit else ""
    better = f'<span class="detail">{column.better} is better</span>' if column.better else ""
    kind = ' class="words"' if words else ""
    return (
        f'<th scope="col"{kind} data-first="{direction}"{state}>'
        f'<button type="button">{escape(column.title)}{unit}</button>{better}</th>'
    )


def _cell(cell: Cell, kind: str = "") -> str:
    order = "" if cell.order is None else f' data-order="{cell.order!r}"'
    remark = f'<span class="remark {cell.remark}">{escape(cell.remark)}</span>' if cell.remark else ""
    detail = f'<span class="detail">{remark}{escape(cell.detail)}</span>' if cell.detail or remark else ""
    name = f' class="{kind}"' if kind else ""
    return f"<td{name}{order}>{escape(cell.text)}{detail}</td>"


def _differences(material: Material) -> str:
    comparison = material.comparison
    metrics = [metric for metric in comparison.metrics if comparison.differences.get(metric.key)]
    if not metrics:
        return ""
    choices = "".join(f'<option value="{escape(m.key)}">{escape(metric_title(m))}</option>' for m in metrics)
    choose = f'<p><label class="choice">Metric <select id="metric">{choices}</select></label></p>'
    choose = choose if len(metrics) > 1 else ""
    level = f"{comparison.confidence:.0%}".replace("%", " %")
    note = (
        '<p class="note">Differences are taken seed by seed, so that what a seed does to all variants cancels. A full '
        f"dot: shown after Holm's correction. The {level} intervals hold for all pairs of a metric at once.</p>"
    )
    return note + choose + "".join(_metric_part(material, metric) for metric in metrics)


def _metric_part(material: Material, metric: Metric) -> str:
    pairs = material.comparison.differences[metric.key]
    kinds = ("words", "words", "", "", "", "", "", "words sentence")
    columns = zip(DIFFERENCE_COLUMNS, kinds, strict=True)
    head = "".join(_heading(column, words="words" in kind) for column, kind in columns)
    rows = "".join(f"<tr>{''.join(map(_cell, difference_row(pair, metric), kinds))}</tr>" for pair in pairs)
    charts = material.difference_charts(metric)
    return (
        f'<div data-metric="{escape(metric.key)}">{"".join(figure_element(chart) for chart in charts)}'
        f"<details><summary>{escape(plural(len(pairs), 'pair'))} in figures</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Differences of {escape(metric.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details></div>"
    )


# ------------------------------------------------------------------------------------------------------------ figures


def _charts(material: Material, section: str, note: str) -> str:
    charts = material.charts[section]
    if not charts:
        return ""
    titles = len(charts) > 1 or section == "artifact"  # whose title is the finding
    parts = ((f"<h3>{escape(chart.drawing.title)}</h3>" if titles else "") + figure_element(chart) for chart in charts)
    return f'<p class="note">{escape(note)}</p>{"".join(parts)}'


def _gallery(comparison: Comparison, pictures: Pictures | None) -> str:
    """The same image by two variants under one divider, with their errors, and by all of them below."""
    if pictures is None:
        return ""
    names = [v.name for v in comparison.variants if v.name in pictures.outputs]
    options = "".join(f'<option value="{index}">{escape(name)}</option>' for index, name in enumerate(names))
    thumbs = "".join(
        f'<label><input type="radio" name="image" value="{i}"{" checked" if i == 0 else ""} '
        f'aria-label="test image {i + 1}">'
        '<span class="pic strip-original"></span></label>'
        for i in range(pictures.count)
    )
    everyone = _picture("original", "strip-original", "original", "") + "".join(
        _picture(name, f"strip-{i}", f"reconstruction by {name}", f"strip-error-{i}", i) for i, name in enumerate(names)
    )
    height, width = pictures.originals.shape[1:3]
    limit = number(pictures.limit, 2)
    return f"""
<p class="note">{plural(pictures.count, "test image")}, those first on which the variants differ most, from the runs
with seed {pictures.seed}. One square is one pixel. Drag the divider, or focus it and press the arrow keys.</p>
<div style="--ratio: {width} / {height}">
<fieldset class="thumbs"><legend>Test image</legend>{thumbs}</fieldset>
<div class="controls">
  <label class="choice">A <select id="a">{options}</select></label>
  <button id="swap" type="button" aria-label="Swap A and B">⇄</button>
  <label class="choice">B <select id="b">{options}</select></label>
  <label class="choice">Zoom <input id="zoom" type="range" min="1" max="6" step="0.5" value="1"></label>
</div>
<div class="stage" id="stage" tabindex="0" role="group" aria-label="Comparison; plus and minus zoom, arrow keys move">
  <figure class="comparer">
    <div class="pic" data-role="a" role="img" aria-label="reconstruction by A, left of the divider">
      <div class="pic top" data-role="b" role="img" aria-label="reconstruction by B, right of the divider"></div>
      <span class="divider"></span>
      <span class="tag left">A <span data-name="a"></span></span>
      <span class="tag right">B <span data-name="b"></span></span>
    </div>
    <input id="split" type="range" min="0" max="100" value="50" aria-label="Divider between A and B">
  </figure>
  <figure><div class="pic strip-original" data-role="original" role="img" aria-label="original"></div>
    <figcaption>original</figcaption></figure>
  <dl class="figures"><dt>A</dt><dd data-figure="a"></dd><dt>B</dt><dd data-figure="b"></dd>
    <dt>A − B</dt><dd data-figure="gain"></dd></dl>
  <figure><div class="pic" data-role="error-a" role="img" aria-label="error of A"></div>
    <figcaption>error of A</figcaption></figure>
  <figure><div class="pic" data-role="error-b" role="img" aria-label="error of B"></div>
    <figcaption>error of B</figcaption></figure>
</div>
<p class="scale">too dark by {limit} <i style="background: linear-gradient(90deg, {GOOD}, {NEUTRAL}, {BAD})"></i>
too bright by {limit} of the range</p>
<h3>All variants, and their errors</h3>
<div class="everyone">{everyone}</div>
</div>"""


def _picture(name: str, strip_name: str, words: str, error: str, index: int | None = None) -> str:
    below = f'<div class="pic {error}" role="img" aria-label="error of {escape(name)}"></div>' if error else ""
    psnr = f'<span data-psnr="{index}"></span>' if index is not None else ""
    return (
        f'<figure><div class="pic {strip_name}" role="img" aria-label="{escape(words)}"></div>{below}'
        f"<figcaption><b>{escape(name)}</b>{psnr}</figcaption></figure>"
    )


def _strip_rules(comparison: Comparison, pictures: Pictures | None) -> str:
    """A class for each strip of images; numbers, not names, so that nothing has to be escaped for CSS."""
    if pictures is None:
        return ""
    names = [v.name for v in comparison.variants if v.name in pictures.outputs]
    strips: list[tuple[str, bytes]] = [("original", strip(pictures.originals))]
    for index, name in enumerate(names):
        strips.append((str(index), strip(pictures.outputs[name])))
        strips.append((f"error-{index}", error_strip(pictures.errors[name], pictures.limit)))
    return "\n".join(f".strip-{name} {{ background-image: url({data_address(png)}); }}" for name, png in strips)


def _script_data(comparison: Comparison, pictures: Pictures | None) -> dict[str, object]:
    if pictures is None:
        return {"pictures": None}
    names = [v.name for v in comparison.variants if v.name in pictures.outputs]
    psnr = [[round(value, 4) for value in pictures.psnr_db[name]] for name in names]
    return {"pictures": {"count": pictures.count, "names": names, "psnr": psnr}}


# --------------------------------------------------------------------------------------------------------------- words


def _passports(material: Material) -> str:
    """The figures of each layer alone beside what training made of it."""
    if not material.cards:
        return (
            '<p class="note">Not measured: <code>passports=true</code> adds each layer\'s, in some seconds a layer.</p>'
        )
    comparison, columns = material.comparison, next(iter(material.cards.values())).figures
    primary = comparison.metrics[0]
    head = _heading(Column("variant")) + "".join(_heading(Column(name)) for name in columns)
    head += _heading(Column(f"trained: {primary.title}", primary.unit))
    rows = "".join(
        f'<tr><th scope="row">{escape(v.name)}</th>{"".join(map(_cell, _card_cells(material, v.name, columns)))}'
        f"{_cell(_trained(comparison, v.name))}</tr>"
        for v in comparison.variants
    )
    pictures = "".join(
        f'<figure><img src="{data_address(card.png)}" alt="Passport of {escape(name)}: flat area, response to one '
        f'pixel, frequency response"><figcaption><b>{escape(name)}</b> {escape(card.finding)}</figcaption></figure>'
        for name, card in material.cards.items()
    )
    return (
        '<p class="note">Each layer measured alone on 16 × 16 inputs, with fresh weights: how unequal its phases '
        "are (DC-phase), how far it shifts, what it rejects and what it does at the border. The last column is what "
        "training made of it.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Passports"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><div class="passports">{pictures}</div>'
    )


def _card_cells(material: Material, name: str, columns: Iterable[str]) -> list[Cell]:
    card = material.cards.get(name)
    figures = [card.figures.get(column, NONE) if card else NONE for column in columns]
    return [Cell(figure, "", _leading_number(figure)) for figure in figures]


def _trained(comparison: Comparison, name: str) -> Cell:
    primary = comparison.metrics[0]
    estimate = comparison.estimates.get(primary.key, {}).get(name)
    return Cell(number(estimate.mean, primary.digits), "", estimate.mean) if estimate else Cell(NONE)


def _leading_number(text: str) -> float | None:
    """The number that a figure in words begins with."""
    try:
        return float(text.split(" ")[0].replace(",", ""))
    except ValueError:
        return None


def _measured(comparison: Comparison) -> str:
    facts_list = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in measured(comparison))
    commands: Sequence[tuple[str, str]] = (
        ("To repeat the runs", comparison.provenance.command),
        ("To compare them again", comparison.provenance.compare_command),
    )
    blocks = "".join(
        f'<h3>{title}</h3><pre tabindex="0"><code>{escape(command)}</code></pre>'
        for title, command in commands
        if command
    )
    return f'<dl class="measured">{facts_list}</dl>{_all_settings(comparison)}{blocks}'


def _all_settings(comparison: Comparison) -> str:
    """What each variant is, in full."""
    items = "".join(
        f"<dt>{escape(variant.name)}</dt><dd>{escape(', '.join(words))}</dd>"
        for variant in comparison.variants
        if (words := [f"{key}={_value(value)}" for key, value in variant.settings.items() if value is not None])
    )
    summary = "<summary>Settings in which the variants differ</summary>"
    return f'<details>{summary}<dl class="measured">{items}</dl></details>' if items else ""


def _items(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="plain">{items}</ul>' if items else ""
