"""The figures of a comparison, drawn by matplotlib: each says one thing and can be read without its caption.

A `Drawing` draws itself at any width, so that the same code makes a desktop's figure and a telephone's.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from upsample_lab.catalogue import Metric, curve_key
from upsample_lab.compare.result import Comparison, Curve, Difference, Variant
from upsample_lab.compare.words import (
    NO_PATTERN,
    artifact_metric,
    effect,
    interval_of,
    listed,
    metric_title,
    number,
    plural,
    ranks_of,
    shortened,
)
from upsample_lab.drawing.looks import (
    NARROW_IN,
    PNG_DPI,
    SMALL_PT,
    TEXT_PT,
    variant_looks,
)
from upsample_lab.drawing.palette import FAINT, INK, Look
from upsample_lab.drawing.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL_PAIRS = 15  # up to so many are drawn; of more, those with the best variant
ROW_IN = 0.27
NAME_LENGTH, NARROW_NAME_LENGTH = 30, 22
SPREAD_FOR_LOG = 20  # largest over smallest value, above which an axis is logarithmic
RankByName = Mapping[str, int]  # of the variants, in their order

POINTS_FOR_CURVE = 4
SKIPPED_SHARE = 0.2  # of training, whose steep rise would flatten all that follows
BAND = "#ececec"
TICK_LETTERS = 34  # that fit below a logarithmic axis on a telephone, beside the names of variants
NONE_SHARE = 0.16  # of a logarithmic axis, for what is none
GAP = "\u2002"  # between words that belong apart: SVG makes one space of several


@dataclass(frozen=True)
class Drawing:
    """A figure: the stem of its files, its heading, what it shows in words, and how it is drawn at a width."""

    name: str
    title: str
    words: str
    draw: Callable[[float], Figure]


def drawings(comparison: Comparison) -> dict[str, list[Drawing]]:
    """All figures that the comparison has figures for, by the section of the report that they belong to."""
    return {
        "differences": list(_difference_drawings(comparison)),
        "cost": list(_cost_drawings(comparison)),
        "artifact": list(_artifact_drawings(comparison)),
        "curves": list(_curve_drawings(comparison)),
        "regions": list(_region_drawings(comparison)),
    }


# ------------------------------------------------------------------------------------------------- paired differences


def _difference_drawings(comparison: Comparison) -> Iterator[Drawing]:
    for metric in comparison.metrics:
        pairs = forest_pairs(comparison, metric)
        if pairs:
            shown = sum(pair.shown for pair in pairs)
            yield Drawing(
                difference_name(metric),
                f"Paired differences of {metric.title}",
                f"{plural(len(pairs), 'ratio' if pairs[0].is_ratio else 'difference')} of {metric_title(metric)}, "
                f"paired by seed, with intervals; {shown} of them shown after Holm's correction.",
                partial(_forest, comparison, metric, pairs),
            )


def difference_name(metric: Metric) -> str:
    """Of the drawing that shows the metric's paired differences."""
    return f"differences-{_stem(metric.key)}"


def forest_pairs(comparison: Comparison, metric: Metric) -> list[Difference]:
    """The pairs that are drawn: all, or where those are too many each variant with the best of this metric."""
    pairs = [pair for pair in comparison.differences.get(metric.key, ()) if not math.isnan(pair.mean)]
    if len(pairs) <= ALL_PAIRS:
        return pairs
    order = comparison.rankings[metric.key].order if metric.key in comparison.rankings else ()
    order = order or tuple(variant.name for variant in comparison.variants)
    best = order[0]
    with_best = [_turned(pair, best) for pair in pairs if best in (pair.first, pair.second)]
    return sorted(with_best, key=lambda pair: order.index(pair.second))


def _turned(pair: Difference, first: str) -> Difference:
    """The same pair with `first` in front."""
    if pair.first == first:
        return pair
    values = {name: getattr(pair, name) for name in Difference.__dataclass_fields__}
    mean, low, high = (1 / v if pair.is_ratio else -v for v in (pair.mean, pair.high, pair.low))
    values |= {"first": pair.second, "second": pair.first, "mean": mean, "low": low, "high": high}
    return Difference(**values | {"effect_size": -pair.effect_size})


