"""What both reports are written from: the comparison, and all that was drawn, loaded and measured for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upsample_lab.catalogue import Metric
from upsample_lab.compare.result import Comparison
from upsample_lab.drawing.comparison import difference_name, drawings
from upsample_lab.drawing.flat import FlatPictures, flat_drawing, load_flat
from upsample_lab.drawing.reconstructions import Pictures, load_pictures, picture_drawing
from upsample_lab.report.passports import Card, passport_cards
from upsample_lab.report.svg import Rendered, render


@dataclass(frozen=True, eq=False)
class Material:
    """`charts` by section, as in `figures.drawings`; `cards` by variant.

    `reconstructions` and `flat_areas` are the figures of `pictures` and `flat`, where there are any.
    """

    comparison: Comparison
    charts: Mapping[str, Sequence[Rendered]]
    pictures: Pictures | None
    reconstructions: Rendered | None
    flat: FlatPictures | None
    flat_areas: Rendered | None
    cards: Mapping[str, Card]

    def difference_charts(self, metric: Metric) -> list[Rendered]:
        """The forest plot of a metric; none where it has no differences."""
        return [chart for chart in self.charts["differences"] if chart.drawing.name == difference_name(metric)]

    @property
    def rendered(self) -> list[Rendered]:
        """Every figure that becomes files."""
        charts = [chart for section in self.charts.values() for chart in section]
        return charts + [each for each in (self.reconstructions, self.flat_areas) if each is not None]


def gather(comparison: Comparison, folder: Path, passports: bool) -> Material:
    """Draw, load and measure; `folder` is where passports are kept."""
    charts = {section: [render(each) for each in drawn] for section, drawn in drawings(comparison).items()}
    pictures = load_pictures(comparison)
    reconstructions = render(picture_drawing(comparison, pictures), in_page=False) if pictures else None
    flat = load_flat(comparison)
    flat_areas = render(flat_drawing(flat), in_page=False) if flat else None
    cards = passport_cards(comparison, folder, passports)
    return Material(comparison, charts, pictures, reconstructions, flat, flat_areas, cards)
