"""From the variants' values by seed to estimates, differences, rankings and Pareto fronts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from upsample_lab.catalogue import Metric
from upsample_lab.compare.questions import SPLIT, TESTED, Answers, Facts, answers, on_log_scale, present, scaled
from upsample_lab.compare.result import Difference, Estimate, Ranking, VariantCost
from upsample_lab.compare.statistics import (
    Array,
    Resamples,
    bootstrap_interval,
    kendall_tau,
    mean_interval,
    pareto_front,
    rank_stability,
    seeds_needed,
    spread,
)
from upsample_lab.compare.verdicts import RATIO_OF_INTEREST, difference_verdict


@dataclass(frozen=True)
class Values:
    """A metric of all variants that have it: `values [V, n]`, a row a variant and a column a seed."""

    metric: Metric
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Array

    @property
    def facts(self) -> Facts:
        return Facts(bool(self.metric.higher_is_better), self.metric.none_below, self.metric.log_scale)

    @property
    def is_ratio(self) -> bool:
        """Whether ratios are compared, by logarithms."""
        return on_log_scale(self.values, self.facts)

    @property
    def scaled(self) -> Array:
        """On the metric's scale of comparison; values that are none are equal."""
        return scaled(self.values, self.facts)

    @property
    def goodness(self) -> Array:
        """Higher is better, on the metric's scale of comparison."""
        return self.scaled if self.metric.higher_is_better else -self.scaled


def estimates_of(values: Values, confidence: float) -> dict[str, Estimate]:
    """Mean and interval of each variant, on the scale of the comparison; of one that is none in all runs, as it is."""
    some = present(values.values, values.facts).sum(axis=1) > 0
    compared = np.where(some[:, None], values.scaled, values.values)
    (mean, std), (low, high) = spread(compared), mean_interval(compared, confidence)
    geometric = some & values.is_ratio
    with np.errstate(over="ignore"):
        mean, low, high = (np.where(geometric, np.exp(column), column) for column in (mean, low, high))
    std = np.where(geometric, spread(values.values)[1], std)
    return {
        name: Estimate(
            float(mean[row]),
            float(std[row]),
            float(low[row]),
            float(high[row]),
            dict(zip(values.seeds, map(float, values.values[row]), strict=True)),
            bool(geometric[row]),
        )
        for row, name in enumerate(values.names)
    }


def differences_of(
    values: Values, resamples: Resamples, confidence: float, reference: str | None = None, *, every_pair: bool = True
) -> tuple[Difference, ...]:
    """The pairs that are asked for, first minus second, in the order of `values.names`."""
    if len(values.names) < 2:
        return ()
    row = values.names.index(reference) if reference in values.names else None
    judged = answers(values.values, values.facts, row, 1 - confidence, every_pair=every_pair)
    return tuple(_differences(values, judged, resamples, 1 - confidence))


def _differences(values: Values, judged: Answers, resamples: Resamples, alpha: float) -> Iterator[Difference]:
    metric, count = values.metric, len(values.seeds)
    each = values.scaled[judged.first] - values.scaled[judged.second]
    mean, std = spread(each)
    boot_low, boot_high = bootstrap_interval(each, resamples, 1 - alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = mean / std
    smallest = math.log(RATIO_OF_INTEREST) if values.is_ratio else metric.smallest_of_interest
    needed = [_seeds_needed(judged, place, smallest, count) for place in range(len(judged.first))]
    occurs = present(values.values, values.facts).sum(axis=1)
    for place, kind in enumerate(judged.kinds):
        a, b = int(judged.first[place]), int(judged.second[place])
        tested = kind == TESTED
        numbers = [judged.mean, judged.low, judged.high, boot_low, boot_high]
        mean_, low, high, b_low, b_high = (float(column[place]) if tested else math.nan for column in numbers)
        if values.is_ratio:
            mean_, low, high, b_low, b_high = map(_exp, (mean_, low, high, b_low, b_high))
        difference = Difference(
            metric=metric.key,
            first=values.names[a],
            second=values.names[b],
            mean=mean_,
            low=low,
            high=high,
            p_value=float(judged.p_value[place]),
            p_holm=float(judged.p_adjusted[place]),
            effect_size=float(effect[place]) if tested else math.nan,
            seeds=values.seeds,
            shown=bool(judged.shown[place]),
            more_seeds=needed[place],
            verdict="",
            bootstrap_low=b_low,
            bootstrap_high=b_high,
            is_ratio=values.is_ratio,
            kind=kind,
            whole=kind == SPLIT and max(occurs[a], occurs[b]) == count,
        )
        yield replace(difference, verdict=difference_verdict(metric, difference, values.values[a], values.values[b]))


def _seeds_needed(judged: Answers, place: int, smallest: float, count: int) -> int | None:
    """Seeds beyond these with which the pair's own level would see the smallest difference of interest."""
    if judged.kinds[place] != TESTED or judged.shown[place] or count < 2:
        return None
    std = judged.error[place : place + 1] * math.sqrt(count)
    wanted = float(seeds_needed(std, smallest, float(judged.level[place]))[0])
    return max(0, int(wanted) - count) if math.isfinite(wanted) else None


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def ranking_of(values: Values, resamples: Resamples) -> Ranking:
    order, stability, best = rank_stability(values.goodness, resamples)
    names = values.names
    return Ranking(
        values.metric.key,
        tuple(names[row] for row in order),
        stability,
        {name: float(share) for name, share in zip(names, best, strict=True)},
    )


def agreements(every: Sequence[Values]) -> dict[tuple[str, str], float]:
    """Kendall's tau of each two metrics, by the means of the variants that have both; 1: both rank them alike."""
    taus = {}
    for one, other in itertools.combinations(every, 2):
        rows = {name: row for row, name in enumerate(other.names)}
        shared = [name for name in one.names if name in rows]
        first = spread(one.goodness)[0][[one.names.index(name) for name in shared]]
        second = spread(other.goodness)[0][[rows[name] for name in shared]]
        taus[one.metric.key, other.metric.key] = kendall_tau(first, second)
    return taus


def pareto_of(quality: Values, costs: Mapping[str, VariantCost]) -> dict[str, tuple[str, ...]]:
    """For each kind of cost that is known of every variant, those that no other dominates, the cheapest first."""
    goodness = spread(quality.goodness)[0]
    fronts = {}
    for kind in ("parameters", "macs", "latency_ms"):
        cost = [getattr(costs[name], kind) for name in quality.names]
        if all(value is not None for value in cost):
            front = pareto_front(goodness, np.array(cost, dtype=np.float64))
            fronts[kind] = tuple(quality.names[row] for row in front)
    return fronts
