"""The arithmetic of comparisons, held against SciPy and slow definitions; and the promise of A/A experiments."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from upsample_lab.compare import statistics as ours
from upsample_lab.compare.coverage import (
    ALARMS,
    CASES,
    NOISES,
    alarm_rows,
    coverage,
    false_alarms,
    powers,
    student,
)
from upsample_lab.compare.questions import Facts, answers

ALPHA = 0.05


def sample(rows: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, (rows, count))


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_the_paired_t_test_is_scipys(count: int) -> None:
    first, second = sample(20, count, 1), sample(20, count, 2)
    mean, std = ours.spread(first - second)
    expected = stats.ttest_rel(first, second, axis=1)
    np.testing.assert_allclose(ours.t_test(mean, std, count), expected.pvalue, rtol=1e-9)
    low, high = ours.mean_interval(first - second, 0.9)
    interval = expected.confidence_interval(0.9)
    np.testing.assert_allclose((low, high), (interval.low, interval.high), rtol=1e-9)


def test_differences_without_spread() -> None:
    equal, constant = np.zeros((1, 5)), np.full((1, 5), 0.1)
    mean, std = ours.spread(np.concatenate([equal, constant]))
    assert std.tolist() == [0, 0]
    assert ours.t_test(mean, std, 5).tolist() == [1, 0]
    low, high = ours.simultaneous_intervals(mean, std, 5, np.array([False, True]), ALPHA)
    assert low.tolist() == high.tolist() == [0, 0.1]


def test_one_seed_tells_nothing() -> None:
    mean, std = ours.spread(sample(3, 1))
    assert np.isnan(std).all()
    assert np.isnan(ours.t_test(mean, std, 1)).all()
    assert np.isnan(ours.mean_interval(sample(3, 1), 0.95)).all()
    assert np.isnan(ours.bootstrap_interval(sample(3, 1), ours.resamples_of(1, 999, 0), 0.95)).all()


def holm_by_definition(p_values: list[float], alpha: float) -> set[int]:
    """The indices that the sequential procedure rejects."""
    rejected: set[int] = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] >= alpha / (len(p_values) - step):
            break
        rejected.add(index)
    return rejected


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_what_its_definition_rejects(seed: int) -> None:
    p_values = np.random.default_rng(seed).beta(0.3, 3, 8)
    adjusted = ours.holm(p_values)
    for alpha in (0.01, 0.05, 0.2):
        assert set(np.flatnonzero(adjusted < alpha)) == holm_by_definition(p_values.tolist(), alpha)


def test_corrected_intervals_say_what_holm_says() -> None:
    clipped = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        differences = random.normal(random.normal(0, 1.5, (6, 1)), 1, (6, 5))
        mean, std = ours.spread(differences)
        shown = ours.holm(ours.t_test(mean, std, 5)) < ALPHA
        low, high = ours.simultaneous_intervals(mean, std, 5, shown, ALPHA)
        assert np.array_equal(shown, (low >= 0) | (high <= 0))
        assert ((low <= mean) & (mean <= high)).all()
        clipped += int(((low == 0) | (high == 0)).sum())
    assert clipped > 0, "Holm is sharper than Bonferroni somewhere, or this test sees nothing"


@pytest.mark.parametrize(("std", "level"), [(0.1, 0.05), (0.3, 0.05), (0.1, 0.05 / 36), (0.02, 0.05), (0.7, 0.01)])
def test_seeds_needed_are_the_first_with_enough_power(std: float, level: float) -> None:
    def power(count: int) -> float:
        critical, shift = stats.t.ppf(1 - level / 2, count - 1), 0.1 / std * math.sqrt(count)
        return float(stats.nct.sf(critical, count - 1, shift) + stats.nct.cdf(-critical, count - 1, shift))

    (needed,) = ours.seeds_needed(np.array([std]), 0.1, level)
    assert power(int(needed)) >= ours.POWER
    assert needed == 2 or power(int(needed) - 1) < ours.POWER


@pytest.mark.parametrize("level", [0.05, 0.01, 0.05 / 36])
def test_the_power_is_that_of_the_noncentral_t(level: float) -> None:
    count, effect = (grid.ravel() for grid in np.meshgrid([2.0, 3, 4, 5, 10, 40, 300], [0.05, 0.3, 1, 2, 4]))
    critical, shift = stats.t.ppf(1 - level / 2, count - 1), effect * np.sqrt(count)
    below = np.nan_to_num(stats.nct.cdf(-critical, count - 1, shift))  # SciPy has no number for what is next to nothing
    expected = stats.nct.sf(critical, count - 1, shift) + below
    np.testing.assert_allclose(ours._power(count, effect, level), expected, atol=2e-4)


def test_seeds_needed_at_the_ends() -> None:
    assert ours.seeds_needed(np.array([0.0, 1e-9, 1e3]), 0.1, 0.05).tolist() == [2, 2, math.inf]


def test_many_pairs_get_what_each_gets_alone() -> None:
    std = np.random.default_rng(0).lognormal(-2, 1.5, 400)
    together = ours.seeds_needed(std, 0.1, 0.01)
    some = range(0, 400, 8)
    assert together[some].tolist() == [float(ours.seeds_needed(std[k : k + 1], 0.1, 0.01)[0]) for k in some]
    assert len(set(together)) > 50


def test_a_simulated_power_is_the_one_promised() -> None:
    """With the seeds needed, four of five experiments show the difference; the bound is five standard errors."""
    (needed,) = ours.seeds_needed(np.array([0.1]), 0.1, ALPHA)
    cases = 4000
    mean, std = ours.spread(np.random.default_rng(0).normal(0.1, 0.1, (cases, int(needed))))
    share = (ours.t_test(mean, std, int(needed)) < ALPHA).mean()
    assert share > 0.8 - 5 * math.sqrt(0.8 * 0.2 / cases)
    assert share < 0.9


# ----------------------------------------------------------------------------------------------------------------------
# Bootstrap


@pytest.mark.parametrize("count", [2, 3, 4])
def test_enumerated_resamples_are_all_that_can_be_drawn(count: int) -> None:
    resamples = ours.resamples_of(count, 999, 0)
    drawn: dict[tuple[int, ...], int] = {}
    for chosen in itertools.product(range(count), repeat=count):
        key = tuple(np.bincount(chosen, minlength=count))
        drawn[key] = drawn.get(key, 0) + 1
    assert resamples.exact
    found = {
        tuple(np.round(weights * count).astype(int)): probability
        for weights, probability in zip(resamples.weights, resamples.probability, strict=True)
    }
    assert found == pytest.approx({key: times / count**count for key, times in drawn.items()})


def test_many_seeds_are_resampled_at_random_and_repeatably() -> None:
    one, again, other = (ours.resamples_of(10, 999, seed) for seed in (0, 0, 1))
    assert not one.exact
    assert np.array_equal(one.weights, again.weights)
    assert not np.array_equal(one.weights, other.weights)
    assert np.allclose(one.weights.sum(axis=1), 1)


@pytest.mark.parametrize("count", [4, 6, 9])
def test_the_bootstrap_interval_is_scipys_percentile_interval_further_out(count: int) -> None:
    values = sample(1, count)
    tail = stats.norm.cdf(-math.sqrt(count / (count - 1)) * stats.t.ppf(0.95, count - 1))
    expected = stats.bootstrap(
        (values[0],), np.mean, confidence_level=1 - 2 * tail, n_resamples=40_000, method="percentile", rng=0
    ).confidence_interval
    found = ours.bootstrap_interval(values, ours.resamples_of(count, 40_000, 0), 0.9)
    assert np.concatenate(found) == pytest.approx((expected.low, expected.high), abs=0.06 * np.ptp(values))


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = sample(50, 5)
    for count in (5, 9):
        resamples = ours.resamples_of(count, 999, 0)
        values = sample(50, count)
        whole = ours.bootstrap_interval(values, resamples, 0.95), ours.rank_stability(values, resamples)
        with monkeypatch.context() as patch:
            patch.setattr(ours, "_CHUNK_VALUES", 3 * len(resamples.weights))
            parts = ours.bootstrap_interval(values, resamples, 0.95), ours.rank_stability(values, resamples)
        np.testing.assert_allclose(parts[0], whole[0])
        np.testing.assert_allclose(parts[1][2], whole[1][2])
        assert parts[1][1] == pytest.approx(whole[1][1])


def test_the_order_is_as_firm_as_the_seeds_make_it() -> None:
    clear = np.array([[1.0, 1.1, 0.9], [3.0, 3.1, 2.9], [2.0, 2.1, 1.9]])
    order, stability, best = ours.rank_stability(clear, ours.resamples_of(3, 999, 0))
    assert order.tolist() == [1, 2, 0]
    assert stability == pytest.approx(1)
    assert best == pytest.approx([0, 1, 0])
    # Of 27 equally likely draws, those with at least two of seeds 0 and 1 keep the first row ahead: 20.
    close = np.array([[1.0, 1.0, 0.0], [0.5, 0.5, 1.0]])
    _, stability, best = ours.rank_stability(close, ours.resamples_of(3, 999, 0))
    assert stability == pytest.approx(20 / 27)
    assert best == pytest.approx([20 / 27, 7 / 27])


# ----------------------------------------------------------------------------------------------------------------------
# Orders


@pytest.mark.parametrize("seed", range(5))
def test_kendalls_tau_is_scipys(seed: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 6, (2, 9)).astype(float)
    assert ours.kendall_tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)
    assert math.isnan(ours.kendall_tau(first, np.ones(9)))


@pytest.mark.parametrize("seed", range(10))
def test_the_pareto_front_is_what_nothing_dominates(seed: int) -> None:
    goodness, cost = np.random.default_rng(seed).integers(0, 8, (2, 12)).astype(float)

    def dominated(row: int) -> bool:
        return any(
            goodness[k] >= goodness[row]
            and cost[k] <= cost[row]
            and (goodness[k], cost[k]) != (goodness[row], cost[row])
            for k in range(12)
        )

    front = ours.pareto_front(goodness, cost)
    assert set(front) == {row for row in range(12) if not dominated(row)}
    assert cost[front].tolist() == sorted(cost[front])


# ----------------------------------------------------------------------------------------------------------------------
# A/A: the same upsampler twice, under other seeds


def most_alarms(cases: int, rate: float = ALPHA) -> float:
    """The share that a procedure with this true rate exceeds once in a million: the binomial's own quantile."""
    return float(stats.binom.isf(1e-6, cases, rate)) / cases


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("count", [3, 5, 10])
def test_the_same_upsampler_twice_is_called_different_in_at_most_one_case_of_twenty(noise: str, count: int) -> None:
    cases = 10_000
    runs = NOISES[noise](np.random.default_rng(count), (2, cases, count))
    mean, std = ours.spread(runs[0] - runs[1])
    assert (ours.t_test(mean, std, count) < ALPHA).mean() <= most_alarms(cases)


