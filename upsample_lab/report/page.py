"""The report as one HTML file: no network, no library, readable on a phone, in the dark, on paper, without a mouse.

Everything that is shown is written here; the script only sorts, chooses and moves. Whatever comes from names and
configurations passes `escape`, and the page's policy lets no script run but its own and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
from matplotlib.markers import MarkerStyle

from upsample_lab.catalogue import Metric
from upsample_lab.compare.result import Comparison, Variant
from upsample_lab.compare.words import NONE, Cell, Column, facts, metric_title, number, plural
from upsample_lab.drawing.flat import FlatPictures, Panel
from upsample_lab.drawing.looks import variant_looks
from upsample_lab.drawing.palette import BAD, GOOD, Look
from upsample_lab.drawing.reconstructions import Pictures, data_address, error_strip, strip, tile_file
from upsample_lab.drawing.style import NEUTRAL
from upsample_lab.report.material import Material
from upsample_lab.report.passports import Card
from upsample_lab.report.sections import (
    Cards,
    Chart,
    Command,
    FlatGallery,
    Gallery,
    Items,
    NamedValues,
    Note,
    OfMetric,
    PageBlock,
    Section,
    TableBlock,
    sections,
    setting,
)
from upsample_lab.report.svg import color_rules, figure_element, used_colors

TILE_PX = 64  # of a picture of a flat area, at most, as in the style sheet
FIRST_DIRECTION = {"higher": "descending", "lower": "ascending", "": "ascending"}


def report_page(material: Material) -> str:
    """The page as a string."""
    comparison = material.comparison
    package = files("upsample_lab.report")
    script = package.joinpath("report.js").read_text(encoding="utf-8")
    looks = variant_looks(comparison.variants)
    every = sections(material)
    body = "\n".join(_section(section, _Context(material, looks)) for section in every)
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
        contents="".join(f'<li><a href="#{each.name}">{escape(each.title)}</a></li>' for each in every),
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


def _section(section: Section, page: _Context) -> str:
    heading = f'<h2 id="{section.name}-title">{escape(section.title)}</h2>'
    content = "\n".join(_block(block, page) for block in section.blocks)
    if section.name == "results":
        content += _spotlight(page)
    if metrics := [block.metric for block in section.blocks if isinstance(block, OfMetric)]:
        content = _chooser(metrics) + content
    return f'<section id="{section.name}" aria-labelledby="{section.name}-title">{heading}\n{content}\n</section>'


@dataclass(frozen=True, eq=False)
class _Context:
    """What blocks need to know of the comparison that they are of."""

    material: Material
    looks: Mapping[str, Look]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return self.material.comparison.variants


def _block(block: PageBlock, page: _Context) -> str:
    match block:
        case Note(text):
            return f'<p class="note">{escape(text)}</p>'
        case Chart(rendered, titled):
            return (f"<h3>{escape(rendered.drawing.title)}</h3>" if titled else "") + figure_element(rendered)
        case TableBlock():
            return _table(block, page)
        case Items(sentences):
            return f'<ul class="plain">{"".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)}</ul>'
        case NamedValues(pairs, folded):
            items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
            return _folded(folded, f'<dl class="measured">{items}</dl>')
        case Command(title, text):
            return f'<h3>{escape(title)}</h3><pre tabindex="0"><code>{escape(text)}</code></pre>'
        case OfMetric(metric, blocks):
            content = "".join(_block(inner, page) for inner in blocks)
            return f'<div data-metric="{escape(metric.key)}">{content}</div>'
        case Gallery(pictures, _):
            return _gallery(page.variants, pictures)
        case FlatGallery(pictures, _):
            return _flat(pictures)
        case Cards(cards):
            return _cards(cards)


def _folded(words: str, content: str) -> str:
    return f"<details><summary>{escape(words)}</summary>{content}</details>" if words else content


# ------------------------------------------------------------------------------------------------------------- tables


def _table(table: TableBlock, page: _Context) -> str:
    kinds = ["words" if column.words else "" for column in table.columns]
    kinds = [f"{kind} sentence" if column.title == "verdict" else kind
             for kind, column in zip(kinds, table.columns, strict=True)]  # fmt: skip
    head = "".join(_heading(column, index == table.sorted_by) for index, column in enumerate(table.columns))
    head = (_heading(Column("variant")) if table.names else "") + head
    body = "".join(_row(row, kinds, table.names[i] if table.names else "", page) for i, row in enumerate(table.rows))
    kind = ' class="results"' if table.sorted_by >= 0 else ""
    content = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.label)}">'
        f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return _folded(table.folded, content)


def _row(row: Sequence[Cell], kinds: Sequence[str], name: str, page: _Context) -> str:
    cells = "".join(map(_cell, row, kinds))
    if not name:
        return f"<tr>{cells}</tr>"
    index = next(place for place, variant in enumerate(page.variants) if variant.name == name)
    label = f"{_breakable(name)}{_settings(page.variants[index], page.variants)}"
    head = f'<th scope="row"><span class="name">{swatch(page.looks[name])}<span>{label}</span></span></th>'
    return f'<tr data-variant="variant-{index}">{head}{cells}</tr>'


def _breakable(name: str) -> str:
    """A name that may go on in the next line where words in it end."""
    return re.sub(r"([_/])(?=\w)", r"\1<wbr>", escape(name))


def _spotlight(page: _Context) -> str:
    """The choice of a variant that stands out in all figures."""
    if len(page.variants) < 2 or not any(page.material.charts.values()):
        return ""
    choices = "".join(
        f'<option value="variant-{index}">{escape(variant.name)}</option>'
        for index, variant in enumerate(page.variants)
    )
    return (
        f'<label class="choice">Highlight in the figures <select id="spotlight"><option value="">all alike</option>'
        f"{choices}</select></label>"
    )


def _chooser(metrics: Sequence[Metric]) -> str:
    """The choice of the metric that is shown; nothing where there is but one."""
    choices = "".join(f'<option value="{escape(m.key)}">{escape(metric_title(m))}</option>' for m in metrics)
    choose = f'<p><label class="choice">Metric <select id="metric">{choices}</select></label></p>'
    return choose if len(metrics) > 1 else ""


def _settings(variant: Variant, variants: Sequence[Variant]) -> str:
    """In small print, in what it differs from other variants of the same upsampler."""
    others = [other for other in variants if other.upsampler == variant.upsampler and other is not variant]
    own = [
        f"{key.removeprefix('upsample.')} {setting(value)}"
        for key, value in variant.settings.items()
        if value is not None and any(other.settings.get(key) != value for other in others)
    ]
    return f'<span class="detail">{escape(", ".join(own))}</span>' if own else ""


def swatch(look: Look) -> str:
    """The variant's marker in its colour, as in the figures."""
    style = MarkerStyle(look.marker)
    polygons = [np.asarray(p) for p in style.get_path().transformed(style.get_transform()).to_polygons()]
    lines = "".join("M" + "L".join(f"{x:.2f} {-y:.2f}" for x, y in polygon) + "z" for polygon in polygons)
    path = f'<path d="{lines}" fill="var(--c-{look.color[1:]})"/>'
    return f'<svg class="swatch" viewBox="-.55 -.55 1.1 1.1" aria-hidden="true">{path}</svg>'


