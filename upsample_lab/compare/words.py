"""Numbers and tables as words: what the page and the Markdown report say alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from upsample_lab.catalogue import Metric, artifact_of, is_none, ratio, shown
from upsample_lab.compare.result import Comparison, Difference, Estimate

NONE = "–"  # where there is no figure
MINUS = "−"


@dataclass(frozen=True)
class Column:
    """Of a table: what it is, its unit, which end is the good one ("higher", "lower" or ""), and if it has words."""

    title: str
    unit: str = ""
    better: str = ""
    words: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Cell:
    """A figure in words, an addition in smaller print, the number to sort by (None sorts last), and a remark."""

    text: str
    detail: str = ""
    order: float | None = None
    remark: str = ""


def number(value: float | None, digits: int, *, tiny: bool = False) -> str:
    """So many decimals, with a true minus; a dash where there is no number. `tiny` gives `4e−06` instead of 0.00."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{digits}f}"
    if not text.strip("-0.,"):  # rounds to zero
        text = f"{value:.0e}" if value and tiny else text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int) -> str:
    """As `number`, with a plus where it is positive."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def interval(low: float, high: float, digits: int, plus: bool = False) -> str:
    """`[low, high]`, or nothing where there is none, as for one seed."""
    if math.isnan(low) or math.isnan(high):
        return ""
    form = signed if plus else number
    return f"[{form(low, digits)}, {form(high, digits)}]"


def p_value(value: float) -> str:
    """To three decimals, and never as zero."""
    if math.isnan(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def shortened(name: str, length: int) -> str:
    """A name for a figure: its middle gives way where it is too long."""
    if len(name) <= length:
        return name
    head = (length - 1) * 2 // 3
    return f"{name[:head]}…{name[-(length - 1 - head) :]}"


NO_PATTERN = "none"  # the word for a value below what the metric calls so


def metric_value(metric: Metric, value: float | None) -> str:
    """`0.42`, or `none` below what the metric calls so; a dash where there is no number."""
    if value is not None and not math.isnan(value) and is_none(metric, value):
        return NO_PATTERN
    return number(value, metric.digits, tiny=True)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def metric_of(comparison: Comparison, key: str) -> Metric | None:
    return next((metric for metric in comparison.metrics if metric.key == key), None)


def metric_title(metric: Metric) -> str:
    """`PSNR (dB)`, as on an axis."""
    return Column(metric.title, metric.unit).heading


def artifact_metric(comparison: Comparison) -> Metric | None:
    """The metric that the verdict speaks of, or the first that measures an artifact and is not the primary one."""
    return artifact_of(comparison.metrics)


# ------------------------------------------------------------------------------------------------------------- tables


def estimate_cell(estimate: Estimate | None, metric: Metric) -> Cell:
    """`29.95 ± 0.11` and, smaller, the interval of the mean; `none` alone where that is what the metric calls it."""
    if estimate is None or math.isnan(estimate.mean):
        return Cell(NONE)
    text = metric_value(metric, estimate.mean)
    if text == NO_PATTERN:
        return Cell(text, f"≤ {number(max(estimate.values.values()), metric.digits, tiny=True)}", float(estimate.mean))
    alone = math.isnan(estimate.std) or estimate.geometric  # a geometric mean has no spread to both sides alike
    spread = "" if alone else f" ± {number(estimate.std, metric.digits, tiny=True)}"
    low = max(0.0, estimate.low) if min(estimate.values.values()) >= 0 else estimate.low
    return Cell(text + spread, interval(low, estimate.high, metric.digits), float(estimate.mean))


def results_table(comparison: Comparison) -> tuple[list[Column], list[list[Cell]]]:
    """A row for each variant in the comparison's order; costs that no variant has are left out."""
    columns = [Column(m.title, m.unit, "higher" if m.higher_is_better else "lower") for m in comparison.metrics]
    rows = [[_metric_cell(comparison, metric, v.name) for metric in comparison.metrics] for v in comparison.variants]
    for column, cells in _costs(comparison):
        if any(cell.order is not None for cell in cells):
            columns.append(column)
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell)
    return columns, rows


