"""How far the intervals and verdicts can be trusted: their coverage and false alarms, by simulation.

`python scripts/statistics_selftest.py` prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from upsample_lab.compare.statistics import (
    Array,
    Resamples,
    bootstrap_interval,
    holm,
    mean_interval,
    resamples_of,
    simultaneous_intervals,
    spread,
    t_test,
)

CONFIDENCE = 0.95
SEED_COUNTS = (3, 5, 10)
RESAMPLES = 1999  # of 10 seeds; fewer seeds are enumerated

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
Interval = Callable[[Array, Resamples], tuple[Array, Array]]


def _lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Centred, of skewness 6.2: as an artifact figure that is small in most runs and large in some."""
    return random.lognormal(0, 1, shape) - math.exp(0.5)


NOISES: dict[str, Draw] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "heavy tails (t, 3 degrees of freedom)": lambda random, shape: random.standard_t(3, shape),
    "skewed (exponential)": lambda random, shape: random.exponential(1, shape) - 1,
    "very skewed (log-normal)": _lognormal,
}
"""Noise of one run, with mean zero."""


# ----------------------------------------------------------------------------------------------------------------------
# The candidates


def student(values: Array, _: Resamples) -> tuple[Array, Array]:
    return mean_interval(values, CONFIDENCE)


def percentile(values: Array, resamples: Resamples) -> tuple[Array, Array]:
    """The plain percentile interval of Efron's."""
    means = values @ resamples.weights.T
    return _quantile(means, resamples, (1 - CONFIDENCE) / 2), _quantile(means, resamples, (1 + CONFIDENCE) / 2)


def expanded(values: Array, resamples: Resamples) -> tuple[Array, Array]:
    return bootstrap_interval(values, resamples, CONFIDENCE)


def bca(values: Array, resamples: Resamples) -> tuple[Array, Array]:
    """Bias-corrected and accelerated: B. Efron, J. American Statistical Association 82(397), 1987; what SciPy does."""
    from scipy.special import ndtr, ndtri

    means, centre = values @ resamples.weights.T, values.mean(axis=1, keepdims=True)
    below = ((means < centre) + (means == centre) / 2) @ resamples.probability
    bias = ndtri(np.clip(below, 1e-9, 1 - 1e-9))
    influence = centre - values  # of leaving one value out, up to a factor that cancels
    scale = np.maximum(np.square(influence).sum(axis=1) ** 1.5, 1e-300)
    acceleration = -(influence**3).sum(axis=1) / (6 * scale)
    ends = []
    for z in (ndtri((1 - CONFIDENCE) / 2), ndtri((1 + CONFIDENCE) / 2)):
        ends.append(_quantile(means, resamples, ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))))
    return ends[0], ends[1]


