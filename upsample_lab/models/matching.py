"""Equal budgets: the decoder widths whose cost comes closest to a given one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

Widths = tuple[int, ...]

TOLERANCE = 0.02
"""Largest relative distance from the budget that still counts as matched."""
LARGEST_FACTOR = 32  # times the given widths
REACH = 4  # channels by which a width may leave the given proportions, so that the budget is met more closely


@dataclass(frozen=True)
class Match:
    """Decoder widths, what they cost, and what they should."""

    widths: list[int]
    achieved: int
    budget: int

    @property
    def deviation(self) -> float:
        """Relative distance from the budget, positive where more is spent."""
        return self.achieved / self.budget - 1

    @property
    def met(self) -> bool:
        return abs(self.deviation) <= TOLERANCE


def closest_widths(
    widths: Sequence[int],
    budget: int,
    cost: Callable[[Sequence[int]], int],
    allowed: Callable[[Sequence[int]], bool] = lambda widths: True,
    fixed: Collection[int] = (),
) -> Match | None:
    """Widths in about the given proportions whose cost is closest to the budget; None where no widths are allowed.

    1. Of the allowed widths in the given proportions, the widest that stay within the budget, by bisection: the cost
       grows with each width.
    2. From there one width at a time is moved by at most `REACH` channels to wherever the budget is met best, until
       no such move helps.

    `fixed` are the places whose widths may not change. Takes some hundred calls of `cost`.
    """
    evaluate = cache(lambda candidate: cost(list(candidate)))

    def distance(candidate: Widths) -> int:
        return abs(evaluate(candidate) - budget)

    factors = (Fraction(k, max(widths)) for k in range(1, LARGEST_FACTOR * max(widths) + 1))
    proportional = list(dict.fromkeys(own for f in factors if allowed(own := _scaled(widths, f, fixed))))
    if not proportional:
        return None
    within = bisect_right(proportional, budget, key=evaluate)
    best = min(proportional[max(0, within - 1) : within + 1], key=distance)
    start = best
    while True:
        moves = [move for move in _moves(best, start, fixed) if allowed(move)]
        better = min([best, *moves], key=distance)
        if distance(better) == distance(best):
            break
        best = better
    return Match(list(best), evaluate(best), budget)


def _scaled(widths: Sequence[int], factor: Fraction, fixed: Collection[int]) -> Widths:
    return tuple(width if place in fixed else max(1, round(width * factor)) for place, width in enumerate(widths))


def _moves(widths: Widths, start: Widths, fixed: Collection[int]) -> Iterator[Widths]:
    """The widths with one of them changed, to at most `REACH` away from where it started."""
    for place, width in enumerate(start):
        if place not in fixed:
            for moved in range(max(1, width - REACH), width + REACH + 1):
                yield (*widths[:place], moved, *widths[place + 1 :])
