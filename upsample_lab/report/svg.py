"""Figures as files, and as SVG that takes part in a page: its colours follow the page's light or dark theme."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure

from upsample_lab.drawing.comparison import BAND, Drawing
from upsample_lab.drawing.looks import NARROW_IN, WIDE_IN, channels, drawing_rules
from upsample_lab.drawing.palette import FAINT, INK
from upsample_lab.drawing.style import png

DARK_PAPER = "#15181d"  # as in report.css
DARK_CONTRAST = 3.2  # WCAG 2.2, 1.4.11 asks 3 of graphics; words have the colour of the ink

_ROLES = {INK: "var(--ink)", FAINT: "var(--faint)", "#ffffff": "var(--paper)", BAND: "var(--band)"}
_COLOR = re.compile(r"#[0-9a-f]{6}\b")
_GID = re.compile(r'<g id="(variant-\d+)">')
_ID = re.compile(r'(<(?:g|svg)\b[^>]*?) id="[^"]*"')
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")


@dataclass(frozen=True)
class Rendered:
    """A drawing's files, and the SVG elements that the page shows on a wide and on a narrow screen."""

    drawing: Drawing
    png: bytes
    svg: str
    wide: str = ""
    narrow: str = ""


def render(drawing: Drawing, *, in_page: bool = True) -> Rendered:
    """Draw it as files and, if it is to be part of the page, for desktop and telephone."""
    with drawing_rules(f"{drawing.name} wide"):
        figure = drawing.draw(WIDE_IN)
        image = png(figure)
        figure.set_layout_engine(None)  # it is laid out already
        svg = _svg(figure, drawing.title)
    if not in_page:
        return Rendered(drawing, image, svg)
    with drawing_rules(f"{drawing.name} narrow"):
        narrow = _svg(drawing.draw(NARROW_IN), drawing.title)
    return Rendered(drawing, image, svg, inline(svg), inline(narrow))


def _svg(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return buffer.getvalue()


def inline(svg: str) -> str:
    """An SVG file's element for use within a page: no prolog, no fixed size, no ids but those that it refers to.

    Colours become the page's variables, and each variant's parts get its class.
    """
    start = svg.index("<svg")
    element = svg[start:]
    for part in ("metadata", "style", "title"):  # a style would hold for the whole page, a title show as a tooltip
        element = re.sub(rf"<{part}\b.*?</{part}>", "", element, flags=re.DOTALL)
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true" focusable="false"', element, count=1)
    element = _GID.sub(r'<g class="\1">', element)
    element = _ID.sub(r"\1", element)
    element = _FONT.sub("var(--sans)", element)
    return _COLOR.sub(lambda found: _ROLES.get(found[0], f"var(--c-{found[0][1:]})"), element).strip()


def color_rules(colors: Iterable[str]) -> str:
    """CSS variables for colours `#rrggbb`: themselves on white, and lightened on dark so that they can be seen."""
    return "\n".join(f"  --c-{c[1:]}: light-dark({c}, {on_dark(c)});" for c in sorted(set(colors)))


def used_colors(text: str) -> set[str]:
    """The colours whose variables a text refers to."""
    return {f"#{found}" for found in re.findall(r"var\(--c-([0-9a-f]{6})\)", text)}


def on_dark(color: str) -> str:
    """The colour mixed with white until it stands out from the dark page, darker ones still darker than lighter ones.

    Luminances from 0 to 1 are mapped linearly to those from the least that is seen to 1, so that shades stay apart.
    """
    least = DARK_CONTRAST * (_luminance(DARK_PAPER) + 0.05) - 0.05
    wanted = least + (1 - least) * _luminance(color)
    mixes = (
        "#" + "".join(f"{round(c + (255 - c) * percent / 100):02x}" for c in channels(color)) for percent in range(101)
    )
    return next(mixed for mixed in mixes if _luminance(mixed) >= wanted - 1e-9)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2), from sRGB."""
    linear = [(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for v in (c / 255 for c in channels(color))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def figure_element(rendered: Rendered, caption: str = "") -> str:
    """Both SVGs in one figure; the style sheet shows the one that fits, and readers of screens hear the words."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="chart" role="group" aria-label="{escape(rendered.drawing.words)}">'
        f'<div class="wide" role="img" aria-label="{escape(rendered.drawing.words)}">{rendered.wide}</div>'
        f'<div class="narrow" role="img" aria-label="{escape(rendered.drawing.words)}">{rendered.narrow}</div>'
        f"{words}</figure>"
    )