def _forest(comparison: Comparison, metric: Metric, pairs: Sequence[Difference], width_in: float) -> Figure:
    narrow = width_in <= NARROW_IN
    common = pairs[0].first if len({pair.first for pair in pairs}) == 1 and len(pairs) > 1 else ""
    row_in = 1.4 * ROW_IN if narrow and not common else ROW_IN  # the two names then stand below each other
    figure = new_figure(width_in, row_in * len(pairs) + (2.0 if narrow else 1.45), PNG_DPI)
    axes = figure.add_subplot()
    length = NARROW_NAME_LENGTH if narrow else NAME_LENGTH
    looks = variant_looks(comparison.variants)
    ratios = pairs[0].is_ratio
    if not ratios:
        axes.axvspan(-metric.smallest_of_interest, metric.smallest_of_interest, color=BAND, lw=0, zorder=0)
    axes.axvline(1 if ratios else 0, color=INK, lw=1, zorder=1)
    for row, pair in enumerate(pairs):
        color = looks[pair.second].color if common else INK
        if not math.isnan(pair.low):
            axes.plot([pair.low, pair.high], [row, row], color=color, lw=2.2 if pair.shown else 1.2, zorder=2)
        face = color if pair.shown else "#ffffff"
        axes.plot(pair.mean, row, color=color, marker="o", ms=6.5, mfc=face, mec=color, mew=1.3, zorder=3)
    names = [_pair_name(pair, common, length, narrow) for pair in pairs]
    axes.set_yticks(range(len(pairs)), names)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    if ratios:
        ends = [v for pair in pairs for v in (1.0, pair.mean, pair.low, pair.high) if v > 0 and math.isfinite(v)]
        low, high = min(ends) / 1.1, max(ends) * 1.1
        _logarithmic(axes, "x", low, high)
        axes.set_xlim(low, high)
    else:
        axes.locator_params(axis="x", nbins=3 if narrow else 7)
    if not narrow:
        _figures_at_the_right(axes, pairs, metric)
    _say_direction(axes, metric, shortened(common, length), narrow, ratios)
    _quiet(axes)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _key(figure, _forest_key(metric, pairs), 1 if narrow else 3)
    return figure


def _say_direction(axes: Axes, metric: Metric, common: str, narrow: bool, ratios: bool) -> None:
    """Label the axis with what is subtracted, and with who is better on which side of zero."""
    by = "over" if ratios else "minus"
    what = f"{common} {by} …" if common else f"first {by} second"
    sides = (f"{common} is better", "the other is better") if common else ("first is better", "second is better")
    right, left = sides if metric.higher_is_better else sides[::-1]
    title = f"ratio of {metric.title}:" if ratios else f"difference of {metric_title(metric)}:"
    lines = [title, what, f"← {left}", f"{right} →"] if narrow else [f"{title} {what}", f"← {left}{GAP}·{GAP}{right} →"]
    place: dict[str, Any] = {"loc": "right"} if narrow else {}  # centred, long words would leave a narrow figure
    axes.set_xlabel("\n".join(lines), fontsize=TEXT_PT, color=INK, **place)


def _pair_name(pair: Difference, common: str, length: int, narrow: bool) -> str:
    if common:
        return f"… {shortened(pair.second, length)}"
    if narrow:
        return f"{shortened(pair.first, length)}\n− {shortened(pair.second, length)}"
    return f"{shortened(pair.first, length * 2 // 3)} − {shortened(pair.second, length * 2 // 3)}"


def _figures_at_the_right(axes: Axes, pairs: Sequence[Difference], metric: Metric) -> None:
    for row, pair in enumerate(pairs):
        text = f"{effect(pair, metric)}{GAP}{interval_of(pair, metric)}"
        axes.annotate(
            text.rstrip(),
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT,
            color=INK,
            weight="bold" if pair.shown else "normal",
        )


def _forest_key(metric: Metric, pairs: Sequence[Difference]) -> list[Any]:
    color = INK
    key: list[Any] = []
    if any(pair.shown for pair in pairs):
        key.append(Line2D([], [], color=color, lw=2.2, marker="o", mfc=color, label="shown after Holm's correction"))
    if not all(pair.shown for pair in pairs):
        key.append(Line2D([], [], color=color, lw=1.2, marker="o", mfc="#ffffff", label="no difference shown"))
    if not pairs[0].is_ratio:
        least = f"below {metric.smallest_of_interest:g} {metric.unit}".rstrip()
        key.append(Patch(color=BAND, label=f"{least}: of no interest"))
    return key


