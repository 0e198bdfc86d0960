"""What a report says, section by section, before it is HTML or Markdown: both are written from these blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from upsample_lab.catalogue import Metric
from upsample_lab.compare.result import Comparison, Curve, Variant
from upsample_lab.compare.words import (
    DIFFERENCE_COLUMNS,
    NONE,
    Cell,
    Column,
    difference_note,
    difference_row,
    interval,
    measured,
    metric_value,
    number,
    plural,
    results_table,
    table_note,
)
from upsample_lab.drawing.comparison import curve_metric, curve_title, is_curve
from upsample_lab.drawing.flat import FlatPictures
from upsample_lab.drawing.reconstructions import Pictures
from upsample_lab.report.material import Material
from upsample_lab.report.passports import Card
from upsample_lab.report.svg import Rendered


@dataclass(frozen=True)
class Note:
    """A paragraph on how to read what follows."""

    text: str


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure, under its own title where a section has several."""

    rendered: Rendered
    titled: bool = False


@dataclass(frozen=True, eq=False)
class TableBlock:
    """Rows of cells. `names`: the variants that the rows are of, in a column before the others.

    label      what it is, for readers of screens
    sorted_by  the column that it is sorted by already; none where negative
    folded     the words that unfold it, where it is long
    """

    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    names: Sequence[str] = ()
    sorted_by: int = -1
    folded: str = ""


@dataclass(frozen=True)
class Items:
    sentences: Sequence[str]


@dataclass(frozen=True)
class NamedValues:
    """Names and values; `folded` as in `TableBlock`."""

    pairs: Sequence[tuple[str, str]]
    folded: str = ""


@dataclass(frozen=True)
class Command:
    title: str
    text: str


@dataclass(frozen=True, eq=False)
class OfMetric:
    """Blocks that speak of one metric, of which a page shows one at a time."""

    metric: Metric
    blocks: Sequence[PageBlock]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Test images by each variant: `drawing` shows them all, `pictures` are for a page to choose from."""

    pictures: Pictures
    drawing: Rendered


@dataclass(frozen=True, eq=False)
class FlatGallery:
    """Flat areas by each variant, as a figure and as tiles."""

    pictures: FlatPictures
    drawing: Rendered


@dataclass(frozen=True, eq=False)
class Cards:
    """The picture and the first finding of each layer's passport, by variant."""

    cards: dict[str, Card]


PageBlock = Note | Chart | TableBlock | Items | NamedValues | Command | OfMetric | Gallery | FlatGallery | Cards


@dataclass(frozen=True, eq=False)
class Section:
    name: str  # its anchor in a page
    title: str
    blocks: Sequence[PageBlock]


def sections(material: Material) -> list[Section]:
    """All sections that have anything to show, in reading order."""
    comparison = material.comparison
    every = (
        ("results", "Results", _results(comparison)),
        ("differences", "Paired differences", _differences(material)),
        ("cost", "Quality against cost", _charts(material.charts["cost"], COST_NOTE)),
        ("artifact", "Quality against artifact", _charts(material.charts["artifact"], ARTIFACT_NOTE, titled=True)),
        ("training", "Over training", _training(material)),
        ("images", "The same images", _images(material)),
        ("flat", "Flat areas", _flat(material)),
        ("regions", "Where they differ", _charts(material.charts["regions"], REGIONS_NOTE)),
        ("passports", "Passports", _passports(material)),
        ("measured", "How it was measured", _measured(comparison)),
        ("limits", "What this does not show", [Items(comparison.caveats)] if comparison.caveats else []),
        ("left-out", "Runs left out", [Items(comparison.left_out)] if comparison.left_out else []),
    )
    found = (Section(name, title, tuple(blocks)) for name, title, blocks in every)
    return [section for section in found if section.blocks]


COST_NOTE = (
    "Up is better, left is cheaper. Filled markers lie on the front: no other variant is both better and cheaper. Bars "
    "are intervals of the mean."
)
ARTIFACT_NOTE = (
    "A layer can reconstruct best on average and still leave the pattern that the eye finds first. Steep lines on the "
    "right are variants that the two figures judge differently; what is none has no order, and shares a rank."
)
CURVES_NOTE = (
    "Mean over the seeds at each validation; bands are intervals of that mean, cut off at zero where a figure is never "
    "negative. On a logarithmic axis the mean is geometric, and the band that of the logarithms. A steep start is cut "
    "off where it would flatten what follows."
)
REGIONS_NOTE = (
    "Mean squared error over all test images, pixels in 0…1, by kind of pixel: edges are the fifth of an image's "
    "pixels with the largest gradient, flat areas those with none to speak of."
)
NO_FLAT = (
    "What the decoders make of flat areas is not shown: these runs kept no pictures of it, as they were made before."
)
PASSPORTS_NOTE = (
    "Each layer measured alone on 16 × 16 inputs, with fresh weights: how unequal its phases are (DC-phase, relative "
    "to their mean), how far it shifts, what it rejects and what it does at the border. The last column is what "
    "training made of it."
)


