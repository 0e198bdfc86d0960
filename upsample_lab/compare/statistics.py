"""The arithmetic of a comparison, on plain arrays: a row a pair or a variant, a column a seed.

docs/statistics.md defines every quantity, says why each method was chosen, and has the measured coverage. SciPy is
imported where it is needed, since help and errors must answer without waiting for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POWER = 0.8  # Cohen, "Statistical power analysis for the behavioral sciences", 1988, section 2.4
MOST_SEEDS = 1_000  # where the search for the seeds needed gives up
_CORNERS = 128  # pairs for which it is sought from scratch
_NODES = 64  # of the quadrature of the power, which is then right to 1e-4
MOST_ENUMERATED = 500  # resamples, which is up to 6 seeds: sorting more of them takes longer than drawing some
_CHUNK_VALUES = 2**22  # of a temporary array: 32 MiB in float64


# ----------------------------------------------------------------------------------------------------------------------
# Student's t


def spread(values: Array) -> tuple[Array, Array]:
    """Mean and sample standard deviation (n - 1) of each row, `[..., n] -> [...]`; NaN for one column.

    A row of equal values has exactly no spread, whatever rounding its mean suffers.
    """
    mean = values.mean(axis=-1)
    if values.shape[-1] < 2:
        return mean, np.full_like(mean, np.nan)
    constant = values.max(axis=-1) == values.min(axis=-1)
    return np.where(constant, values[..., 0], mean), np.where(constant, 0.0, values.std(axis=-1, ddof=1))


def t_factor(count: int, level: float) -> float:
    """Half the width of a two-sided interval of error `level`, in standard errors of the mean of `count` values."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 1 - level / 2)) if count > 1 else math.nan


def mean_interval(values: Array, confidence: float) -> tuple[Array, Array]:
    """Student's interval of each row's mean, `[..., n] -> [...]` twice. Student, Biometrika 6(1), 1908."""
    mean, std = spread(values)
    count = values.shape[-1]
    half = t_factor(count, 1 - confidence) * std / math.sqrt(count)
    return mean - half, mean + half


def t_test(mean: Array, std: Array, count: int) -> Array:
    """Two-sided p-values of the hypothesis that the true mean is zero. Without spread: 1 for a zero mean, else 0."""
    return t_probability(mean, std / math.sqrt(count), np.full_like(mean, count - 1))


