"""The passport as one self-contained HTML page: pictures and style inside, no script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from upsample_lab.drawing.passport import panel_drawings
from upsample_lab.drawing.style import free_words, new_figure, png
from upsample_lab.passport.record import Finding, Record
from upsample_lab.passport.table import COMPARISON_COLUMNS, comparison_rows, cost_lines, heading, sections

STYLE = """
:root { color-scheme: light dark; --paper: light-dark(#fff, #15181d); --ink: light-dark(#222, #e6e9ee);
       --subtle: light-dark(#555, #a2acbb); --line: light-dark(#e5e5e5, #30363f);
       --bad: light-dark(#fbf4ef, #33241a); --note: light-dark(#f5f5f5, #22272e);
       --fine: light-dark(#eff5fa, #18283a); }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
       max-width: 76rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.how { color: var(--subtle); margin: .2rem 0 1rem; }
.findings { list-style: none; padding: 0; } .findings li { border-left: .4rem solid #d55e00; padding: .2rem .8rem;
       margin: .5rem 0; background: var(--bad); } .findings li.note { border-color: #9a9a9a; background: var(--note); }
.findings li.fine { border-color: #0072b2; background: var(--fine); } .findings b { text-transform: capitalize; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1.2rem; }
figure { margin: 0; } figcaption { font-size: .88rem; color: var(--subtle); }
figure img { width: 100%; height: auto; background: #fff; border-radius: .3rem; display: block; }
table { border-collapse: collapse; font-size: .92rem; } td, th { padding: .15rem 1rem .15rem 0; text-align: left;
       border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: normal; } th { font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; } .wide img { min-width: 60rem; } pre { font-size: .85rem; overflow-x: auto; }
"""

PANEL_IN = (4.3, 3.8)


def page(passport: Record, command: str = "") -> str:
    """One upsampler: findings first, then each panel with how to read it, then all figures."""
    title, *how = heading(passport)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="how">{escape(" ".join(how))}</p>',
        *_whole(passport),
    ]
    return document(f"Passport of {passport.subject.name}", body, command)


def comparison_page(passports: Sequence[Record], sheet: bytes, command: str = "") -> str:
    """Several upsamplers: the sheet (a PNG), the figures side by side, and what is wrong with each."""
    first = passports[0].subject
    body = [
        "<h1>Upsamplers compared</h1>",
        f'<p class="how">x{first.scale}, {first.in_channels} -&gt; {first.out_channels} channels, '
        f"{first.size_px} x {first.size_px} inputs, on {escape(first.device)}</p>",
        *_side_by_side(passports, sheet),
        "<h2>Findings</h2>",
        *(f"<h3>{escape(p.subject.name)}</h3>{finding_list(p.findings)}" for p in passports),
    ]
    return document("Upsamplers compared", body, command)


def run_page(name: str, image_count: int, passports: Sequence[Record], sheet: bytes, command: str = "") -> str:
    """The upsamplers of a finished run: side by side, then all of each."""
    body = [
        f"<h1>Decoder of {escape(name)}</h1>",
        f'<p class="how">Each layer with its trained weights, around the mean of what goes into it, channel by '
        f"channel, over {image_count} validation images of the run.</p>",
        *_side_by_side(passports, sheet),
    ]
    for passport in passports:
        title, *how = heading(passport)
        body += [f"<h2>{escape(title)}</h2>", f'<p class="how">{escape(" ".join(how))}</p>', *_whole(passport)]
    return document(f"Decoder of {name}", body, command)


def _side_by_side(passports: Sequence[Record], sheet: bytes) -> list[str]:
    head = "".join(f"<th>{escape(word)}</th>" for word in ("", *COMPARISON_COLUMNS))
    rows = "".join(_row(row) for row in comparison_rows(passports))
    return [
        f'<figure class="wide" tabindex="0">{embedded(sheet, "comparison sheet")}</figure>',
        f'<h2>Figures</h2><div class="wide" tabindex="0"><table><tr>{head}</tr>{rows}</table></div>',
    ]


def _whole(passport: Record) -> list[str]:
    """Findings first, then each panel with how to read it, then all figures."""
    panels = [_panel(passport, draw, text) for draw, text in panel_drawings(passport)]
    return [finding_list(passport.findings), '<div class="panels">', *panels, "</div>", *_tables(passport)]


def document(title: str, body: Iterable[str], command: str) -> str:
    """A page with the style of a passport's, and the command that repeats it."""
    repeat = f"<h2>To repeat</h2><pre>{escape(command)}</pre>" if command else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + f"\n{repeat}</body></html>\n"
    )


def finding_list(findings: Sequence[Finding]) -> str:
    """Findings as a list, each with what mends it where something does."""
    items = [
        f'<li class="{escape(f.severity)}"><b>{escape(f.severity)}</b>: {escape(f.message)} '
        f"{f'In <code>{escape(f.where)}</code>. ' if f.where else ''}{_mend(f.fix)}</li>"
        for f in findings
    ]
    return f'<ul class="findings">{"".join(items) or "<li class=fine>Nothing is wrong.</li>"}</ul>'


def _mend(fix: str) -> str:
    return f"<br><b>Mend:</b> {escape(fix)}" if fix else ""


def _panel(passport: Record, draw: object, text: str) -> str:
    figure = new_figure(*PANEL_IN)
    assert callable(draw)
    axes = figure.add_subplot()
    draw(axes, passport)
    free_words(axes)
    return f"<figure>{embedded(png(figure), text)}<figcaption>{escape(text)}</figcaption></figure>"


def embedded(picture: bytes, text: str) -> str:
    """A PNG inside the page; `text` is what is told of it."""
    data = base64.b64encode(picture).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(text)}">'


def _tables(passport: Record) -> Iterable[str]:
    for title, rows in sections(passport):
        cells = "".join(
            f'<tr><td>{escape(name)}</td><td class="number">{escape(value)}</td><td>{escape(ideal)}</td></tr>'
            for name, value, ideal in rows
        )
        head = "<tr><th>quantity</th><th>measured</th><th>ideal</th></tr>"
        yield f'<h2>{escape(title)}</h2><div class="wide" tabindex="0"><table>{head}{cells}</table></div>'
    if passport.cost is not None:
        yield f"<h2>cost on this device</h2><pre>{escape(chr(10).join(cost_lines(passport.cost)))}</pre>"


def _row(cells: Sequence[str]) -> str:
    first, *others = (escape(cell) for cell in cells)
    return f"<tr><td>{first}</td>{''.join(f'<td class=number>{cell}</td>' for cell in others)}</tr>"