def _charts(charts: Sequence[Rendered], note: str, titled: bool = False) -> list[PageBlock]:
    if not charts:
        return []
    return [Note(note), *(Chart(chart, titled or len(charts) > 1) for chart in charts)]


def _results(comparison: Comparison) -> list[PageBlock]:
    columns, rows = results_table(comparison)
    names = [variant.name for variant in comparison.variants]
    return [TableBlock("Table of results", columns, rows, names, sorted_by=0), Note(table_note(comparison))]


def _differences(material: Material) -> list[PageBlock]:
    comparison = material.comparison
    parts = [_of_metric(material, metric) for metric in comparison.metrics if comparison.differences.get(metric.key)]
    return [Note(difference_note(comparison)), *parts] if parts else []


def _of_metric(material: Material, metric: Metric) -> OfMetric:
    pairs = material.comparison.differences[metric.key]
    table = TableBlock(
        f"Differences of {metric.title}",
        DIFFERENCE_COLUMNS,
        [difference_row(pair, metric) for pair in pairs],
        folded=f"{plural(len(pairs), 'pair')} in figures",
    )
    return OfMetric(metric, (*map(Chart, material.difference_charts(metric)), table))


def _training(material: Material) -> list[PageBlock]:
    blocks = _charts(material.charts["curves"], CURVES_NOTE)
    for key, curves in material.comparison.curves.items():
        few = {v.name: curves[v.name] for v in material.comparison.variants if v.name in curves}
        few = {name: curve for name, curve in few.items() if not is_curve(curve)}
        if few:
            blocks += _few_points(curve_title(material.comparison, key), curve_metric(material.comparison, key), few)
    return blocks


def _few_points(title: str, metric: Metric | None, curves: Mapping[str, Curve]) -> list[PageBlock]:
    """What was measured at so few steps that a line between them would be made up, as a table."""
    steps = sorted({step for curve in curves.values() for step in curve.steps})
    rows = []
    for curve in curves.values():
        points = dict(zip(curve.steps, zip(curve.mean, curve.low, curve.high, strict=True), strict=True))
        rows.append([_point(metric, points.get(step)) for step in steps])
    note = (
        f"{title}, mean and interval: no curve, as there are validations at {plural(len(steps), 'step')} only and four "
        "points make one; trainer.validate_every_steps sets how often."
    )
    return [Note(note), TableBlock(title, [Column(f"step {step:,}") for step in steps], rows, tuple(curves))]


def _point(metric: Metric | None, point: tuple[float, float, float] | None) -> Cell:
    if point is None or math.isnan(point[0]):
        return Cell(NONE)
    mean, low, high = point
    digits = metric.digits if metric else 4
    return Cell(metric_value(metric, mean) if metric else number(mean, digits), interval(low, high, digits), mean)


def _images(material: Material) -> list[PageBlock]:
    if material.pictures is None or material.reconstructions is None:
        return []
    gallery = Gallery(material.pictures, material.reconstructions)
    return [gallery] if material.flat is not None else [gallery, Note(NO_FLAT)]


def _flat(material: Material) -> list[PageBlock]:
    if material.flat is None or material.flat_areas is None:
        return []
    return [Note(material.flat.note), FlatGallery(material.flat, material.flat_areas)]


def _passports(material: Material) -> list[PageBlock]:
    """The figures of each layer alone beside what training made of it."""
    if not material.cards:
        return []
    comparison = material.comparison
    primary = comparison.metrics[0]
    names = list(next(iter(material.cards.values())).figures)
    columns = [*map(Column, names), Column(f"trained: {primary.title}", primary.unit)]
    rows = [[*_card_cells(material, v.name, names), _trained(comparison, v.name)] for v in comparison.variants]
    table = TableBlock("Passports", columns, rows, [v.name for v in comparison.variants])
    return [Note(PASSPORTS_NOTE), table, Cards(dict(material.cards))]


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


def _measured(comparison: Comparison) -> Iterator[PageBlock]:
    yield NamedValues(measured(comparison))
    settings = [(variant.name, words) for variant in comparison.variants if (words := _all_settings(variant))]
    if settings:
        yield NamedValues(settings, folded="Settings in which the variants differ")
    if comparison.provenance.command:
        yield Command("To repeat the runs", comparison.provenance.command)
    if comparison.provenance.compare_command:
        yield Command("To compare them again", comparison.provenance.compare_command)


def _all_settings(variant: Variant) -> str:
    """What a variant is, in full."""
    return ", ".join(f"{key}={setting(value)}" for key, value in variant.settings.items() if value is not None)


def setting(value: object) -> str:
    """As it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