# --------------------------------------------------------------------------------------------------- quality and cost

COSTS: tuple[tuple[str, str, Callable[[Variant], float | None]], ...] = (
    ("macs", "multiply-accumulates (M), one image", lambda v: None if v.cost.macs is None else v.cost.macs / 1e6),
    ("latency_ms", "latency (ms), one batch forward", lambda v: v.cost.latency_ms),
    ("parameters", "parameters (thousands)", lambda v: v.cost.parameters / 1e3),
)


def _cost_drawings(comparison: Comparison) -> Iterator[Drawing]:
    metric = comparison.metrics[0]
    panels = [cost for cost in COSTS if _points(comparison, metric, cost[2])]
    if panels:
        fronts = "; ".join(
            f"over {label.split(' (')[0]}: {', '.join(comparison.pareto.get(key, ())) or 'none'}"
            for key, label, _ in panels
        )
        yield Drawing(
            "cost",
            f"{metric.title} against cost",
            f"{metric_title(metric)} over each cost. Variants that no other beats in both, {fronts}.",
            partial(_cost, comparison, metric, panels),
        )


def _points(
    comparison: Comparison, metric: Metric, cost: Callable[[Variant], float | None]
) -> dict[str, tuple[float, float]]:
    """(cost, mean of the metric) of each variant that has both."""
    points = {}
    for variant in comparison.variants:
        estimate, x = comparison.estimates.get(metric.key, {}).get(variant.name), cost(variant)
        if estimate is not None and x is not None and not math.isnan(estimate.mean):
            points[variant.name] = (float(x), estimate.mean)
    return points