# Final PSNR in dB under seeds 0 to 7: python scripts/train.py -m data=glyphs data.train_count=1200 data.test_count=100
# data.validation_count=100 'model.widths=[8,16]' conv=native upsample=deconv,nearest 'seed=range(8)'
REAL_PSNR_DB = {
    "deconv": (9.287, 8.058, 8.262, 8.801, 8.129, 8.060, 7.449, 8.292),
    "nearest": (10.735, 9.065, 9.844, 9.944, 8.349, 8.475, 7.876, 9.180),
}


@pytest.mark.parametrize("upsample", REAL_PSNR_DB)
@pytest.mark.parametrize("count", [3, 5, 10])
def test_runs_drawn_from_real_ones_are_not_called_different(upsample: str, count: int) -> None:
    """Drawn with replacement, so that the two "variants" are independent: dealing eight runs out would couple them."""
    cases = 10_000
    runs = np.random.default_rng(count).choice(REAL_PSNR_DB[upsample], (2, cases, count))
    mean, std = ours.spread(runs[0] - runs[1])
    assert (ours.t_test(mean, std, count) < ALPHA).mean() <= most_alarms(cases)


@pytest.mark.run
@pytest.mark.parametrize("noise", ["normal", "very skewed (log-normal)"])
def test_many_equal_upsamplers_are_called_different_no_more_often(noise: str) -> None:
    cases = 2000
    assert false_alarms(NOISES[noise], variants=9, count=5, cases=cases) <= most_alarms(cases)