def _metric_cell(comparison: Comparison, metric: Metric, name: str) -> Cell:
    cell = estimate_cell(comparison.estimates.get(metric.key, {}).get(name), metric)
    return replace(cell, remark=standing(comparison, metric, name)) if cell.order is not None else cell


def ranks_of(comparison: Comparison, metric: Metric) -> dict[str, int]:
    """The variants from best to worst, with their ranks: those whose value is none share the first one.

    What is none has no order but that of the comparison; the next after three of them is the fourth.
    """
    ranking, estimates = comparison.rankings.get(metric.key), comparison.estimates.get(metric.key, {})
    if ranking is None:
        return {}
    without = {name for name in ranking.order if name in estimates and is_none(metric, estimates[name].mean)}
    first = [variant.name for variant in comparison.variants if variant.name in without]
    others = [name for name in ranking.order if name not in without]
    ranks = dict.fromkeys(first, 1)
    for place, name in enumerate(others, len(first) + 1):
        before = others[place - len(first) - 2] if place > len(first) + 1 else None
        same = (
            before is not None and {name, before} <= set(estimates) and estimates[name].mean == estimates[before].mean
        )
        ranks[name] = ranks[before] if before is not None and same else place
    return ranks


BEST, TIED = "best", "tied"


def standing(comparison: Comparison, metric: Metric, name: str) -> str:
    """`best`, `tied` where no difference from the best is shown, or nothing; nothing too where nothing is known."""
    ranking = comparison.rankings.get(metric.key)
    pairs = comparison.differences.get(metric.key, ())
    if ranking is None or name not in ranking.order or not pairs or len(comparison.seeds) < 2:
        return ""
    best = ranking.order[0]
    if name == best or ranks_of(comparison, metric).get(name) == 1:
        return BEST
    estimates = comparison.estimates[metric.key]
    if is_none(metric, estimates[best].mean) and not is_none(metric, min(estimates[name].values.values())):
        return ""  # a pattern in every run, where the best have none: no test is needed to tell them apart
    with_best = [pair for pair in pairs if {pair.first, pair.second} == {best, name}]
    return TIED if with_best and not with_best[0].told_apart else ""


def _costs(comparison: Comparison) -> list[tuple[Column, list[Cell]]]:
    costs = [variant.cost for variant in comparison.variants]
    return [
        (Column("parameters"), [_count(c.parameters, 1, 0) for c in costs]),
        (Column("MACs", "M"), [_count(c.macs, 1e6, 2) for c in costs]),
        (Column("latency", "ms"), [_count(c.latency_ms, 1, 2) for c in costs]),
    ]


def _count(value: float | None, unit: float, digits: int) -> Cell:
    return Cell(NONE) if value is None else Cell(number(value / unit, digits), "", float(value))


DIFFERENCE_COLUMNS = (
    Column("first", words=True),
    Column("second", words=True),
    Column("first − second, or first / second"),
    Column("interval"),
    Column("p"),
    Column("p, Holm"),
    Column("effect size d"),
    Column("verdict", words=True),
)


def difference_row(difference: Difference, metric: Metric) -> list[Cell]:
    """A row of `DIFFERENCE_COLUMNS`."""
    d = difference
    return [
        Cell(d.first),
        Cell(d.second),
        Cell(effect(d, metric), "", _finite(d.mean)),
        Cell(interval_of(d, metric) or NONE, "", _finite(d.low)),
        Cell(p_value(d.p_value), "", _finite(d.p_value)),
        Cell(p_value(d.p_holm), "", _finite(d.p_holm)),
        Cell(signed(d.effect_size, 1), "", _finite(abs(d.effect_size))),
        Cell(d.verdict, "", None),
    ]


