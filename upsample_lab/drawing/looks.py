"""How each variant looks in every figure, and how figures are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib

import upsample_lab.options  # noqa: F401  # registers the options of each upsampler
from upsample_lab.compare.result import Variant
from upsample_lab.drawing.palette import DASHES, MARKERS, Look, look_of, next_look
from upsample_lab.settings import GROUPS, ConfigError, option_values, rule_of

TEXT_PT, SMALL_PT = 9.0, 8.0
WIDE_IN, NARROW_IN = 8.6, 3.7  # of a desktop page, and of a telephone's
PNG_DPI = 160

_WHITE, _GREY, _BLACK = "#ffffff", "#6b6b6b", "#000000"
_LIGHTER = (0.0, 0.28, 0.46)  # shares of white by steps below a number's default: more would not be seen on white
_DARKER = (0.0, 0.22, 0.4, 0.56, 0.7)  # shares of black by steps above it
_GREYER = (0.0, 0.55, 0.8)  # shares of grey by words and switches that are not the default's


def variant_looks(variants: Sequence[Variant]) -> Mapping[str, Look]:
    """By name. An upsampler with its default options looks as in the palette, with others a shade off.

    The colour follows from the upsampler and its options alone, so that it is the same in every report: numbers below
    their default are lighter, those above it darker, and other words and switches greyer. Dash and marker follow from
    the options too; only where all three would be those of another variant, as where losses differ, the later by name
    takes the next marker and dash.
    """
    looks: dict[str, Look] = {}
    for variant in sorted(variants, key=lambda each: each.name):
        look = first = _look(variant)
        while look in looks.values() and (look := next_look(look)) != first:
            pass
        looks[variant.name] = look
    return looks


def _look(variant: Variant) -> Look:
    """What the upsampler's options make of its look."""
    base, (steps, words) = look_of(variant.upsampler), _off_default(variant)
    color = _mixed(base.color, _GREY, _GREYER[min(words, len(_GREYER) - 1)])
    paper, shares = (_WHITE, _LIGHTER) if steps < 0 else (_BLACK, _DARKER)
    color = _mixed(color, paper, shares[min(abs(steps), len(shares) - 1)])
    dash = DASHES[(DASHES.index(base.dash) + steps + words) % len(DASHES)]
    marker = MARKERS[(MARKERS.index(base.marker) + steps + 7 * words) % len(MARKERS)]
    return Look(color, dash, marker)


def _off_default(variant: Variant) -> tuple[int, int]:
    """How far the upsampler's options are from their defaults: steps of its numbers, and how many words differ."""
    config = variant.runs[0].config if variant.runs else {}
    options, schema = config.get("upsample"), GROUPS.get("upsample", {}).get(variant.upsampler)
    if not isinstance(options, Mapping) or schema is None:
        return 0, 0
    steps = words = 0
    for key, default in _defaults(variant.upsampler).items():
        rule, value = rule_of(schema, key), options.get(key, default)
        if value == default or (rule is not None and not rule.identity):
            continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            step = (value - default) / (2 if rule is not None and rule.odd else 1)
            steps += round(step) or (1 if step > 0 else -1)
        else:
            words += 1
    return steps, words


@cache
def _defaults(upsampler: str) -> Mapping[str, Any]:
    try:
        return option_values("upsample", upsampler)
    except ConfigError:
        return {}


def _mixed(color: str, other: str, share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(channels(color), channels(other), strict=True)
    )


def channels(color: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@contextmanager
def drawing_rules(salt: str) -> Iterator[None]:
    """Matplotlib's settings while a figure is drawn and saved: repeatable, and names taken literally."""
    rules: Any = {  # Any, as the type of a key differs between releases
        "svg.hashsalt": salt,
        "svg.fonttype": "none",  # words stay words: small, searchable, and in the reader's own type
        "text.parse_math": False,  # a name with two dollar signs is no formula
        "font.family": "DejaVu Sans",
        "font.size": TEXT_PT,
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(rules):
        yield
