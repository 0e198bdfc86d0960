"""A run's reports over training, and the curves of a variant with their bands."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upsample_lab.catalogue import Metric, curve_key
from upsample_lab.compare.result import Curve
from upsample_lab.compare.statistics import Array, mean_interval
from upsample_lab.runs.journal import read_reports

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
    for report in read_reports(folder):
        if SPEED in report:
            speeds.append(report[SPEED])
        for key in keys:
            value = report.get(key)
            if isinstance(value, int | float) and math.isfinite(value):
                curves[key][report["step"]] = float(value)
    return History(curves, statistics.median(speeds) if speeds else None)


def curve_of(histories: Sequence[History], metric: Metric, confidence: float) -> Curve | None:
    """Mean and interval over the runs, at each step that all of them report; None where there is no such step.

    Of a positive, skewed metric they are those of the logarithm, values below `none_below` taken as that, and so the
    mean is geometric. Of any other, the interval of a figure that is never negative ends at zero.
    """
    key = curve_key(metric)
    reported = [history.curves.get(key, {}) for history in histories]
    steps = sorted(set.intersection(*(set(curve) for curve in reported))) if reported else []
    if not steps:
        return None
    values = np.array([[curve[step] for curve in reported] for step in steps])
    if metric.log_scale:
        return _on_log_scale(steps, values, metric.none_below or float(np.finfo(np.float32).tiny), confidence)
    mean, (low, high) = values.mean(axis=1), mean_interval(values, confidence)
    if (values >= 0).all():
        low = np.maximum(low, 0)
    return _curve(steps, mean, low, high)


def _on_log_scale(steps: Sequence[int], values: Array, floor: float, confidence: float) -> Curve:
    """Where all runs are below the floor, the largest of them stands for them, with no interval."""
    logs = np.log(np.maximum(values, floor))
    low, high = mean_interval(logs, confidence)
    largest = values.max(axis=1)
    columns = (np.where(largest < floor, largest, np.exp(one)) for one in (logs.mean(axis=1), low, high))
    return _curve(steps, *columns)


def _curve(steps: Sequence[int], mean: Array, low: Array, high: Array) -> Curve:
    return Curve(tuple(steps), tuple(mean.tolist()), tuple(low.tolist()), tuple(high.tolist()))
