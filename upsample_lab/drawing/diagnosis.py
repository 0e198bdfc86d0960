"""The figure of a diagnosis: patterns as they grow along the chain of sites, and what is seen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from upsample_lab.doctor.attribute import Attribution
from upsample_lab.doctor.diagnosis import Diagnosis, number
from upsample_lab.doctor.outputs import units_of
from upsample_lab.drawing.palette import FAINT, INK
from upsample_lab.drawing.stretch import factor_for
from upsample_lab.drawing.style import SMALL_PT, TEXT_PT, TITLE_PT, label, new_figure
from upsample_lab.metrics.levels import without_shading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from upsample_lab.conv.geometry import Pair

_COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a00", "#7a7a7a")
_MARKERS = "os^Dv<>p"
_NAME = 22  # characters of a path below the axis


def figure(diagnosis: Diagnosis) -> Figure:
    """Above, the chain; below, input and output as they are, and stretched about their local mean."""
    steps = len(diagnosis.chain)
    sheet = new_figure(max(11.0, 0.55 * steps + 4.0), 11.0)
    parts = sheet.add_gridspec(2, 1, height_ratios=[4.0, 7.0])
    above, below = sheet.add_subfigure(parts[0]), sheet.add_subfigure(parts[1])
    sheet.suptitle(diagnosis.sentence(), fontsize=TITLE_PT + 1.5, color=INK, x=0.01, ha="left", wrap=True)
    _draw_chain(above.add_subplot(), diagnosis)
    _draw_pictures(below, diagnosis)
    return sheet


def _draw_chain(axes: Axes, diagnosis: Diagnosis) -> None:
    """A line for each period of the output, from the site that can make it to the output."""
    born = _sites_by_period(diagnosis)
    names = [step.where or "the model itself" for step in diagnosis.chain]
    for index, period in enumerate(sorted(born)):
        at = [i for i, step in enumerate(diagnosis.chain) if period in step.relative]
        if not at:
            continue
        values = [100 * diagnosis.chain[i].relative[period] for i in at]
        color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
        rows = born[period]
        unit = "levels" if diagnosis.units.per_unit else "dB"
        told = f": {number(rows[0].arrives, diagnosis.units)} {unit}" if rows[0].arrives is not None else ""
        who = ", ".join(dict.fromkeys(_short(row.site.place) for row in rows))
        name = f"{period[0] if period[0] == period[1] else f'{period[0]} x {period[1]}'} px, {who}{told}"
        axes.plot(at, values, color=color, marker=marker, ms=6, lw=2, label=name, clip_on=False)
    axes.set_xticks(range(len(names)), [_short(name) for name in names], rotation=30, ha="right")
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_ylim(bottom=0)
    axes.axvline(len(names) - 1, color=FAINT, lw=0.8, zorder=0)
    label(axes, "Patterns along the chain of sites", "output of", "pattern / deviation of what passes, %")
    if axes.lines:
        beside: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axes.legend(title="period, its sites, what arrives", fontsize=TEXT_PT, frameon=False, **beside)


def _sites_by_period(diagnosis: Diagnosis) -> dict[Pair, list[Attribution]]:
    born: dict[Pair, list[Attribution]] = {}
    for row in diagnosis.ranking:
        for reach in row.reaches:
            born.setdefault(reach.period, []).append(row)
    return born


def _short(path: str) -> str:
    return path if len(path) <= _NAME else f"…{path[1 - _NAME :]}"


def _draw_pictures(sheet: SubFigure, diagnosis: Diagnosis) -> None:
    """A column a picture: true above, below stretched by one factor for all, so that they can be compared."""
    pictures = diagnosis.pictures
    shown = {name: _shown(name, picture, diagnosis) for name, picture in pictures.items()}
    period = max((max(reach.period) for row in diagnosis.ranking for reach in row.reaches), default=2)
    flat = {name: _without_shading(image, period) for name, image in shown.items()}
    factor = _factor([image for name, image in flat.items() if name != "input"])
    for column, (name, image) in enumerate(shown.items()):
        for row, (title, pixels) in enumerate(((name, image), (f"less shading, x{factor}", 0.5 + factor * flat[name]))):
            axes = sheet.add_subplot(2, len(shown), 1 + column + row * len(shown))
            axes.imshow(_pixels(pixels), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(_short(title) if row else title, fontsize=SMALL_PT + 1, color=INK)
            axes.set_axis_off()


def _shown(name: str, picture: Tensor, diagnosis: Diagnosis) -> Tensor:
    """A picture in 0…1: in the output's range, its own where it has none; of many channels the first."""
    units = units_of(picture[None]) if name == "input" else diagnosis.units
    picture = picture if picture.shape[0] in (1, 3) else picture[:1]
    low, high = units.low, units.high
    if low is None or high is None:
        reference = picture if name == "input" else diagnosis.pictures["output"][: picture.shape[0]]
        low, high = float(reference.min()), float(reference.max())
    return (picture - low) / max(high - low, 1e-12)


def _without_shading(image: Tensor, period: int) -> Tensor:
    """The picture less its moving average, over the longest period that leaves half of it."""
    side = min(image.shape[-2:])
    while period > 2 and side < 4 * period:
        period //= 2
    return (
        without_shading(image[None], period)[0] if side > 2 * period else image - image.mean(dim=(-2, -1), keepdim=True)
    )


def _factor(images: list[Tensor]) -> int:
    """How far contrast can be stretched until a hundredth of the pixels leave the range."""
    return factor_for(max(float(torch.quantile(image.abs().flatten(), 0.99)) for image in images))


def _pixels(image: Tensor) -> np.ndarray:
    image = image.clamp(0, 1)
    return (image[0] if image.shape[0] == 1 else image.permute(1, 2, 0)).numpy()
