"""The F-test's p-value, from the regularised incomplete beta function, which torch does not have."""

import math

_MAX_TERMS = 100_000  # the fraction converges in O(sqrt(max(a, b))) terms: some 20,000 for 4e8 samples
_RELATIVE_PRECISION = 1e-15
_TINY = 1e-300


def anova_p_value(variance_ratio: float, between_freedom: int, within_freedom: int) -> float:
    """Chance of a between-group share of the variance at least this large when all groups have the same mean.

    With `F = (r / d1) / ((1 - r) / d2)` the survival function of the F distribution is `I_(1 - r)(d2 / 2, d1 / 2)`
    (Abramowitz & Stegun 26.6.2), so the ratio `r` itself is all that is needed, and `r = 1` needs no special case.

    Args:
        variance_ratio: `r`, between-group sum of squares over the total, in [0, 1].
        between_freedom: `d1`, groups less one.
        within_freedom: `d2`, samples less groups; without any (0 or less) nothing can be concluded and 1 is returned.

    Raises:
        ValueError: a ratio outside [0, 1].
    """
    if not 0.0 <= variance_ratio <= 1.0:
        raise ValueError(f"variance_ratio must be in [0, 1], got {variance_ratio}")
    if between_freedom < 1 or within_freedom < 1:
        return 1.0
    return incomplete_beta(within_freedom / 2, between_freedom / 2, 1 - variance_ratio, complement=variance_ratio)


def incomplete_beta(a: float, b: float, x: float, *, complement: float | None = None) -> float:
    """Regularised incomplete beta function `I_x(a, b)` for a, b > 0 and x in [0, 1].

    Args:
        complement: `1 - x`, where the caller knows it better than the subtraction does.
    """
    y = 1 - x if complement is None else complement
    if x <= 0 or y >= 1:
        return 0.0
    if y <= 0 or x >= 1:
        return 1.0
    # Of x and y the smaller one is exact.
    log_x, log_y = (math.log(x), math.log1p(-x)) if x < y else (math.log1p(-y), math.log(y))
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * log_x + b * log_y
    # The fraction converges fast on this side of the mean only; on the other I_x(a, b) = 1 - I_(1-x)(b, a).
    if x < (a + 1) / (a + b + 2):
        return min(1.0, math.exp(log_front) * _beta_fraction(a, b, x) / a)
    return max(0.0, 1.0 - math.exp(log_front) * _beta_fraction(b, a, y) / b)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of Abramowitz & Stegun 26.5.8, evaluated by Lentz's method."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _RELATIVE_PRECISION:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge for a={a}, b={b}, x={x}")


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
