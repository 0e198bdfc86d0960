"""The report as Markdown, for repositories and terminals; its figures are files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from upsample_lab.compare.words import BEST, Cell, Column, facts, metric_title
from upsample_lab.report.material import Material
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
    TableBlock,
    sections,
)
from upsample_lab.report.svg import Rendered

FIGURES = "figures"  # the folder of figures, beside the report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")
_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


def report_markdown(material: Material) -> str:
    """The report as a string, ending in a newline."""
    comparison = material.comparison
    lines = [f"# {plain(comparison.experiment)}", "", plain(facts(comparison)) + ".", ""]
    lines += [*(plain(sentence) + "\n" for sentence in comparison.verdict)]
    for section in sections(material):
        lines += [f"## {section.title}", "", *_lines(section.blocks)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def plain(text: str) -> str:
    """Text that Markdown, and the HTML within it, take literally, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _lines(blocks: Iterable[PageBlock]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block)
        yield ""


def _block(block: PageBlock) -> Iterator[str]:
    match block:
        case Note(text):
            yield plain(text)
        case Chart(rendered, titled):
            if titled:
                yield f"### {plain(rendered.drawing.title)}\n"
            yield _figure(rendered)
        case Gallery(_, drawing) | FlatGallery(_, drawing):
            yield _figure(drawing)
        case TableBlock():
            yield from _table(block)
        case Items(sentences):
            yield from (f"- {plain(sentence)}" for sentence in sentences)
        case NamedValues(pairs, folded):
            if folded:
                yield f"{plain(folded)}:\n"
            yield from (f"- {plain(name)}: {plain(value)}" for name, value in pairs)
        case Command(title, text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            yield f"{title}:\n\n{fence}bash\n{text}\n{fence}"
        case OfMetric(metric, blocks):
            yield f"### {plain(metric_title(metric))}\n"
            yield from _lines(blocks)
        case Cards(cards):
            yield from (f"- {plain(name)}: {plain(card.finding)}" for name, card in cards.items() if card.finding)


def _figure(rendered: Rendered) -> str:
    return f"![{plain(rendered.drawing.words)}]({FIGURES}/{rendered.drawing.name}.png)"


def _table(table: TableBlock) -> Iterator[str]:
    columns: Sequence[Column] = [Column("variant"), *table.columns] if table.names else table.columns
    yield "| " + " | ".join(plain(column.heading) + _ARROWS[column.better] for column in columns) + " |"
    yield "|" + "---|" * len(columns)
    for index, row in enumerate(table.rows):
        names = [plain(table.names[index])] if table.names else []
        yield "| " + " | ".join([*names, *map(_words, row)]) + " |"


def _words(cell: Cell) -> str:
    text = plain(cell.text)
    text = f"**{text}**" if cell.remark == BEST else text
    below = " ".join(filter(None, (cell.remark if cell.remark != BEST else "", plain(cell.detail))))
    return f"{text}<br>{below}" if below else text
