"""From the variants' values by seed to estimates, differences, rankings and Pareto fronts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from upsample_lab.compare.result import Cost, Difference, Estimate, Metric, Ranking
from upsample_lab.compare.statistics import (
    Array,
    Resamples,
    bootstrap_interval,
    holm,
    kendall_tau,
    mean_interval,
    pareto_front,
    rank_stability,
    seeds_needed,
    simultaneous_intervals,
    spread,
    t_test,
)
from upsample_lab.compare.verdicts import difference_verdict


@dataclass(frozen=True)
class Values:
    """A metric of all variants that have it: `values [V, n]`, a row a variant and a column a seed."""

    metric: Metric
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Array

    @property
    def goodness(self) -> Array:
        """Higher is better; values that are none are equal, as between them there is but rounding."""
        values = self.values
        if self.metric.none_below is not None:
            values = np.where(values < self.metric.none_below, 0.0, values)
        return values if self.metric.higher_is_better else -values


def estimates_of(values: Values, confidence: float) -> dict[str, Estimate]:
    (mean, std), (low, high) = spread(values.values), mean_interval(values.values, confidence)
    return {
        name: Estimate(
            float(mean[row]),
            float(std[row]),
            float(low[row]),
            float(high[row]),
            dict(zip(values.seeds, map(float, values.values[row]), strict=True)),
        )
        for row, name in enumerate(values.names)
    }


def differences_of(values: Values, resamples: Resamples, confidence: float) -> tuple[Difference, ...]:
    """Every pair, first minus second, the pairs in the order of `values.names`."""
    pairs = list(itertools.combinations(range(len(values.names)), 2))
    if not pairs:
        return ()
    first, second = np.array(pairs).T
    differences = values.values[first] - values.values[second]
    return tuple(_differences(values, pairs, differences, resamples, 1 - confidence))


def _differences(
    values: Values, pairs: list[tuple[int, int]], differences: Array, resamples: Resamples, alpha: float
) -> Iterator[Difference]:
    count = len(values.seeds)
    mean, std = spread(differences)
    p_value = t_test(mean, std, count)
    p_holm = holm(p_value)
    shown = p_holm < alpha
    low, high = simultaneous_intervals(mean, std, count, shown, alpha)
    boot_low, boot_high = bootstrap_interval(differences, resamples, 1 - alpha)
    # A pair that is not shown is the next to be tested once those that are have been set aside.
    needed = seeds_needed(std, values.metric.smallest_of_interest, alpha / max(1, int((~shown).sum())))
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = mean / std
    columns = np.stack([mean, low, high, p_value, p_holm, effect, boot_low, boot_high], axis=1).tolist()
    for (a, b), row, is_shown, wanted in zip(pairs, columns, shown.tolist(), needed.tolist(), strict=True):
        more = None if is_shown or not math.isfinite(wanted) or count < 2 else max(0, int(wanted) - count)
        one, other = values.names[a], values.names[b]
        yield Difference(
            metric=values.metric.key,
            first=one,
            second=other,
            mean=row[0],
            low=row[1],
            high=row[2],
            p_value=row[3],
            p_holm=row[4],
            effect_size=row[5],
            seeds=values.seeds,
            shown=is_shown,
            more_seeds=more,
            verdict=difference_verdict(values.metric, one, other, (row[0], row[1], row[2]), is_shown, more, count),
            bootstrap_low=row[6],
            bootstrap_high=row[7],
        )


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


def pareto_of(quality: Values, costs: Mapping[str, Cost]) -> dict[str, tuple[str, ...]]:
    """For each kind of cost that is known of every variant, those that no other dominates, the cheapest first."""
    goodness = spread(quality.goodness)[0]
    fronts = {}
    for kind in ("parameters", "macs", "latency_ms"):
        cost = [getattr(costs[name], kind) for name in quality.names]
        if all(value is not None for value in cost):
            front = pareto_front(goodness, np.array(cost, dtype=np.float64))
            fronts[kind] = tuple(quality.names[row] for row in front)
    return fronts