def _heading(column: Column, sorted_now: bool = False) -> str:
    direction = FIRST_DIRECTION[column.better]
    state = f' aria-sort="{direction}"' if sorted_now else ""
    unit = f' <span class="unit">({escape(column.unit)})</span>' if column.unit else ""
    better = f'<span class="detail">{column.better} is better</span>' if column.better else ""
    kind = ' class="words"' if column.words else ""
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


# ------------------------------------------------------------------------------------------------------------ figures


def _gallery(variants: Sequence[Variant], pictures: Pictures) -> str:
    """The same image by two variants under one divider, with their errors, and by all of them below."""
    names = [v.name for v in variants if v.name in pictures.outputs]
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
        f"<figcaption><b>{_breakable(name)}</b>{psnr}</figcaption></figure>"
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


def _flat(pictures: FlatPictures) -> str:
    """A table of tiles: a row for each variant, a column for each grey, and one for the worst flat window."""
    head = "".join(
        f'<th scope="col"><span>{escape(panel.title)}</span><span class="tiles">'
        f"{''.join(f'<i>{escape(word)}</i>' for word in panel.heads)}</span></th>"
        for panel in pictures.panels
    )
    rows = "".join(
        f'<tr><th scope="row">{_breakable(name)}</th>{"".join(_tiles(panel, name) for panel in pictures.panels)}</tr>'
        for name in pictures.names
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Flat areas">'
        f'<table class="flat"><thead><tr><th scope="col">variant</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _tiles(panel: Panel, name: str) -> str:
    if name not in panel.tiles:
        return f"<td>{NONE}</td>"
    images = "".join(
        f'<span><img src="{data_address(tile_file(tile))}" alt="{escape(f"{panel.title} by {name}, {word}")}" '
        f'style="width: {tile.shape[1] * scale}px; height: {tile.shape[0] * scale}px"></span>'
        for word, tile in zip(panel.heads, panel.tiles[name], strict=True)
        if (scale := max(1, TILE_PX // max(tile.shape[:2])))  # a whole number, or a checkerboard would become a moiré
    )
    return f'<td><span class="tiles">{images}</span>{escape(panel.words[name])}</td>'


def _cards(cards: Mapping[str, Card]) -> str:
    pictures = "".join(
        f'<figure><img src="{data_address(card.png)}" alt="Passport of {escape(name)}: flat area, response to one '
        f'pixel, frequency response"><figcaption><b>{escape(name)}</b> {escape(card.finding)}</figcaption></figure>'
        for name, card in cards.items()
    )
    return f'<div class="passports">{pictures}</div>'
