"""How far the intervals and verdicts can be trusted: their coverage and false alarms, by simulation.

`python scripts/statistics_selftest.py` prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from upsample_lab.compare.questions import Facts, answers
from upsample_lab.compare.statistics import (
    Array,
    Resamples,
    bootstrap_interval,
    holm,
    mean_interval,
    resamples_of,
    spread,
    t_test,
)

CONFIDENCE = 0.95
SEED_COUNTS = (3, 5, 10)
RESAMPLES = 1999  # of 10 seeds; fewer seeds are enumerated

DrawRuns = Callable[[np.random.Generator, tuple[int, ...]], Array]
Interval = Callable[[Array, Resamples], tuple[Array, Array]]


def _lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Centred, of skewness 6.2: as an artifact figure that is small in most runs and large in some."""
    return random.lognormal(0, 1, shape) - math.exp(0.5)


NOISES: dict[str, DrawRuns] = {
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


def coverage(interval: Interval, draw: DrawRuns, count: int, cases: int, seed: int = 0) -> tuple[float, float]:
    """Share of simulated samples of `count` values whose interval holds the true mean, and the median width."""
    random = np.random.default_rng(seed)
    resamples = resamples_of(count, RESAMPLES, seed)
    inside, widths = 0, []
    for size in _parts(cases, max(1, 2**21 // len(resamples.weights))):
        low, high = interval(draw(random, (size, count)), resamples)
        inside += int(((low <= 0) & (high >= 0)).sum())
        widths.append(high - low)
    return inside / cases, float(np.median(np.concatenate(widths)))


def false_alarms(
    draw: DrawRuns, variants: int, count: int, cases: int, seed: int = 0, facts: Facts | None = None,
    spreads: Array | None = None,
) -> float:  # fmt: skip
    """Share of experiments in which any difference is shown between variants that are all the same (A/A).

    Each variant's `count` runs are drawn alike; both questions are asked and corrected as in a real comparison. With
    `spreads [V]` the variants have one mean and unequal noise.
    """
    random, alarms = np.random.default_rng(seed), 0
    for _ in range(cases):
        runs = draw(random, (variants, count)) * (1.0 if spreads is None else spreads[:, None])
        alarms += bool(answers(runs, facts or Facts(), 0, 1 - CONFIDENCE).shown.any())
    return alarms / cases


def powers(draw: DrawRuns, variants: int, count: int, cases: int, seed: int = 0) -> tuple[float, float]:
    """Share of true differences from the reference that are shown, by both questions and by Holm over all pairs.

    The reference, and with it the best, is better than every other by three standard deviations of a run. Holm over
    all pairs, each with its own error, is how comparisons were judged before.
    """
    random, new, old = np.random.default_rng(seed), 0.0, 0.0
    first, second = np.triu_indices(variants, 1)
    spread_of_noise = float(draw(np.random.default_rng(1), (100_000,)).std())
    for _ in range(cases):
        runs = draw(random, (variants, count)) / spread_of_noise
        runs[0] += 3
        judged = answers(runs, Facts(), 0, 1 - CONFIDENCE)
        new += float(judged.shown[(judged.first == 0) | (judged.second == 0)].mean())
        mean, std = spread(runs[first] - runs[second])
        old += float((holm(t_test(mean, std, count)) < 1 - CONFIDENCE)[first == 0].mean())
    return new / cases, old / cases


def simultaneous_coverage(true_means: Array, draw: DrawRuns, count: int, cases: int, seed: int = 0) -> float:
    """Share of experiments in which the corrected intervals of all pairs hold their true differences at once."""
    random, whole = np.random.default_rng(seed), 0
    for _ in range(cases):
        runs = true_means[:, None] + draw(random, (len(true_means), count))
        judged = answers(runs, Facts(), 0, 1 - CONFIDENCE)
        truth = true_means[judged.first] - true_means[judged.second]
        whole += bool(((judged.low <= truth) & (truth <= judged.high)).all())
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


CASES = 1000  # of a row of the page's tables of alarms and power, some of which a test repeats
ZERO = Facts(False, 0.01, True)


def _half_zero(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Figures of an artifact that is exactly absent from every other run, and skewed where it is not."""
    return np.where(random.random(shape) < 0.5, 0.0, random.lognormal(0, 1, shape))


ALARMS: dict[str, tuple[DrawRuns, Facts | None]] = {
    **{name: (draw, None) for name, draw in NOISES.items()},
    "positive, on a log scale (log-normal)": (lambda random, shape: random.lognormal(0, 1, shape), ZERO),
    "half of all runs exactly zero": (_half_zero, ZERO),
    "all exactly zero": (lambda random, shape: np.zeros(shape), ZERO),
}


def alarm_rows(cases: int) -> dict[tuple[str, int, int], Callable[[], str]]:
    """The rows of `alarm_table`, each to be measured alone."""

    def row(noise: str, variants: int, count: int) -> str:
        draw, facts = ALARMS[noise]
        alarms = false_alarms(draw, variants, count, cases, facts=facts)
        whole = "–"
        if facts is None:
            means = np.where(np.arange(variants) % 2, 3.0, 0.0)
            whole = f"{100 * simultaneous_coverage(means, draw, count, cases):.1f} %"
        return f"| {noise} | {variants} | {count} | {100 * alarms:.1f} % | {whole} |"

    cells = [(noise, variants, count) for noise in ALARMS for variants in (2, 9) for count in SEED_COUNTS]
    return {cell: partial(row, *cell) for cell in cells}


def alarm_table(cases: int) -> str:
    """False alarms of A/A experiments, and simultaneous coverage where half of the variants differ."""
    lines = ["| noise of a run | variants | seeds | false alarms | all intervals hold |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(measure() for measure in alarm_rows(cases).values())])


def unequal_table(cases: int) -> str:
    """False alarms where the means are equal and one of nine variants has three times the noise."""
    lines = ["| noise of a run | seeds | the reference is noisy | another is |", "|---|---|---|---|"]
    for noise in ("normal", "skewed (exponential)"):
        for count in SEED_COUNTS:
            spreads = [np.where(np.arange(9) == place, 3.0, 1.0) for place in (0, 8)]
            found = [false_alarms(NOISES[noise], 9, count, cases, spreads=one) for one in spreads]
            lines.append(f"| {noise} | {count} | {' | '.join(f'{100 * share:.1f} %' for share in found)} |")
    return "\n".join(lines)


def power_table(cases: int) -> str:
    """Share of differences of three standard deviations of a run that are shown; before in the last column."""
    lines = ["| noise of a run | variants | seeds | shown | shown before |", "|---|---|---|---|---|"]
    for noise, draw in NOISES.items():
        for variants in (3, 9):
            for count in SEED_COUNTS:
                new, old = powers(draw, variants, count, cases)
                lines.append(f"| {noise} | {variants} | {count} | {100 * new:.0f} % | {100 * old:.0f} % |")
    return "\n".join(lines)
