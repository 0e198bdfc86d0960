"""Verdicts in words: a difference is told only where it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from upsample_lab.compare.catalogue import is_none, shown
from upsample_lab.compare.result import Cost, Difference, Estimate, Metric, Ranking

TINY_SHARE = 1e-3  # of the smallest difference of interest: artifact figures below it are called none


def difference_verdict(
    metric: Metric, first: str, second: str, estimate: tuple[float, float, float], is_shown: bool, more: int | None,
    seeds: int,
) -> str:  # fmt: skip
    """One sentence on `first` minus `second`; `estimate` is mean, low and high of the corrected interval."""
    mean, low, high = estimate
    if is_shown:
        better, worse = (first, second) if (mean > 0) == metric.higher_is_better else (second, first)
        near, far = sorted((abs(low), abs(high)))
        of_interest = "" if abs(mean) >= metric.smallest_of_interest else ", less than is of interest"
        return (
            f"{better} has the better {metric.title} than {worse}, by {shown(metric, abs(mean))} "
            f"({shown(metric, near) if near else 'above 0'} to {shown(metric, far)}){of_interest}."
        )
    nothing = f"No difference in {metric.title} between {first} and {second} shown with {_seeds(seeds)}"
    return f"{nothing}; {more_needed(metric, more, seeds)}."


def more_needed(metric: Metric, more: int | None, seeds: int) -> str:
    """How many more seeds would be needed to see the smallest difference of interest."""
    smallest = shown(metric, metric.smallest_of_interest)
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
    costs: Mapping[str, Cost],
) -> tuple[str, ...]:
    """Three sentences: quality, artifact against quality, cost against quality."""
    primary = metrics[0]
    ranking, estimate = rankings[primary.key], estimates[primary.key]
    ties = tied_with_best(ranking, differences[primary.key])
    sentences = [_quality(primary, ranking, estimate, differences[primary.key], ties)]
    if artifact is not None and artifact.key != primary.key and len(rankings[artifact.key].order) > 1:
        tau = agreement.get((primary.key, artifact.key), agreement.get((artifact.key, primary.key), math.nan))
        sentences.append(_artifact(artifact, ranking.order[0], estimates[artifact.key], rankings[artifact.key], tau))
    else:
        sentences.append("Artifacts were not compared: fewer than two variants have a figure for them.")
    sentences.append(_cost(primary, ranking.order[0], ties, estimate, pareto, costs))
    return tuple(sentences)


def tied_with_best(ranking: Ranking, differences: Sequence[Difference]) -> list[str]:
    """The variants of which no difference from the best is shown, in order."""
    best = ranking.order[0]
    same = {
        d.second if d.first == best else d.first for d in differences if best in (d.first, d.second) and not d.shown
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
    lead = f"{best} has the best {metric.title} of {len(ranking.order)} variants, {shown(metric, estimates[best].mean)}"
    if not ties:
        second = ranking.order[1]
        pair = next(d for d in differences if {d.first, d.second} == {best, second})
        near, far = sorted((abs(pair.low), abs(pair.high)))
        return (
            f"{lead} with {_seeds(seeds)}, by {shown(metric, abs(pair.mean))} ({shown(metric, near)} to "
            f"{shown(metric, far)}) before {second}, and better than every other."
        )
    more = [d.more_seeds for d in differences if best in (d.first, d.second) and not d.shown]
    largest = None if any(count is None for count in more) else max(count for count in more if count is not None)
    return (
        f"{lead}, but no difference from {_listed(ties)} is shown with {_seeds(seeds)}; "
        f"{more_needed(metric, largest, seeds)}."
    )


def _artifact(metric: Metric, best: str, estimates: Mapping[str, Estimate], ranking: Ranking, tau: float) -> str:
    without = [name for name in ranking.order if is_none(metric, estimates[name].mean)]
    floor = metric.smallest_of_interest if metric.none_below is None else metric.none_below
    free = without or [name for name in ranking.order if estimates[name].mean < metric.smallest_of_interest]
    free = free if without or metric.none_below is None else []
    cleanest = _listed(free) if free else ranking.order[0]
    below = f"below {shown(metric, floor)}"
    least = (f"none, {below}" if without else below) if free else shown(metric, estimates[ranking.order[0]].mean)
    lead = f"The least artifact ({metric.title}: {least}) is left by {cleanest}"
    if best not in estimates:
        return f"{lead}; {best} has no such figure."
    if best in free:
        return f"{lead}: the best in quality is among them."
    order = "no order to compare" if math.isnan(tau) else f"Kendall's τ of the two orders is {tau:.2f}"
    return f"{lead}, while {best} leaves {shown(metric, estimates[best].mean)}: {order}."


def _cost(
    metric: Metric, best: str, ties: list[str], estimates: Mapping[str, Estimate], pareto: Mapping[str, Sequence[str]],
    costs: Mapping[str, Cost],
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
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