def _cost(comparison: Comparison, metric: Metric, panels: Sequence[Any], width_in: float) -> Figure:
    narrow = width_in <= NARROW_IN
    legend_rows = -(-len(comparison.variants) // (2 if narrow else 4))
    height = (2.5 * len(panels) if narrow else 3.2) + 0.2 * legend_rows
    figure = new_figure(width_in, height, PNG_DPI)
    shape = (len(panels), 1) if narrow else (1, len(panels))
    grid = figure.subplots(*shape, squeeze=False, sharey=not narrow)
    looks = variant_looks(comparison.variants)
    for index, (axes, (key, label, cost)) in enumerate(zip(grid.flat, panels, strict=True)):
        points = _points(comparison, metric, cost)
        front = [name for name in comparison.pareto.get(key, ()) if name in points]
        _front_line(axes, [points[name] for name in front])
        _scatter(axes, comparison, metric, points, looks, set(front))
        axes.set_xlabel(label, fontsize=TEXT_PT, color=INK)
        if narrow or index == 0:
            axes.set_ylabel(metric_title(metric), fontsize=TEXT_PT, color=INK)
        _quiet(axes, grid=True)
        _scale(axes, [x for x, _ in points.values()])
    key = [_variant_key(v, looks[v.name], narrow) for v in comparison.variants]
    key.append(Line2D([], [], color=FAINT, lw=1.2, label="front: none beats it in both"))
    _key(figure, key, 2 if narrow else 4)
    return figure


def _front_line(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """A staircase through what no other beats: from one of its points to the next nothing better is for sale."""
    if points:
        steps = sorted(points)
        axes.step([x for x, _ in steps], [y for _, y in steps], where="post", color=FAINT, lw=1.2, zorder=1)


def _scatter(
    axes: Axes,
    comparison: Comparison,
    metric: Metric,
    points: Mapping[str, tuple[float, float]],
    looks: Mapping[str, Look],
    filled: Iterable[str] | None = None,
    margin_x: bool = True,
) -> None:
    """A marker for each variant, with the interval of the metric's mean; those not in `filled` are hollow."""
    order = [variant.name for variant in comparison.variants]
    for name, (x, y) in points.items():
        look, estimate = looks[name], comparison.estimates[metric.key][name]
        group: dict[str, Any] = {"gid": variant_gid(order.index(name))}
        if not math.isnan(estimate.low):
            axes.plot([x, x], [estimate.low, estimate.high], color=look.color, lw=1.2, zorder=2, **group)
        face = look.color if filled is None or name in filled else "#ffffff"
        axes.plot(x, y, color=look.color, marker=look.marker, ms=7.5, mfc=face, mew=1.5, ls="", zorder=3, **group)
    axes.margins(y=0.12)
    if margin_x:
        axes.margins(x=0.12)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where the values span so much; else room for a single value, and no offsets or powers."""
    if min(values) > 0 and max(values) / min(values) > SPREAD_FOR_LOG:
        _logarithmic(axes, "x", min(values), max(values))
    elif max(values) - min(values) <= 1e-3 * abs(max(values)):
        middle = max(values)
        axes.set_xlim(middle - 0.5 * (abs(middle) or 1), middle + 0.5 * (abs(middle) or 1))
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=5)


def _logarithmic(axes: Axes, which: str, low: float, high: float) -> None:
    """The axis "x" or "y" from low to high, with plain numbers at the ticks."""
    ticks = log_ticks(low, high)
    _log_axis(axes, which, ticks, [f"{tick:g}" for tick in ticks])


def _log_axis(axes: Axes, which: str, ticks: Sequence[float], words: Sequence[str]) -> None:
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(words))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, so few that their words stay apart: 1, 2, 5 … or every so many powers of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits, every in (((1, 1.5, 2, 3, 4, 5, 7), 1), ((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
        powers = range(first, last + 1, every)
        ticks = [float(f"{d}e{power}") for power in powers for d in digits if low <= float(f"{d}e{power}") <= high]
        if sum(len(f"{tick:g}") + 2 for tick in ticks) <= TICK_LETTERS:
            return ticks
    return ticks


def artifact_axis(axes: Axes, which: str, metric: Metric, values: Sequence[float]) -> Callable[[float], float] | None:
    """A logarithmic axis for a skewed figure, with a band for what is none; where each value is to be drawn on it.

    None for other metrics, whose axis stays as it is.
    """
    if not metric.log_scale:
        return None
    floor = metric.none_below or min((v for v in values if v > 0), default=1.0)
    known = [v for v in values if v >= floor]
    low, high = (min(known), max(known)) if known else (floor, floor * 10)
    if len(known) == len(values):
        low, high = low / 1.3, high * 1.3
        _logarithmic(axes, which, low, high)
        (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
        return lambda value: max(value, low)
    high *= (high / floor) ** 0.06
    end = floor / (high / floor) ** NONE_SHARE  # of the band, below the floor
    middle = math.sqrt(end * floor)
    ticks = [tick for tick in log_ticks(floor, high) if tick > 1.5 * floor]
    none = f"{NO_PATTERN}\n< {floor:g}"
    _log_axis(axes, which, [middle, *ticks], [none, *(f"{tick:g}" for tick in ticks)])
    if which == "x":
        axes.axvspan(end, floor, color=BAND, lw=0, zorder=0)
        axes.set_xlim(end, high)
    else:
        axes.axhspan(end, floor, color=BAND, lw=0, zorder=0)
        axes.set_ylim(end, high)
    return lambda value: value if value >= floor else middle


# ----------------------------------------------------------------------------------------------- quality and artifact


def _artifact_drawings(comparison: Comparison) -> Iterator[Drawing]:
    quality, artifact = comparison.metrics[0], artifact_metric(comparison)
    if artifact is None or len(comparison.variants) < 2:
        return
    ranks = ranks_of(comparison, quality), ranks_of(comparison, artifact)
    if ranks[0] and ranks[1]:
        order = (list(ranks[0]), list(ranks[1]))
        firsts = [listed([name for name, rank in each.items() if rank == 1]) for each in ranks]
        same = f"{firsts[0]} first by both" if firsts[0] == firsts[1] else f"first are {firsts[0]}, and {firsts[1]}"
        yield Drawing(
            "artifact",
            f"{quality.title} and {artifact.title} rank them {'alike' if order[0] == order[1] else 'differently'}",
            f"Ranks by {quality.title} and by {artifact.title}: {same}.",
            partial(_artifact, comparison, quality, artifact, ranks),
        )


def _artifact(
    comparison: Comparison, quality: Metric, artifact: Metric, ranks: tuple[RankByName, RankByName], width_in: float
) -> Figure:
    narrow = width_in <= NARROW_IN
    rows_in = 0.25 * len(ranks[0]) + 0.9
    figure = new_figure(width_in, 2.9 + rows_in if narrow else max(3.6, rows_in), PNG_DPI)
    looks = variant_looks(comparison.variants)
    shape: dict[str, Any] = (
        {"nrows": 2, "ncols": 1, "height_ratios": [2.9, rows_in]} if narrow else {"ncols": 2, "width_ratios": [1, 1.4]}
    )
    plane, slopes = figure.subplots(**shape)
    estimates = comparison.estimates
    means = {
        name: (estimates[artifact.key][name].mean, estimates[quality.key][name].mean)
        for name in ranks[0]
        if name in estimates.get(artifact.key, {}) and name in estimates.get(quality.key, {})
    }
    place = artifact_axis(plane, "x", artifact, [x for x, _ in means.values()])
    points = {name: (place(x) if place else x, y) for name, (x, y) in means.items()}
    _scatter(plane, comparison, quality, points, looks, margin_x=place is None)
    plane.set_xlabel(f"{metric_title(artifact)}; less is better", fontsize=TEXT_PT, color=INK)
    plane.set_ylabel(metric_title(quality), fontsize=TEXT_PT, color=INK)
    _quiet(plane, grid=True)
    if place is None:
        _scale(plane, [x for x, _ in points.values()])
    order = [variant.name for variant in comparison.variants]
    _slopes(slopes, ranks, looks, order, width_in - 0.2 if narrow else width_in * 0.54)
    tau = comparison.rank_agreement.get((quality.key, artifact.key))
    known = tau is not None and not math.isnan(tau)
    agreement = f"Kendall's τ = {number(tau, 2)} (1: same order, −1: reversed)" if known else ""
    if list(ranks[1].values()).count(1) > 1:
        agreement = f"grey: {NO_PATTERN}, all of one rank\n{agreement}".rstrip()
    heads = [textwrap.fill(f"rank by {metric.title}", 18) for metric in (quality, artifact)]
    slopes.set_xticks([0, 1], heads, fontsize=TEXT_PT, color=INK)
    for word, side in zip(slopes.get_xticklabels(), ("right", "left"), strict=True):
        word.set_horizontalalignment(side)  # each over its own names, as the two are close together
    slopes.set_xlabel(agreement, fontsize=SMALL_PT, color=INK)
    return figure


def _slopes(
    axes: Axes,
    ranks: tuple[RankByName, RankByName],
    looks: Mapping[str, Look],
    order: Sequence[str],
    width_in: float,
) -> None:
    """A line for each variant, from its rank by one metric to that by the other; `width_in` with the names."""
    length = 22 if width_in > NARROW_IN else 17
    size_pt = SMALL_PT if width_in > NARROW_IN else 7.0
    longest = min(length, max(map(len, ranks[0])))
    rows = [list(each) for each in ranks]
    names_in = (longest + 3) * size_pt * 0.6 / 72 + 0.12
    margin = names_in / max(0.5, width_in - 2 * names_in)
    for place, name in enumerate(ranks[0]):
        look, gid = looks[name], variant_gid(order.index(name))
        if name not in ranks[1]:
            continue
        other = rows[1].index(name)
        axes.plot([0, 1], [place, other], color=look.color, ls=look.dash, lw=1.6, marker=look.marker, ms=6, gid=gid)
        words = shortened(name, length)
        for x, y, side, text in (
            (-0.1 * margin, place, "right", f"{words}{GAP}{ranks[0][name]}"),
            (1 + 0.1 * margin, other, "left", f"{ranks[1][name]}{GAP}{words}"),
        ):
            axes.text(
                x, y, text, ha=side, va="center", fontsize=size_pt, color=INK, gid=gid, in_layout=False
            )  # the limits below leave room for it
    if (shared := list(ranks[1].values()).count(1)) > 1:
        axes.add_patch(Rectangle((1, -0.5), margin, shared, color=BAND, lw=0, zorder=0))
    axes.set_ylim(len(ranks[0]) - 0.5, -0.5)
    axes.set_xlim(-margin, 1 + margin)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.xaxis.tick_top()
    for spine in axes.spines.values():
        spine.set_visible(False)


# --------------------------------------------------------------------------------------------------------------- curves


def _curve_drawings(comparison: Comparison) -> Iterator[Drawing]:
    for key, curves in comparison.curves.items():
        drawn = {v.name: curves[v.name] for v in comparison.variants if v.name in curves and is_curve(curves[v.name])}
        if drawn:
            title = curve_title(comparison, key)
            yield Drawing(
                f"curves-{_stem(key)}",
                f"{title} over training",
                f"{title} over training steps, {plural(len(drawn), 'variant')}: mean over the seeds and its interval.",
                partial(_curves, comparison, title, curve_metric(comparison, key), drawn),
            )


def is_curve(curve: Curve) -> bool:
    """Whether it has enough points to be drawn: what lies between two or three would be made up by the line."""
    return len(curve.steps) >= POINTS_FOR_CURVE


def curve_metric(comparison: Comparison, key: str) -> Metric | None:
    """The metric that a curve of metrics.jsonl follows."""
    return next((metric for metric in comparison.metrics if curve_key(metric) == key), None)


def curve_title(comparison: Comparison, key: str) -> str:
    """`validation PSNR (dB)`; the key itself where no metric of the comparison has that name."""
    metric = curve_metric(comparison, key)
    if metric is None:
        return key
    return f"validation {metric_title(metric)}" if key.startswith("val/") else metric_title(metric)


def _curves(
    comparison: Comparison, title: str, metric: Metric | None, curves: Mapping[str, Curve], width_in: float
) -> Figure:
    narrow = width_in <= NARROW_IN
    count = len(curves)
    height = 3.0 + 0.19 * -(-count // 2) if narrow else max(3.5, 0.185 * count + 0.4)
    figure = new_figure(width_in, height, PNG_DPI)
    axes = figure.add_subplot()
    looks = variant_looks(comparison.variants)
    order = [variant.name for variant in comparison.variants]
    shade = 0.13 if count <= 10 else 0.05  # many bands on top of each other would hide what lies below
    place = artifact_axis(axes, "y", metric, [v for curve in curves.values() for v in curve.mean]) if metric else None
    for name, curve in curves.items():
        look, gid = looks[name], variant_gid(order.index(name))
        mean, low, high = (
            [place(v) for v in values] if place else values for values in (curve.mean, curve.low, curve.high)
        )
        if not any(math.isnan(value) for value in (*curve.low, *curve.high)):
            axes.fill_between(curve.steps, low, high, color=look.color, alpha=shade, lw=0, gid=gid)
        axes.plot(
            curve.steps, mean, color=look.color, ls=look.dash, lw=1.7, gid=gid,
            marker=look.marker, ms=4.5, markevery=[len(curve.steps) - 1],
        )  # fmt: skip
    if place is None:
        _late_part(axes, curves.values())
    axes.set_xlabel("training step", fontsize=TEXT_PT, color=INK)
    axes.set_ylabel(title, fontsize=TEXT_PT, color=INK)
    axes.locator_params(axis="x", nbins=5 if narrow else 9)
    _quiet(axes, grid=True)
    ends = {name: curve.mean[-1] for name, curve in curves.items()}
    by_end = sorted(
        (variant for variant in comparison.variants if variant.name in curves),
        key=lambda variant: -(place(ends[variant.name]) if place else ends[variant.name]),
    )
    key = [_variant_key(variant, looks[variant.name], narrow, line=True) for variant in by_end]
    if narrow:
        _key(figure, key, 2)
    else:
        figure.legend(
            handles=key, loc="outside right upper", fontsize=SMALL_PT, frameon=False, labelcolor=INK, handlelength=3
        )
    return figure


def _late_part(axes: Axes, curves: Iterable[Curve]) -> None:
    """Show what comes after the first steep rise, and say so where something is cut off."""
    shown, cut = [], False
    for curve in curves:
        first = SKIPPED_SHARE * curve.steps[-1]
        late = [i for i, step in enumerate(curve.steps) if step >= first] or [len(curve.steps) - 1]
        shown += [v for i in late for v in (curve.mean[i], curve.low[i], curve.high[i]) if not math.isnan(v)]
        cut = cut or len(late) < len(curve.steps)
    span = max(shown) - min(shown)
    if cut and span > 0:
        axes.set_ylim(min(shown) - 0.04 * span, max(shown) + 0.06 * span)


# -------------------------------------------------------------------------------------------------------------- regions

REGIONS = (("edges", "edges", "o"), ("rest", "in between", "D"), ("flat", "flat areas", "s"))


def _region_drawings(comparison: Comparison) -> Iterator[Drawing]:
    rows = [v for v in comparison.variants if v.name in comparison.regions]
    if rows:
        best = min(rows, key=lambda v: comparison.regions[v.name].edges)
        yield Drawing(
            "regions",
            "Where they err: edges, flat areas, and in between",
            f"Mean squared error by kind of pixel for {plural(len(rows), 'variant')}; at edges {best.name} errs least.",
            partial(_regions, comparison, rows),
        )


def _regions(comparison: Comparison, rows: Sequence[Variant], width_in: float) -> Figure:
    narrow = width_in <= NARROW_IN
    figure = new_figure(width_in, ROW_IN * len(rows) + (1.5 if narrow else 1.1), PNG_DPI)
    axes = figure.add_subplot()
    looks = variant_looks(comparison.variants)
    order = [variant.name for variant in comparison.variants]
    smallest, largest = math.inf, 0.0
    for row, variant in enumerate(rows):
        errors, look = comparison.regions[variant.name], looks[variant.name]
        values = [(getattr(errors, field), marker) for field, _, marker in REGIONS]
        known = [(value, marker) for value, marker in values if value > 0 and not math.isnan(value)]
        if known:
            smallest = min(smallest, *(value for value, _ in known))
            largest = max(largest, *(value for value, _ in known))
        gid = variant_gid(order.index(variant.name))
        axes.plot([v for v, _ in known], [row] * len(known), color=look.color, lw=1, alpha=0.5, gid=gid)
        for value, marker in known:
            axes.plot(value, row, marker=marker, ms=6.5, color=look.color, ls="", gid=gid)
    axes.set_yticks(range(len(rows)), [shortened(v.name, NARROW_NAME_LENGTH if narrow else NAME_LENGTH) for v in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if math.isfinite(smallest):
        _logarithmic(axes, "x", smallest / 1.2, largest * 1.2)
        axes.set_xlim(smallest / 1.2, largest * 1.2)
    axes.set_xlabel("mean squared error" + ("" if narrow else "; less is better"), fontsize=TEXT_PT, color=INK)
    _quiet(axes, grid=True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _key(figure, [Line2D([], [], color=INK, marker=m, ls="", label=label) for _, label, m in REGIONS], 3)
    return figure


# -------------------------------------------------------------------------------------------------------------- helpers


def variant_gid(index: int) -> str:
    """What the variant's parts are called in an SVG file, so that the page can point at them."""
    return f"variant-{index}"


def _stem(key: str) -> str:
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in key)


def _variant_key(variant: Variant, look: Look, narrow: bool, line: bool = False) -> Line2D:
    name = shortened(variant.name, NARROW_NAME_LENGTH if narrow else NAME_LENGTH)
    style = look.dash if line else ""
    return Line2D([], [], color=look.color, ls=style, lw=1.7, marker=look.marker, ms=5.5, label=name)


def _key(figure: Figure, handles: Sequence[Any], columns: int) -> None:
    """A legend below everything, in at most so many columns, and fewer where the names are long."""
    longest = max(len(handle.get_label()) for handle in handles)
    fitting = int(figure.get_figwidth() * 72 / (longest * SMALL_PT * 0.58 + 4 * SMALL_PT))
    figure.legend(
        handles=list(handles), loc="outside lower left", ncols=max(1, min(columns, fitting)), fontsize=SMALL_PT,
        frameon=False, labelcolor=INK, handlelength=2.2, columnspacing=1.4, borderpad=0.2,
    )  # fmt: skip


def _quiet(axes: Axes, grid: bool = False) -> None:
    """Only what is read: two sides of the frame, small ticks, at most a faint grid."""
    axes.tick_params(which="both", labelsize=SMALL_PT, colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    if grid:
        axes.grid(True, color=BAND, lw=0.8)
        axes.set_axisbelow(True)
