"""Verdicts in words: a difference is told only where it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from upsample_lab.catalogue import Metric, is_none, ratio, shown
from upsample_lab.compare.result import Difference, Estimate, Ranking, VariantCost
from upsample_lab.compare.statistics import chance_of_classes

RATIO_OF_INTEREST = 2.0  # of figures that are compared by their ratio: twice as much

MOST_LISTED = 6  # names in a sentence; of more, the first

Numbers = Sequence[float] | NDArray[np.float64]


def difference_verdict(metric: Metric, pair: Difference, first: Numbers, second: Numbers) -> str:
    """One sentence on a pair, which has everything but that sentence; the values are those of its two variants."""
    if pair.kind == "neither":
        floor = shown(metric, metric.none_below or 0.0)
        return f"Neither {pair.first} nor {pair.second} has a {metric.title}: every run is below {floor}."
    if pair.kind == "split":
        return _split(metric, pair, first, second)
    seeds, names = len(pair.seeds), f"{pair.first} and {pair.second}"
    if seeds > 1 and np.array_equal(first, second):
        return f"{names} have the same {metric.title} with every seed."
    if not pair.shown:
        nothing = f"No difference in {metric.title} between {names} shown with {_seeds(seeds)}"
        if seeds > 2 and (max(first) < min(second) or max(second) < min(first)):
            better, worse = _turned(pair)
            if (min(first) > max(second)) == metric.higher_is_better:
                better, worse = worse, better
            nothing += f", though every run of {better} is better than any of {worse}"
        return f"{nothing}; {more_needed(metric, pair.more_seeds, seeds, pair.is_ratio)}."
    return _ratio(metric, pair, first, second) if pair.is_ratio else _difference(metric, pair)


def _difference(metric: Metric, pair: Difference) -> str:
    better, worse = (pair.first, pair.second) if (pair.mean > 0) == metric.higher_is_better else _turned(pair)
    near, far = sorted((abs(pair.low), abs(pair.high)))
    word = "weaker" if metric.kind == "artifact" else "better"
    of_interest = "" if abs(pair.mean) >= metric.smallest_of_interest else ", less than is of interest"
    return (
        f"{better} has the {word} {metric.title} than {worse}, by {shown(metric, abs(pair.mean))} "
        f"({shown(metric, near) if near else 'above 0'} to {shown(metric, far)}){of_interest}."
    )


def _ratio(metric: Metric, pair: Difference, first: Numbers, second: Numbers) -> str:
    """Of the larger over the smaller, whatever stands first."""
    larger, smaller = (pair.first, pair.second) if pair.mean > 1 else _turned(pair)
    ends = [end if pair.mean > 1 else 1 / end if end else math.inf for end in (pair.mean, pair.low, pair.high)]
    low, high = sorted(ends[1:])
    of = {pair.first: geometric_mean(metric, first), pair.second: geometric_mean(metric, second)}
    small = abs(of[larger] - of[smaller]) < metric.smallest_of_interest
    return (
        f"{larger} has {ratio(ends[0])} times the {metric.title} of {smaller} ({ratio(low) if low > 1 else 'above 1'} "
        f"to {ratio(high)} times; {shown(metric, of[larger])} against {shown(metric, of[smaller])})"
        f"{', a difference less than is of interest' if small else ''}."
    )


def _split(metric: Metric, pair: Difference, first: Numbers, second: Numbers) -> str:
    floor = metric.none_below or 0.0
    (one, some), (other, none) = sorted(((pair.first, first), (pair.second, second)), key=lambda v: -max(v[1]))
    seeds, with_it = len(pair.seeds), [value for value in some if value >= floor]
    where = f"with all {_seeds(seeds)}" if len(with_it) == seeds else f"with {len(with_it)} of {_seeds(seeds)}"
    where = "with its 1 seed" if seeds == 1 else where
    text = (
        f"{one} has a {metric.title} {where} ({shown(metric, min(with_it))} or more), {other} with none "
        f"({f'{shown(metric, max(none))} or less' if max(none) else 'exactly 0'})"
    )
    if pair.p_value >= 1:
        return f"{text}; {'one seed' if seeds == 1 else 'that'} says nothing of chance."
    settled = "" if pair.shown else ", too often to be sure"
    return f"{text}; by chance {chance(pair.p_value)}{settled}."


def chance(probability: float) -> str:
    """`once in 126`."""
    return f"once in {round(1 / probability):,}" if probability > 1e-9 else "less than once in 1,000,000,000"


def geometric_mean(metric: Metric, values: Numbers) -> float:
    """What is none counts as just that."""
    return float(np.exp(np.log(np.maximum(values, metric.none_below or np.finfo(np.float64).tiny)).mean()))


def _turned(pair: Difference) -> tuple[str, str]:
    return pair.second, pair.first


def more_needed(metric: Metric, more: int | None, seeds: int, is_ratio: bool) -> str:
    """How many more seeds would be needed to see the smallest difference of interest."""
    smallest = "one having twice as much" if is_ratio else shown(metric, metric.smallest_of_interest)
    if seeds < 2:
        return "at least one more is needed to tell anything"
    if more is None:
        return f"no number of seeds that could be run would be enough to see {smallest}"
    if more == 0:
        return f"{smallest} would have been seen, four times out of five"
    return f"{more} more would be needed to see {smallest}"


def overall_verdict(
    metrics: Sequence[Metric],
    estimates: Mapping[str, Mapping[str, Estimate]],
    differences: Mapping[str, Sequence[Difference]],
    rankings: Mapping[str, Ranking],
    agreement: Mapping[tuple[str, str], float],
    artifact: Metric | None,
    pareto: Mapping[str, Sequence[str]],
    costs: Mapping[str, VariantCost],
) -> tuple[str, ...]:
    """Three sentences: quality, artifact against quality, cost against quality."""
    primary = metrics[0]
    ranking, estimate = rankings[primary.key], estimates[primary.key]
    ties = tied_with_best(ranking, differences[primary.key])
    sentences = [_quality(primary, ranking, estimate, differences[primary.key], ties)]
    if artifact is not None and artifact.key != primary.key and len(rankings[artifact.key].order) > 1:
        tau = agreement.get((primary.key, artifact.key), agreement.get((artifact.key, primary.key), math.nan))
        ties_of = tied_with_best(rankings[artifact.key], differences[artifact.key])
        sentences.append(
            _artifact(artifact, ranking.order[0], estimates[artifact.key], rankings[artifact.key], ties_of, tau)
        )
    else:
        sentences.append("Artifacts were not compared: fewer than two variants have a figure for them.")
    sentences.append(_cost(primary, ranking.order[0], ties, estimate, pareto, costs))
    return tuple(sentences)


def tied_with_best(ranking: Ranking, differences: Sequence[Difference]) -> list[str]:
    """The variants of which no difference from the best is shown, in order."""
    best = ranking.order[0]
    same = {
        d.second if d.first == best else d.first
        for d in differences
        if best in (d.first, d.second) and not d.told_apart
    }
    return [name for name in ranking.order if name in same]


def _quality(
    metric: Metric,
    ranking: Ranking,
    estimates: Mapping[str, Estimate],
    differences: Sequence[Difference],
    ties: list[str],
) -> str:
    best, seeds = ranking.order[0], len(next(iter(estimates.values())).values)
    word = "best" if metric.kind == "quality" else "least"
    lead = f"{best} has the {word} {metric.title} of {len(ranking.order)} variants, "
    lead += "none" if is_none(metric, estimates[best].mean) else shown(metric, estimates[best].mean)
    with_best = {d.second if d.first == best else d.first: d for d in differences if best in (d.first, d.second)}
    if not ties:
        pair = with_best[ranking.order[1]]
        if pair.kind == "tested" and not pair.is_ratio:
            near, far = sorted((abs(pair.low), abs(pair.high)))
            return (
                f"{lead} with {_seeds(seeds)}, by {shown(metric, abs(pair.mean))} ("
                f"{shown(metric, near) if near else 'above 0'} to {shown(metric, far)}) before {ranking.order[1]}, "
                f"and better than every other."
            )
        return f"{lead} with {_seeds(seeds)}, and less than every other: {pair.verdict}"
    alike = [name for name in ties if _is_same(estimates[name], estimates[best]) or with_best[name].kind == "neither"]
    others = [name for name in ties if name not in alike]
    if not others:
        same = "also none" if with_best[ties[0]].kind == "neither" else "the same"
        return f"{lead}; {_listed(ties)} {'has' if len(ties) == 1 else 'have'} {same}, with {_seeds(seeds)}."
    if alike:
        lead += f", as {'has' if len(alike) == 1 else 'have'} {_listed(alike)}"
    tested = [name for name in others if with_best[name].kind == "tested"]
    if not tested:  # none in some of their runs
        return f"{lead}; {_listed(others)} {'is' if len(others) == 1 else 'are'} so in some runs alone."
    more = [with_best[name].more_seeds for name in tested]
    largest = None if any(count is None for count in more) else max(count for count in more if count is not None)
    return (
        f"{lead}, but no difference from {_listed(others)} is shown with {_seeds(seeds)}; "
        f"{more_needed(metric, largest, seeds, with_best[tested[0]].is_ratio)}."
    )


def _is_same(one: Estimate, other: Estimate) -> bool:
    return len(one.values) > 1 and dict(one.values) == dict(other.values)


def _artifact(
    metric: Metric, best: str, estimates: Mapping[str, Estimate], ranking: Ranking, ties: list[str], tau: float
) -> str:
    """Which variants have none of the artifact, or the least of it, and how the best in quality stands to them."""
    without = [name for name in ranking.order if is_none(metric, estimates[name].mean)]
    order = "" if math.isnan(tau) else f"; Kendall's τ of the two orders is {tau:.2f}"
    if without:
        lead = _classes(metric, estimates, ranking, without)
        whose = "is among those without" if best in without else "has no such figure" if best not in estimates else None
        whose = whose or f"has {shown(metric, estimates[best].mean)}"
        if len(without) == len(ranking.order):
            return f"{lead}."
        return f"{lead}. {best}, the best in quality, {whose}{order}."
    least = ranking.order[0]
    lead = f"The least {metric.title}, {shown(metric, estimates[least].mean)}, is {least}'s"
    if ties:
        lead += f", from which no difference is shown to {_listed(ties)}"
    if best == least:
        return f"{lead}: the best in quality too{order}."
    if best not in estimates:
        return f"{lead}; {best} has no such figure."
    return f"{lead}, while {best}, the best in quality, has {shown(metric, estimates[best].mean)}{order}."


def _classes(metric: Metric, estimates: Mapping[str, Estimate], ranking: Ranking, without: Sequence[str]) -> str:
    """Who has it in no run, in all, in some; and how probable so clean a split is by chance."""
    floor = metric.none_below or 0.0
    rest = [name for name in ranking.order if name not in without]
    runs = len(next(iter(estimates.values())).values)
    always = [name for name in rest if min(estimates[name].values.values()) >= floor]
    some = [name for name in rest if name not in always]
    if not rest:
        return f"No variant has a {metric.title}: every run is below {shown(metric, floor)}"
    verb = "has" if len(without) == 1 else "have"
    text = f"{_listed(without)} {verb} no {metric.title} (every run is below {shown(metric, floor)})"
    if always:
        least = min(value for name in always for value in estimates[name].values.values())
        text += f", while {_listed(always)} {'has' if len(always) == 1 else 'have'} one with every seed "
        text += f"({shown(metric, least)} or more)"
    if some:
        text += f"{' and' if always else ', while'} {_listed(some)} {'has' if len(some) == 1 else 'have'} one with some"
    if not some and runs > 1:
        text += f"; by chance runs would fall so {chance(chance_of_classes(len(rest), len(ranking.order), runs))}"
    return text


def _cost(
    metric: Metric, best: str, ties: list[str], estimates: Mapping[str, Estimate], pareto: Mapping[str, Sequence[str]],
    costs: Mapping[str, VariantCost],
) -> str:  # fmt: skip
    kind = "macs" if "macs" in pareto else "parameters"
    unit = "million multiply-accumulates an image" if kind == "macs" else "thousand parameters"
    size = 1e6 if kind == "macs" else 1e3

    def cost(name: str) -> float:
        return float(getattr(costs[name], kind)) / size

    front = pareto[kind]
    cheapest = front[0]
    rivals = min([best, *ties], key=cost)
    text = f"{best} costs {cost(best):,.2f} {unit}"
    if rivals != best:
        text += f"; {rivals}, from which no difference is shown, costs {cost(rivals):,.2f}"
    if cheapest not in (best, rivals):
        loss = shown(metric, abs(estimates[best].mean - estimates[cheapest].mean))
        text += f"; the cheapest that nothing dominates, {cheapest}, costs {cost(cheapest):,.2f} and is {loss} worse"
    elif rivals == best and cheapest == best:
        text += ", and nothing else is cheaper" if len(front) == 1 else ""
    return f"{text}."


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_LISTED:
        return f"{', '.join(names[: MOST_LISTED - 1])} and {len(names) - MOST_LISTED + 1} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