def test_the_check_can_fail() -> None:
    """Without the correction nine equal upsamplers are called different far too often."""
    random, cases = np.random.default_rng(0), 500
    first, second = np.triu_indices(9, 1)
    runs = random.standard_normal((cases, 9, 5))
    mean, std = ours.spread(runs[:, first] - runs[:, second])
    assert (ours.t_test(mean, std, 5) < ALPHA).any(axis=1).mean() > 3 * ALPHA


def test_students_interval_covers_what_it_says() -> None:
    cases = 10_000
    share, _ = coverage(student, NOISES["normal"], 5, cases)
    assert abs(share - 0.95) < 5 * math.sqrt(0.95 * 0.05 / cases)


# ----------------------------------------------------------------------------------------------------------------------
# The two-way layout, none, and the page


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_pooled_error_is_that_of_the_two_way_layout(count: int) -> None:
    """Against an analysis of variance by least squares over variant and seed; two rows are the paired t-test."""
    values = sample(4, count) + np.arange(float(count))
    rows, columns = np.indices(values.shape).reshape(2, -1)
    design = np.concatenate([np.eye(4)[rows], np.eye(count)[columns][:, 1:]], axis=1)
    residual = values.ravel() - design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    found, variance = ours._residual(values)
    np.testing.assert_allclose(found.ravel(), residual, atol=1e-12)
    assert variance == pytest.approx(residual @ residual / (3 * (count - 1)))
    mean, error, freedom = ours.paired_errors(values[:2])
    expected = stats.ttest_rel(values[0], values[1])
    assert freedom.tolist() == [count - 1]
    assert ours.t_probability(mean, error, freedom)[0] == pytest.approx(expected.pvalue)