def studentized(values: Array, resamples: Resamples) -> tuple[Array, Array]:
    """Bootstrap-t: quantiles of (resampled mean - mean) / resampled error, times the error; B. Efron, 1982."""
    mean, std = spread(values)
    count = values.shape[1]
    means = values @ resamples.weights.T
    squares = np.square(values) @ resamples.weights.T - np.square(means)
    error = np.sqrt(np.maximum(squares, 0) / (count - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (means - mean[:, None]) / error
    t = np.where(np.isnan(t), 0.0, t)  # all seeds drawn alike: an error of zero, and infinity for t
    half = std / math.sqrt(count)
    low, high = _quantile(t, resamples, (1 - CONFIDENCE) / 2), _quantile(t, resamples, (1 + CONFIDENCE) / 2)
    return mean - high * half, mean - low * half


def _quantile(values: Array, resamples: Resamples, share: float | Array) -> Array:
    """Of each row's values, the smallest with at least this share of the probability at or below it."""
    order = np.argsort(values, axis=1)
    below = np.cumsum(resamples.probability[order], axis=1)
    wanted = np.broadcast_to(np.asarray(share, dtype=np.float64), (len(values),))[:, None]
    found = np.minimum((below < wanted - 1e-12).sum(axis=1), values.shape[1] - 1)
    rows = np.arange(len(values))
    picked: Array = values[rows, order[rows, found]]
    return picked


CANDIDATES: dict[str, Interval] = {
    "Student's t": student,
    "percentile": percentile,
    "BCa": bca,
    "bootstrap-t": studentized,
    "expanded percentile": expanded,
}


# ----------------------------------------------------------------------------------------------------------------------
# Measurements


def coverage(interval: Interval, draw: Draw, count: int, cases: int, seed: int = 0) -> tuple[float, float]:
    """Share of simulated samples of `count` values whose interval holds the true mean, and the median width."""
    random = np.random.default_rng(seed)
    resamples = resamples_of(count, RESAMPLES, seed)
    inside, widths = 0, []
    for size in _parts(cases, max(1, 2**21 // len(resamples.weights))):
        low, high = interval(draw(random, (size, count)), resamples)
        inside += int(((low <= 0) & (high >= 0)).sum())
        widths.append(high - low)
    return inside / cases, float(np.median(np.concatenate(widths)))


def false_alarms(draw: Draw, variants: int, count: int, cases: int, seed: int = 0) -> float:
    """Share of experiments in which any difference is shown between variants that are all the same (A/A).

    Each variant's `count` runs are drawn alike; all pairs are tested and corrected as in a real comparison.
    """
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(variants, 1)
    alarms = 0
    for _ in range(cases):
        runs = draw(random, (variants, count))
        mean, std = spread(runs[first] - runs[second])
        alarms += bool((holm(t_test(mean, std, count)) < 1 - CONFIDENCE).any())
    return alarms / cases


def simultaneous_coverage(true_means: Array, draw: Draw, count: int, cases: int, seed: int = 0) -> float:
    """Share of experiments in which the corrected intervals of all pairs hold their true differences at once."""
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(len(true_means), 1)
    truth = true_means[first] - true_means[second]
    whole = 0
    for _ in range(cases):
        runs = true_means[:, None] + draw(random, (len(true_means), count))
        mean, std = spread(runs[first] - runs[second])
        shown = holm(t_test(mean, std, count)) < 1 - CONFIDENCE
        low, high = simultaneous_intervals(mean, std, count, shown, 1 - CONFIDENCE)
        whole += bool(((low <= truth) & (truth <= high)).all())
    return whole / cases


def _parts(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)


# ----------------------------------------------------------------------------------------------------------------------
# Tables


def coverage_table(cases: int) -> str:
    """Coverage of a nominal 95 % interval of the paired difference; its width over Student's in brackets."""
    lines = ["| noise of a difference | seeds | " + " | ".join(CANDIDATES) + " |", "|---" * (2 + len(CANDIDATES)) + "|"]
    for noise, draw in NOISES.items():
        for count in SEED_COUNTS:
            found = [coverage(interval, draw, count, cases) for interval in CANDIDATES.values()]
            width = found[0][1]
            cells = [f"{100 * share:.1f} % ({wide / width:.2f})" for share, wide in found]
            lines.append(f"| {noise} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def alarm_table(cases: int) -> str:
    """False alarms of A/A experiments, and simultaneous coverage where half of the variants differ."""
    lines = ["| noise of a run | variants | seeds | false alarms | all intervals hold |", "|---|---|---|---|---|"]
    for noise, draw in NOISES.items():
        for variants in (2, 9):
            for count in SEED_COUNTS:
                alarms = false_alarms(draw, variants, count, cases)
                means = np.where(np.arange(variants) % 2, 3.0, 0.0)
                whole = simultaneous_coverage(means, draw, count, cases)
                lines.append(f"| {noise} | {variants} | {count} | {100 * alarms:.1f} % | {100 * whole:.1f} % |")
    return "\n".join(lines)
