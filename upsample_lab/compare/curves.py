"""A run's reports over training, and the curves of a variant with their bands."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upsample_lab.compare.result import Curve
from upsample_lab.compare.statistics import mean_interval

SPEED = "speed/images_per_sec"


@dataclass(frozen=True)
class History:
    """Of one run: each curve's value by step, and the median speed of its training."""

    curves: Mapping[str, Mapping[int, float]]
    images_per_sec: float | None


def read_history(folder: Path, keys: Sequence[str]) -> History:
    """The reports of `metrics.jsonl`; what cannot be read of it is left out, as the curves decide nothing."""
    curves: dict[str, dict[int, float]] = {key: {} for key in keys}
    speeds = []
    try:
        text = (folder / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        try:
            report = json.loads(line)
            step = int(report["step"])
        except (ValueError, KeyError, TypeError):
            continue
        if SPEED in report:
            speeds.append(report[SPEED])
        for key in keys:
            value = report.get(key)
            if isinstance(value, int | float) and math.isfinite(value):
                curves[key][step] = float(value)
    return History(curves, statistics.median(speeds) if speeds else None)


def curve_of(histories: Sequence[History], key: str, confidence: float) -> Curve | None:
    """Mean and interval over the runs, at each step that all of them report; None where there is no such step."""
    reported = [history.curves.get(key, {}) for history in histories]
    steps = sorted(set.intersection(*(set(curve) for curve in reported))) if reported else []
    if not steps:
        return None
    values = np.array([[curve[step] for curve in reported] for step in steps])
    low, high = mean_interval(values, confidence)
    columns = (tuple(column.tolist()) for column in (values.mean(axis=1), low, high))
    return Curve(tuple(steps), *columns)