def effect(difference: Difference, metric: Metric) -> str:
    """`+0.12`, or `× 3.2` where a ratio was estimated."""
    if difference.is_ratio and not math.isnan(difference.mean):
        return f"× {ratio(difference.mean)}"
    return signed(difference.mean, metric.digits)


def interval_of(difference: Difference, metric: Metric) -> str:
    """Of the effect; nothing where there is none."""
    low, high = difference.low, difference.high
    if difference.is_ratio:
        return "" if math.isnan(low) else f"[{ratio(low)}, {ratio(high)}]"
    return interval(low, high, metric.digits, plus=True)


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def difference_note(comparison: Comparison) -> str:
    """How to read the differences."""
    level = f"{comparison.confidence:.0%}".replace("%", " %")
    return (
        f"{questions(comparison)} Differences are taken seed by seed, so that what a seed does to all cancels. "
        f"A full dot: shown after Holm's correction; the {level} intervals of a metric hold at once. Figures on a "
        "logarithmic scale are compared by their ratio. What is none is not tested, but told with the probability that "
        "it comes about by chance."
    )


def questions(comparison: Comparison) -> str:
    """Which pairs were compared."""
    if comparison.every_pair or len(comparison.variants) < 3:
        return "Every pair was compared."
    reference = "" if comparison.reference is None else f"every variant with {comparison.reference}, and "
    text = f"{reference}the best of each metric with the rest; pairs=all compares every pair."
    return text[0].upper() + text[1:]


def facts(comparison: Comparison) -> str:
    """What was compared, in a line."""
    run_count = sum(len(variant.runs) for variant in comparison.variants)
    seeds = plural(len(comparison.seeds), "seed")
    data = f" on {comparison.provenance.data}" if comparison.provenance.data else ""
    return f"{plural(len(comparison.variants), 'variant')} × {seeds}{data} · {plural(run_count, 'run')}"


def measured(comparison: Comparison) -> list[tuple[str, str]]:
    """How it was measured: a name and a value, in reading order; what is not known is left out."""
    p = comparison.provenance
    state = "no uncommitted changes" if p.clean else "with uncommitted changes; each run's capsule.json has the diff"
    return [
        (name, value)
        for name, value in (
            ("data", f"{p.data}: {p.data_note}" if p.data_note else p.data),
            ("seeds", ", ".join(map(str, comparison.seeds))),
            ("commit", f"{', '.join(p.commits)} ({state})" if p.commits else "unknown: not run from a git checkout"),
            ("machine", "; ".join(p.machines)),
            ("packages", ", ".join(f"{name} {version}" for name, version in p.packages.items())),
        )
        if value
    ]


def _note_on_levels(comparison: Comparison) -> str:
    """What the means of skewed figures are, and what none is."""
    estimates = [(m, e) for m in comparison.metrics for e in comparison.estimates.get(m.key, {}).values()]
    geometric = any(estimate.geometric for _, estimate in estimates)
    floors = {metric.none_below: metric for metric, estimate in estimates if is_none(metric, estimate.mean)}
    note = " Means of figures in levels without a ± are geometric." if geometric else ""
    for floor, metric in floors.items():
        note += f" None: every run is below {shown(metric, floor or 0.0)}, which rounding could leave."
    return note


def table_note(comparison: Comparison) -> str:
    """How to read the table of results."""
    seeds = plural(len(comparison.seeds), "seed")
    if len(comparison.seeds) < 2:
        return "One seed: no spread and no interval can be given. MACs are multiply-accumulates, forward, one image."
    level = f"{comparison.confidence:.0%}".replace("%", " %")
    note = f"Mean ± standard deviation over {seeds}, and the {level} interval of the mean."
    note += _note_on_levels(comparison)
    remarks = {standing(comparison, m, v.name) for m in comparison.metrics for v in comparison.variants}
    if TIED in remarks:
        note += " Tied: no difference from the best was shown."
    return note + " MACs are multiply-accumulates, forward, one image."