def t_probability(mean: Array, error: Array, freedom: Array) -> Array:
    """Two-sided p-values `[P]` of means with these errors and degrees of freedom; NaN where there is no freedom."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / error
    p_value = np.where((error == 0) & (mean == 0), 1.0, 2 * stdtr(np.maximum(freedom, 1), -t))
    return np.where(freedom >= 1, p_value, np.nan)


# ----------------------------------------------------------------------------------------------------------------------
# The two-way layout, variant x seed

ALIKE = 0.2  # variances are taken for alike unless Bartlett's p-value is below: a high level, as his test sees little
OWN_ERROR = 2.0  # a pair whose own variance is this many times the pooled one keeps its own


def paired_errors(values: Array) -> tuple[Array, Array, Array]:
    """Of all pairs of rows of `[V, n]`: mean difference, its standard error, and the degrees of freedom, `[P]` each.

    What is left of the layout once variant and seed are taken out has (V - 1) (n - 1) degrees of freedom, where a pair
    by itself has n - 1. It is used where Bartlett's test finds the variants' variances alike, and by a pair whose own
    differences do not spread more than twice as far in variance. For two rows both are the paired t-test's.
    (Snedecor and Cochran, "Statistical methods", 8th edition, 1989, sections 13.10 and 14.2.)
    """
    first, second = np.triu_indices(len(values), 1)
    count = values.shape[1]
    mean, std = spread(values[first] - values[second])
    error, freedom = std / math.sqrt(count), np.full_like(mean, count - 1)
    if count < 2 or len(values) < 3 or bartlett(values) < ALIKE:
        return mean, error, freedom
    pooled = math.sqrt(2 * _residual(values)[1] / count)
    shared = (error <= math.sqrt(OWN_ERROR) * pooled) & (error > 0)  # no spread at all is none of chance
    degrees = (len(values) - 1) * (count - 1)
    return mean, np.where(shared, np.maximum(error, pooled), error), np.where(shared, degrees, freedom)


def _residual(values: Array) -> tuple[Array, float]:
    """What is left of `[V, n]` without the means of rows and columns, and its variance."""
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return rest, float(np.square(rest).sum()) / ((values.shape[0] - 1) * (values.shape[1] - 1))


def bartlett(values: Array) -> float:
    """P-value of the hypothesis that the rows of `[V, n]` have one variance, once the seeds' means are taken out.

    M. Bartlett, Proc. Royal Society A 160, 1937. (`scipy.stats.bartlett` is the same; importing `scipy.stats` takes
    longer than a comparison.) The rows' residuals are coupled, weakly for many rows. Zero where one has no spread.
    """
    from scipy.special import chdtrc

    groups, freedom = len(values), values.shape[1] - 1
    variance = np.square(_residual(values)[0]).sum(axis=1) / freedom
    if not (variance > 0).all():
        return 0.0
    statistic = freedom * (groups * math.log(float(variance.mean())) - float(np.log(variance).sum()))
    correction = 1 + (groups / freedom - 1 / (groups * freedom)) / (3 * (groups - 1))
    return float(chdtrc(groups - 1, statistic / correction))


# ----------------------------------------------------------------------------------------------------------------------
# All or none


def chance_of_split(occurs: NDArray[np.integer[Any]], runs: int) -> Array:
    """How probable it is that all of k occurrences among 2 `runs` runs fall to one of two variants, `[P] -> [P]`.

    Exact, if runs are exchangeable: 2 C(n, k) / C(2n, k), which for k = n is 2 / C(2n, n). R. Fisher, "The design of
    experiments", 1935, section 21. What a seed does to both variants alike makes it rarer still.
    """
    return np.array([min(1.0, 2 * math.comb(runs, int(k)) / math.comb(2 * runs, int(k))) for k in occurs])


MOST_BLOCKED = 12  # variants up to which all sets of them are looked at


def chance_among_all(occurs: NDArray[np.integer[Any]], runs: int) -> float:
    """Adjusted probability of a whole split, one variant in all runs and another in none, among many: `[V] ->` share.

    A closed test (Marcus, Peritz and Gabriel, Biometrika 63(3), 1976): a pair differs where every hypothesis is
    rejected that makes it, and any others with it, equal. Of a set of equal variants occurrences are dealt out at
    random; its statistic is how many variants have some and not all, and must have both others. Where it has none of
    those to begin with, the pair by itself is the least improbable set. Otherwise other sets may split beside it, and
    each adds its share (Bonferroni).
    """
    count, whole, none = len(occurs), int((occurs == runs).sum()), int((occurs == 0).sum())
    mixed = [int(k) for k in occurs if 0 < k < runs]
    if not mixed:
        return 2 / math.comb(2 * runs, runs)
    if count > MOST_BLOCKED:
        return min(1.0, (math.comb(count, 2) + 1) * 2 / math.comb(2 * runs, runs))
    some = {(0, 0)}  # how many of the mixed variants a set has, and their occurrences
    for k in mixed:
        some |= {(number + 1, total + k) for number, total in some}
    worst = 0.0
    for a, z, (number, total) in itertools.product(range(1, whole + 1), range(1, none + 1), some):
        size = a + z + number
        share = _chance_of_block(size, a * runs + total, number, runs)
        worst = max(worst, share * (1 + (count - size) // 2))
    return min(1.0, worst)


def _chance_of_block(size: int, occurring: int, mixed: int, runs: int) -> float:
    """How probable it is that some variant of a block has all runs, some none, and at most so many are in between."""
    ways = 0
    for a, z in itertools.product(range(1, size), repeat=2):
        between = size - a - z
        if 0 <= between <= mixed:
            chosen = math.comb(size, a) * math.comb(size - a, z)
            ways += chosen * _ways_between(between, occurring - a * runs, runs)
    return ways / math.comb(size * runs, occurring)


@cache
def _ways_between(variants: int, occurring: int, runs: int) -> int:
    """In how many ways occurrences fall to variants so that each has some and none has all."""
    if variants == 0:
        return int(occurring == 0)
    rest = ((k, occurring - k) for k in range(1, min(runs - 1, occurring) + 1))
    return sum(math.comb(runs, k) * _ways_between(variants - 1, left, runs) for k, left in rest)


def chance_of_classes(occurring: int, variants: int, runs: int) -> float:
    """How probable it is that occurrences fall to all runs of some variants and to none of the others."""
    return math.comb(variants, occurring) / math.comb(variants * runs, occurring * runs)


# ----------------------------------------------------------------------------------------------------------------------
# Many pairs at once


def holm(p_values: Array) -> Array:
    """Holm's step-down adjustment, `[P] -> [P]`: a pair is shown at error α where its adjusted p-value is below α.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6(2), 1979: the j-th
    smallest of P is multiplied by P - j + 1, never falls below the ones before it, and is at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def simultaneous_intervals(
    mean: Array, std: Array, count: int, shown: NDArray[np.bool_], alpha: float
) -> tuple[Array, Array]:
    """Intervals `[P]` that all hold at once with probability 1 - α, and that exclude zero just where Holm does.

    Each has Bonferroni's width, error α / P. Holm is a little sharper: where it shows a difference that this width does
    not, the interval ends at zero. The direction is known then, and the size only from above. (Guilbaud, Biometrical J.
    50(5), 2008: the intervals of a step-down test bound what it rejects by zero.)
    """
    level = np.full_like(mean, alpha / max(1, len(mean)))
    return corrected_intervals(mean, std / math.sqrt(count), np.full_like(mean, count - 1), level, shown)


