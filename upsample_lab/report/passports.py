"""The passport of each variant's layer, to be shown beside what training made of it.

A passport takes seconds, so each is kept beside the report and measured again only when the layer's settings change.
Torch is imported only where one has to be measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upsample_lab.compare.result import Comparison, Variant
from upsample_lab.runs.files import read_json, replacing, write_json

FOLDER = "passports"
FORMAT = 2  # of the kept files; another number measures all again
FIGURES = ("DC-phase", "shift px", "image rej.", "droop", "half px", "border")
SIZE_PX = 16  # the smallest that a passport takes: a quarter of the time of its default
PANEL_IN = (3.1, 3.0)


@dataclass(frozen=True)
class Card:
    """A layer measured alone: a few of its passport's figures, how many findings, and a picture."""

    figures: Mapping[str, str]
    finding: str  # the first problem that was found, or ""
    png: bytes


def passport_cards(comparison: Comparison, folder: Path, measure: bool) -> dict[str, Card]:
    """By variant. Kept ones come from `folder`; what is missing is measured and kept there if `measure` is true.

    A variant without an upsampler of the registry, or whose layer cannot be built with its settings, has no card.
    """
    cards = {}
    for variant in comparison.variants:
        subject = _subject(variant)
        if subject is None:
            continue
        card = _kept(folder, subject) or (_measured(folder, subject) if measure else None)
        if card is not None:
            cards[variant.name] = card
    return cards


def _subject(variant: Variant) -> dict[str, Any] | None:
    """What decides a passport: the layer's settings and the channels and scale of the decoder's first stage."""
    config = variant.runs[0].config if variant.runs else {}
    upsample, model = config.get("upsample"), config.get("model")
    if not isinstance(upsample, Mapping) or not isinstance(model, Mapping) or "name" not in upsample:
        return None
    widths = model.get("widths")
    if not isinstance(widths, list | tuple) or not widths:
        return None
    channels = (widths[-1], widths[-2] if len(widths) > 1 else widths[-1])
    return {"upsample": dict(upsample), "channels": channels, "scale": model.get("scale", 2), "format": FORMAT}


def _stem(subject: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(subject, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _kept(folder: Path, subject: Mapping[str, Any]) -> Card | None:
    path = folder / FOLDER / _stem(subject)
    figures, png = read_json(path.with_suffix(".json")), path.with_suffix(".png")
    if figures is None or not png.is_file():
        return None
    return Card(figures["figures"], figures["finding"], png.read_bytes())


def _measured(folder: Path, subject: Mapping[str, Any]) -> Card | None:
    import torch

    from upsample_lab.drawing.passport_panels import draw_axes_response, draw_flat, draw_kernel
    from upsample_lab.drawing.style import free_words, new_figure, png
    from upsample_lab.passport import passport
    from upsample_lab.passport.table import COMPARISON_COLUMNS, comparison_rows
    from upsample_lab.upsamplers import build_upsampler

    options = {name: value for name, value in subject["upsample"].items() if name != "name"}
    name = str(subject["upsample"]["name"])
    in_channels, out_channels = subject["channels"]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = build_upsampler(name, in_channels, out_channels, subject["scale"], **options)
        measured = passport(layer, in_channels, subject["scale"], size=SIZE_PX, name=name, cost=False)
    except (ValueError, TypeError):
        return None
    values = dict(zip(COMPARISON_COLUMNS, comparison_rows([measured])[0][1:], strict=True))
    figure = new_figure(PANEL_IN[0] * 3, PANEL_IN[1])
    for axes, draw in zip(figure.subplots(1, 3), (draw_flat, draw_kernel, draw_axes_response), strict=True):
        draw(axes, measured)
        free_words(axes)
    wrong = [finding.message for finding in measured.findings if finding.severity not in ("fine", "note")]
    card = Card({key: values[key] for key in FIGURES}, wrong[0] if wrong else "", png(figure))
    path = folder / FOLDER / _stem(subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path.with_suffix(".png")) as temporary:
        temporary.write_bytes(card.png)
    write_json(path.with_suffix(".json"), {"figures": dict(card.figures), "finding": card.finding})
    return card