def test_bartletts_test_is_scipys() -> None:
    """Of rows without a seed's mean, as two halves that mirror each other have none."""
    values = sample(3, 6, 4)
    values = np.concatenate([values, -values])
    rows = np.square(values - values.mean(axis=1, keepdims=True)).sum(axis=1)
    assert rows.min() > 0
    assert ours.bartlett(values) == pytest.approx(stats.bartlett(*values).pvalue)


def test_pooling_is_for_variances_that_are_alike() -> None:
    random = np.random.default_rng(0)
    alike, unlike = random.standard_normal((2, 9, 10))
    unlike[0] *= 20
    assert set(ours.paired_errors(alike)[2]) >= {72}
    assert set(ours.paired_errors(unlike)[2]) == {9}
    same = np.stack([alike[0], alike[0], alike[1]])
    assert ours.paired_errors(same)[1][0] == 0, "identical runs have no error to borrow"


@pytest.mark.parametrize("runs", [1, 2, 3, 5])
def test_the_chance_of_a_split_is_fishers(runs: int) -> None:
    for occurs in range(1, runs + 1):
        table = [[occurs, runs - occurs], [0, runs]]
        found = ours.chance_of_split(np.array([occurs]), runs)[0]
        assert found == pytest.approx(stats.fisher_exact(table).pvalue)


def test_the_chance_of_classes_counts_every_way_to_deal_the_runs() -> None:
    """Two of three variants, two runs each: which four of six runs have it."""
    ways = [set(chosen) for chosen in itertools.combinations(range(6), 4)]
    whole = [w for w in ways if all(({2 * v, 2 * v + 1} <= w) or not ({2 * v, 2 * v + 1} & w) for v in range(3))]
    assert ours.chance_of_classes(2, 3, 2) == pytest.approx(len(whole) / len(ways))


