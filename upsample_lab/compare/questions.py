"""What a comparison asks of one metric, on plain arrays: `values [V, n]`, a row a variant and a column a seed.

Two questions are asked: how does every variant stand to the *reference*, and how does the *best* stand to the rest?
Each has half of the error, so that both tell a difference where there is none in at most one experiment of twenty.
The reference is named beforehand, so its question has V - 1 pairs. The best is chosen by looking, and could have been
any: its pairs are corrected as members of all V (V - 1) / 2. docs/statistics.md has the measured error rates and power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upsample_lab.compare.statistics import (
    Array,
    chance_among_all,
    chance_of_split,
    corrected_intervals,
    holm,
    paired_errors,
    spread,
    t_probability,
)

Indices = NDArray[np.intp]
TESTED, SPLIT, NEITHER = "tested", "split", "neither"


@dataclass(frozen=True)
class Facts:
    """What the answers depend on besides the values, as in the catalogue of metrics."""

    higher_is_better: bool = True
    none_below: float | None = None
    log_scale: bool = False


@dataclass(frozen=True)
class Answers:
    """Arrays `[P]`, a place a pair, `first < second` being rows of the values.

    `kinds` says how a pair was judged: TESTED by Student's t, of natural logarithms where `on_log_scale`; SPLIT where
    one of them is none in every run and the other is not, by the exact probability of that; NEITHER where both are
    none. What only a test has is NaN elsewhere.
    """

    first: Indices
    second: Indices
    kinds: tuple[str, ...]
    mean: Array
    error: Array  # of the mean
    freedom: Array  # degrees, of the estimate of that error
    low: Array
    high: Array
    p_value: Array
    p_adjusted: Array
    level: Array  # the error that a pair has to itself, where nothing else has been shown
    shown: NDArray[np.bool_]


def present(values: Array, facts: Facts) -> NDArray[np.bool_]:
    """`[V, n]`: whether a run's value is more than none."""
    return values >= (-math.inf if facts.none_below is None else facts.none_below)


def on_log_scale(values: Array, facts: Facts) -> bool:
    """Whether logarithms are compared: not where a variant is none in some of its runs alone, as none has no logarithm.

    Whatever stood for none would then be far from the variant's other runs, and their spread would hide all else.
    """
    return facts.log_scale and bool(np.isin(present(values, facts).sum(axis=1), (0, values.shape[1])).all())


def scaled(values: Array, facts: Facts) -> Array:
    """The values on the scale on which they are compared; what is none is equal, as it differs by rounding alone."""
    log = on_log_scale(values, facts)
    if facts.none_below is not None:
        values = np.maximum(values, facts.none_below)
    return np.log(np.maximum(values, np.finfo(np.float64).tiny)) if log else values


def best_row(values: Array, facts: Facts) -> int:
    mean = spread(scaled(values, facts))[0]
    return int(np.argmax(mean if facts.higher_is_better else -mean))


def answers(values: Array, facts: Facts, reference: int | None, alpha: float, *, every_pair: bool = False) -> Answers:
    """Judge the pairs of both questions, or, where asked, every pair at the whole error."""
    count, runs = values.shape
    first, second = np.triu_indices(count, 1)
    occurs = present(values, facts).sum(axis=1)
    tested = (occurs[first] > 0) & (occurs[second] > 0)
    mean, error, freedom = np.full((3, len(first)), np.nan)
    rows = np.flatnonzero(occurs)
    mean[tested], error[tested], freedom[tested] = paired_errors(scaled(values, facts)[rows])
    p_value = t_probability(mean, error, freedom)
    asked = _asked(first, second, reference, best_row(values, facts), every_pair or count == 2)
    p_adjusted, level = _corrected(p_value, tested, asked, alpha)
    split = (occurs[first] > 0) != (occurs[second] > 0)
    chance = np.full(len(first), np.nan)
    chance[split] = chance_of_split(np.maximum(occurs[first], occurs[second])[split], runs)
    whole = split & (np.maximum(occurs[first], occurs[second]) == runs)
    p_value = np.where(split, chance, p_value)
    p_adjusted = np.where(split, np.minimum(1, chance * (len(first) + 1)), p_adjusted)
    if whole.any():
        p_adjusted[whole] = chance_among_all(occurs, runs)
    shown = p_adjusted < alpha  # NaN is not
    low, high = corrected_intervals(mean, error, freedom, level, shown)
    kept = np.logical_or.reduce(asked)
    kinds = np.where(tested, TESTED, np.where(split, SPLIT, NEITHER))[kept]
    return Answers(
        first=first[kept],
        second=second[kept],
        kinds=tuple(map(str, kinds)),
        mean=mean[kept],
        error=error[kept],
        freedom=freedom[kept],
        low=low[kept],
        high=high[kept],
        p_value=p_value[kept],
        p_adjusted=p_adjusted[kept],
        level=level[kept],
        shown=shown[kept],
    )


def _asked(
    first: Indices, second: Indices, reference: int | None, best: int, every_pair: bool
) -> list[NDArray[np.bool_]]:
    """For each question the pairs that answer it, among all: every one, or those with the best, and the reference's."""
    if every_pair:
        return [np.ones(len(first), dtype=bool)]
    with_best = (first == best) | (second == best)
    return [with_best] if reference is None else [with_best, (first == reference) | (second == reference)]


def _corrected(
    p_value: Array, tested: NDArray[np.bool_], asked: list[NDArray[np.bool_]], alpha: float
) -> tuple[Array, Array]:
    """Holm's p-values over each question's pairs, times the number of questions; and the level of each pair alone."""
    p_adjusted, level = np.full((2, len(p_value)), np.nan)
    for number, pairs in enumerate(asked):
        family = tested if number == 0 else tested & pairs  # the best could have been any: all pairs are its family
        told = tested & pairs
        if not told.any():
            continue
        adjusted = np.full(len(p_value), np.nan)
        adjusted[family] = np.minimum(1, len(asked) * holm(p_value[family]))
        p_adjusted[told] = np.fmin(p_adjusted[told], adjusted[told])
        level[told] = np.fmax(level[told], alpha / (len(asked) * int(family.sum())))
    return p_adjusted, level
