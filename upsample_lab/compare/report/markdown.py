"""The report as Markdown, for repositories and terminals; its figures are files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from upsample_lab.compare.report.figures import forest_pairs
from upsample_lab.compare.report.material import Material
from upsample_lab.compare.report.svg import Rendered
from upsample_lab.compare.report.words import (
    BEST,
    DIFFERENCE_COLUMNS,
    Cell,
    difference_row,
    facts,
    measured,
    metric_title,
    results_table,
    table_note,
)

FIGURES = "figures"  # the folder of figures, beside the report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def report_markdown(material: Material) -> str:
    """The report as a string, ending in a newline."""
    comparison = material.comparison
    lines = [f"# {plain(comparison.experiment)}", "", plain(facts(comparison)) + ".", ""]
    lines += [*(plain(sentence) + "\n" for sentence in comparison.verdict)]
    for title, content in _sections(material):
        body = list(content)
        if body:
            lines += [f"## {title}", "", *body, ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def plain(text: str) -> str:
    """Text that Markdown, and the HTML within it, take literally, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _sections(material: Material) -> Iterator[tuple[str, Iterable[str]]]:
    comparison, charts = material.comparison, material.charts
    yield "Results", _results(material)
    yield "Paired differences", _differences(material)
    yield "Quality against cost", _figures(charts["cost"])
    yield "Quality against artifact", _figures(charts["artifact"])
    yield "Over training", _figures(charts["curves"])
    yield "The same images", _figures([material.reconstructions] if material.reconstructions else [])
    yield "Where they differ", _figures(charts["regions"])
    yield "Passports", _passports(material)
    yield "How it was measured", _measured(material)
    yield "What this does not show", [f"- {plain(sentence)}" for sentence in comparison.caveats]
    yield "Runs left out", [f"- {plain(sentence)}" for sentence in comparison.left_out]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _results(material: Material) -> Iterator[str]:
    columns, rows = results_table(material.comparison)
    arrows = {"higher": " ↑", "lower": " ↓", "": ""}
    head = ["variant", *(plain(column.heading) + arrows[column.better] for column in columns)]
    names = [plain(variant.name) for variant in material.comparison.variants]
    yield from _table(head, ([name, *map(_words, row)] for name, row in zip(names, rows, strict=True)))
    yield f"\n{plain(table_note(material.comparison))}"


def _words(cell: Cell) -> str:
    text = plain(cell.text)
    text = f"**{text}**" if cell.remark == BEST else text
    return f"{text}<br>{plain(cell.detail)}" if cell.detail else text


def _differences(material: Material) -> Iterator[str]:
    comparison = material.comparison
    for metric in comparison.metrics:
        pairs = forest_pairs(comparison, metric)
        if not pairs:
            continue
        yield f"### {plain(metric_title(metric))}\n"
        yield from _figures(material.difference_charts(metric))
        head = [plain(column.heading) for column in DIFFERENCE_COLUMNS]
        yield from _table(head, ([plain(cell.text) for cell in difference_row(pair, metric)] for pair in pairs))
        yield ""


def _figures(charts: Iterable[Rendered]) -> Iterator[str]:
    for chart in charts:
        yield f"![{plain(chart.drawing.words)}]({FIGURES}/{chart.drawing.name}.png)\n"


def _passports(material: Material) -> Iterator[str]:
    if material.cards:
        columns = list(next(iter(material.cards.values())).figures)
        yield "Each layer measured alone, with fresh weights, before any training.\n"
        cards = material.cards.items()
        rows = ([plain(name), *(plain(card.figures.get(column, "")) for column in columns)] for name, card in cards)
        yield from _table(["variant", *map(plain, columns)], rows)


def _measured(material: Material) -> Iterator[str]:
    for name, value in measured(material.comparison):
        yield f"- {name}: {plain(value)}"
    provenance = material.comparison.provenance
    commands = {"To repeat the runs": provenance.command, "To compare them again": provenance.compare_command}
    for title, command in commands.items():
        if command:
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", command)), default=0))
            yield f"\n{title}:\n\n{fence}bash\n{command}\n{fence}"