@pytest.mark.parametrize("occurs", [(2, 0, 1), (3, 0, 1, 2), (3, 3, 0, 2), (2, 0, 1, 1)])
def test_the_chance_of_a_split_among_others_is_that_of_every_way_to_deal(occurs: tuple[int, ...]) -> None:
    """The worst of all sets that hold a split pair, each by going through all ways to deal out its occurrences."""
    runs = max(occurs)
    worst = 0.0
    for size in range(2, len(occurs) + 1):
        for block in itertools.combinations(occurs, size):
            if runs not in block or 0 not in block:
                continue
            between = sum(0 < k < runs for k in block)
            hits = every = 0
            for chosen in itertools.combinations(range(size * runs), sum(block)):
                counts = np.bincount(np.array(chosen) // runs, minlength=size)
                every += 1
                hits += runs in counts and 0 in counts and ((counts > 0) & (counts < runs)).sum() <= between
            worst = max(worst, hits / every * (1 + (len(occurs) - size) // 2))
    assert ours.chance_among_all(np.array(occurs), runs) == pytest.approx(min(1, worst))


@pytest.mark.parametrize("occurs", [(5, 5, 5, 0, 0), (5, 0)])
def test_clean_splits_are_as_probable_as_one_pair(occurs: tuple[int, ...]) -> None:
    assert ours.chance_among_all(np.array(occurs), 5) == pytest.approx(2 / 252)


def test_a_variant_that_is_none_in_some_runs_is_compared_without_logarithms() -> None:
    """As in the flat areas of photographs: a run with exactly none would be an outlier among logarithms."""
    random = np.random.default_rng(0)
    values = random.lognormal(0.2, 0.15, (3, 5))
    values[2] = (0.26, 0.0, 0.25, 0.26, 0.36)
    judged = answers(values, LEVELS, 0, ALPHA)
    pair = (judged.first == 0) & (judged.second == 2)
    assert judged.shown[pair].all()
    assert judged.mean[pair] == pytest.approx((values[0] - np.maximum(values[2], 0.01)).mean())
    judged = answers(values[:2], LEVELS, 0, ALPHA)
    assert judged.mean == pytest.approx(np.log(values[0] / values[1]).mean())


LEVELS = Facts(higher_is_better=False, none_below=0.01, log_scale=True)


def test_what_is_none_is_told_from_what_is_not_and_takes_no_part_in_tests() -> None:
    """The published case: five layers leave a pattern in every run, four nothing but rounding."""
    random = np.random.default_rng(0)
    values = np.concatenate([random.lognormal(0, 0.5, (5, 5)), 1e-6 * random.random((4, 5))])
    judged = answers(values, LEVELS, 0, ALPHA)
    split = np.array([kind == "split" for kind in judged.kinds])
    assert split.any()
    assert judged.shown[split].all()
    assert judged.p_value[split] == pytest.approx(2 / 252)
    assert np.isnan(judged.mean[~np.array([kind == "tested" for kind in judged.kinds])]).all()
    without = answers(values[:5], LEVELS, 0, ALPHA)
    reference = (judged.first == 0) & (judged.second < 5)
    assert judged.p_value[reference] == pytest.approx(without.p_value[without.first == 0]), "rounding changes no test"


@pytest.mark.parametrize("every_pair", [False, True])
def test_the_questions_have_their_pairs_and_levels(every_pair: bool) -> None:
    values = np.arange(4)[:, None] + sample(4, 5)
    judged = answers(values, Facts(), 1, ALPHA, every_pair=every_pair)
    pairs = set(zip(judged.first.tolist(), judged.second.tolist(), strict=True))
    best = int(values.mean(axis=1).argmax())
    asked = {(a, b) for a, b in itertools.combinations(range(4), 2) if every_pair or {1, best} & {a, b}}
    assert pairs == asked
    wide = {(a, b): level for a, b, level in zip(judged.first, judged.second, judged.level, strict=True)}
    assert wide[0, 1] == pytest.approx(ALPHA / 6 if every_pair else ALPHA / 2 / 3)
    assert wide[0, best] == pytest.approx(ALPHA / 6 if every_pair else ALPHA / 2 / 6)


@pytest.mark.run
@pytest.mark.parametrize("noise", ["half of all runs exactly zero", "positive, on a log scale (log-normal)"])
@pytest.mark.parametrize(("variants", "count"), [(2, 3), (2, 5), (9, 3), (9, 5)])
def test_zeros_raise_no_alarms(noise: str, variants: int, count: int) -> None:
    draw, facts = ALARMS[noise]
    assert false_alarms(draw, variants, count, 600, facts=facts) <= most_alarms(600)


def test_two_questions_and_the_pooled_error_show_more_than_all_pairs() -> None:
    new, old = powers(NOISES["normal"], 9, 5, 150)
    assert new > 0.6
    assert new > 3 * old


@pytest.mark.parametrize(
    "cell", [("normal", 2, 3), ("half of all runs exactly zero", 2, 5), ("all exactly zero", 2, 10)]
)
def test_the_page_has_what_the_command_measures(cell: tuple[str, int, int]) -> None:
    """Rows are repeated with the page's own number of cases, from the same seeds: stale ones differ."""
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert alarm_rows(CASES)[cell]() in page
    for name in ("coverage", "alarms", "unequal", "power"):
        table = page.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]
        assert len(table.splitlines()) > 5, name
    table = page.partition("<!-- alarms: begin -->")[2].partition("<!-- alarms: end -->")[0]
    rows = [line for line in table.splitlines() if line][2:]
    assert len(rows) == len(alarm_rows(CASES))
    assert all(float(line.split("|")[4].strip(" %")) <= 100 * most_alarms(CASES) for line in rows), "5 %, and chance"