def corrected_intervals(
    mean: Array, error: Array, freedom: Array, level: Array, shown: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """As `simultaneous_intervals`, where each pair has its own error, degrees of freedom and level, `[P]` each."""
    from scipy.special import stdtrit

    half = np.where(error == 0, 0.0, stdtrit(freedom, 1 - level / 2) * error)
    low, high = mean - half, mean + half
    return np.where(shown & (mean > 0), np.maximum(low, 0), low), np.where(
        shown & (mean < 0), np.minimum(high, 0), high
    )


def seeds_needed(std: Array, difference: float, level: float) -> Array:
    """Seeds with which a paired t-test of error `level` sees a true `difference` four times out of five: `[P] -> [P]`.

    The power is exact (noncentral t; Cohen 1988) for the given standard deviations of the paired differences, which
    are estimates themselves. At least 2; infinity above `MOST_SEEDS`.
    """
    order = np.argsort(std, kind="stable")
    rows = np.arange(len(std))
    # The answer grows with the spread. So it is sought in full for some rows, and between their answers for the others.
    corners = np.unique(np.linspace(0, len(std) - 1, min(len(std), _CORNERS)).round().astype(int))
    with np.errstate(divide="ignore"):
        effect = difference / std[order]
    ends = np.full(len(corners), 1.0), np.full(len(corners), MOST_SEEDS + 1.0)
    found = _first_enough(effect[corners], level, *ends)
    above = np.searchsorted(corners, rows)
    sought = _first_enough(effect, level, found[np.maximum(above - 1, 0)] - 1, found[above])
    needed = np.empty(len(std))
    needed[order] = np.where(sought > MOST_SEEDS, np.inf, sought)
    return needed


def _first_enough(effect: Array, level: float, low: Array, high: Array) -> Array:
    """The smallest number of seeds with enough power, which `low` has not and `high` has: `[P] -> [P]`."""
    low, high = low.copy(), high.copy()
    while len(open_rows := np.flatnonzero(high - low > 1)):
        middle = np.floor((low[open_rows] + high[open_rows]) / 2)
        enough = _power(middle, effect[open_rows], level) >= POWER
        high[open_rows[enough]], low[open_rows[~enough]] = middle[enough], middle[~enough]
    return high


def _power(count: Array, effect: Array, level: float) -> Array:
    """Probability that a paired t-test rejects, for true differences of `effect` standard deviations.

    Given the estimated variance, which is a chi-square's, the test is one of a normal mean; what remains is an integral
    over the chi-square's quantiles. (SciPy 1.17's `nctdtr`, which should be the same, is wrong by 0.06 here and there.)
    """
    from scipy.special import gammaincinv, ndtr, stdtrit

    nodes, weights = _quadrature()
    counts, which = np.unique(count, return_inverse=True)
    freedom = counts[:, None] - 1
    std = np.sqrt(2 * gammaincinv(freedom / 2, (nodes + 1) / 2) / freedom)  # estimated over true
    critical = (stdtrit(freedom, 1 - level / 2) * std)[which]
    shift = (effect * np.sqrt(count))[:, None]
    power: Array = (ndtr(shift - critical) + ndtr(-shift - critical)) @ (weights / 2)
    return power


@cache
def _quadrature() -> tuple[Array, Array]:
    """Nodes and weights of Gauss and Legendre on -1…1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


# ----------------------------------------------------------------------------------------------------------------------
# Bootstrap over the seeds


@dataclass(frozen=True)
class Resamples:
    """Resamples of n seeds: `weights [R, n]` say how often each seed was drawn, over n; `probability [R]` sums to 1.

    Where there are few seeds these are all the resamples that exist, with their probabilities, so that nothing depends
    on chance; otherwise a random sample.
    """

    weights: Array
    probability: Array
    exact: bool


def resamples_of(count: int, resamples: int, seed: int) -> Resamples:
    """All C(2n-1, n) resamples of `count` seeds where they are at most 500, else `resamples` random ones."""
    if math.comb(2 * count - 1, count) <= MOST_ENUMERATED:
        drawn = np.array([np.bincount(chosen, minlength=count) for chosen in _multisets(count)])
        ways = math.factorial(count) / np.prod(_factorials(count)[drawn], axis=1)
        return Resamples(drawn / count, ways / float(count) ** count, exact=True)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=resamples)
    return Resamples(drawn / count, np.full(resamples, 1 / resamples), exact=False)


def _multisets(count: int) -> Iterator[tuple[int, ...]]:
    return combinations_with_replacement(range(count), count)


def _factorials(count: int) -> Array:
    return np.array([math.factorial(k) for k in range(count + 1)], dtype=np.float64)


def bootstrap_interval(values: Array, resamples: Resamples, confidence: float) -> tuple[Array, Array]:
    """Expanded percentile interval of each row's mean, `[P, n] -> [P]` twice.

    The percentile interval is too narrow for few values, by the factor sqrt((n-1)/n) and for taking the normal's
    quantiles for Student's. T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician
    69(4), 2015, section 3.3: take percentiles further out, at Φ(-sqrt(n/(n-1)) t). For three values these are
    the smallest and the largest, and no interval inside the values covers more than 3 times out of 4.
    """
    from scipy.special import ndtr

    count = values.shape[1]
    if count < 2:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    tail = float(ndtr(-math.sqrt(count / (count - 1)) * t_factor(count, 1 - confidence)))
    quantiles = _weighted_quantiles if resamples.exact else _quantiles
    rows = max(1, _CHUNK_VALUES // len(resamples.weights))
    parts = [quantiles(values[i : i + rows], resamples, tail) for i in range(0, len(values), rows)]
    return np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts])


def _quantiles(values: Array, resamples: Resamples, tail: float) -> tuple[Array, Array]:
    """Of equally probable resamples, the mean below which lie `tail` of them, and the one above which as many lie."""
    last = len(resamples.weights) - 1
    low, high = math.floor(tail * last), math.ceil((1 - tail) * last)
    means = np.partition(values @ resamples.weights.T, [low, high], axis=1)
    return means[:, low], means[:, high]


def _weighted_quantiles(values: Array, resamples: Resamples, tail: float) -> tuple[Array, Array]:
    """Smallest mean below or at which lie `tail` of the probability, and the largest with as much above or at it."""
    means = values @ resamples.weights.T
    order = np.argsort(means, axis=1)
    below = np.cumsum(resamples.probability[order], axis=1)
    rows, last, rounding = np.arange(len(values)), means.shape[1] - 1, 1e-12
    low = np.minimum((below < tail - rounding).sum(axis=1), last)
    high = np.minimum((below < 1 - tail - rounding).sum(axis=1), last)
    return means[rows, order[rows, low]], means[rows, order[rows, high]]


def rank_stability(goodness: Array, resamples: Resamples) -> tuple[NDArray[np.intp], float, Array]:
    """Order of the rows `[V, n]` from best to worst; the probability that a resample keeps it; that each row is best.

    All rows are resampled by the same seeds, as the runs are paired.
    """
    order = np.argsort(-spread(goodness)[0], kind="stable")
    best, kept = np.zeros(len(goodness)), 0.0
    rows = max(1, _CHUNK_VALUES // len(goodness))
    for start in range(0, len(resamples.weights), rows):
        part = slice(start, start + rows)
        means = resamples.weights[part] @ goodness[order].T
        in_order = (means[:, :-1] >= means[:, 1:]).all(axis=1)
        kept += float(resamples.probability[part][in_order].sum())
        np.add.at(best, order[means.argmax(axis=1)], resamples.probability[part])
    return order, min(kept, 1.0), best


# ----------------------------------------------------------------------------------------------------------------------
# Orders


def kendall_tau(first: Array, second: Array) -> float:
    """Kendall's tau-b of two figures of the same variants: 1 for the same order, -1 for the reverse; NaN without one.

    M. Kendall, "The treatment of ties in ranking problems", Biometrika 33(3), 1945.
    """
    upper = np.triu_indices(len(first), 1)
    a, b = (np.sign(x[:, None] - x[None, :])[upper] for x in (first, second))
    scale = math.sqrt(float((a != 0).sum()) * float((b != 0).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def pareto_front(goodness: Array, cost: Array) -> list[int]:
    """Rows that no other dominates (as good at less cost, or better at no more), by rising cost."""
    order = sorted(range(len(goodness)), key=lambda row: (cost[row], -goodness[row]))
    front: list[int] = []
    for row in order:
        if (
            not front
            or goodness[row] > goodness[front[-1]]
            or (goodness[row], cost[row]) == (goodness[front[-1]], cost[front[-1]])
        ):
            front.append(row)
    return front
