"""Every figure that runs report: its key, what it is called, its unit, which way is better, what difference matters.

The one place of these facts: training, screen, TensorBoard and comparisons read them here. And what each task reports,
which of its figures chooses the best checkpoint, and which are shown. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upsample_lab.options.task import DEFAULT_TASK
from upsample_lab.registry import PARTS, Part
from upsample_lab.settings import ConfigError, nearest


@dataclass(frozen=True)
class Metric:
    """A figure of a run; `key` is that of `summary.json`, e.g. `test/psnr_db`."""

    key: str
    title: str  # as in a heading: "PSNR"
    unit: str  # "dB", or "" for a pure number
    higher_is_better: bool | None  # None: neither way is better, so it is reported and not compared
    digits: int  # decimals that are shown
    smallest_of_interest: float  # a difference below this is of no interest: 0.1 dB of PSNR
    kind: str = "quality"  # "quality", "artifact" or "cost"
    none_below: float | None = None  # values below it are *none*; None where the idea makes no sense
    log_scale: bool = False  # whether it is positive and skewed, so that its logarithms are compared and drawn
    short: str = ""  # where there is little room; empty for the title

    @property
    def heading(self) -> str:
        """`PSNR (dB)`, as on an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


# ----------------------------------------------------------------------------------------------------------------------
# Figures

GREYS = (0, 64, 128, 192, 255)
"""Levels of the uniform images that a model reconstructs: black, white, and the quarters between."""
PERIODS = (2, 4, 8)

# A tenth of a decibel is what published comparisons of upsamplers quarrel about, and the seed's noise of a small model;
# the other thresholds are the ones from which docs/metrics.md finds an artifact, or a hundredth of the usual range.
_ARTIFACT: Any = {"kind": "artifact"}
_QUALITY = (
    Metric("loss", "loss", "", False, 5, 1e-4),
    Metric("psnr_db", "PSNR", "dB", True, 2, 0.1),
    Metric("ssim", "SSIM", "", True, 4, 0.001),
    Metric("phase_variance", "phase variance of the residual", "", False, 5, 0.001, **_ARTIFACT),
    Metric("phase_p_value", "p-value of the residual's phases", "", None, 3, 0.0, **_ARTIFACT),
)
_SPECTRUM = (
    *(Metric(f"line_p{period}_db", f"line of period {period}", "dB", False, 1, 1.0, **_ARTIFACT) for period in PERIODS),
    Metric("nearest_residual", "residual from nearest", "", False, 5, 1e-4, **_ARTIFACT),
    Metric("radial_corner_db", "corner of the spectrum", "dB", None, 1, 1.0, **_ARTIFACT),
)
# Half a level of root mean square is about one between the darkest and the brightest phase: the least that an image
# of 8 bits holds. Float32 leaves patterns of 1e-4 levels, and half precision is evaluated in float32: a hundredth of a
# level is above all rounding and below anything that could be seen.
_LEVELS: dict[str, Any] = {
    "unit": "levels", "higher_is_better": False, "digits": 2, "smallest_of_interest": 0.5, "kind": "artifact",
    "none_below": 0.01, "log_scale": True,
}  # fmt: skip
_PATTERN = (
    ("pattern_rms_levels", "pattern {}"),
    ("pattern_p2p_levels", "pattern {}, peak to peak"),
    *((f"p{period}_rms_levels", f"pattern of period {period} {{}}") for period in PERIODS),
)


def _patterns(prefix: str, where: str, short: str = "") -> list[Metric]:
    named = [Metric(f"{prefix}{name}", title.format(where), **_LEVELS) for name, title in _PATTERN]
    return [replace(named[0], short=short), *named[1:]]


def _of_set(name: str) -> list[Metric]:
    """The figures of reconstructions of a set of images against their originals, `<name>/…`."""
    named = [
        *_QUALITY,
        *_patterns("residual_", "of the residual"),
        *_patterns("flat_", "in flat areas", "in flat areas"),
        *(replace(metric, title=f"{metric.title}, in images") for metric in _SPECTRUM),
    ]
    return [replace(metric, key=f"{name}/{metric.key}") for metric in named]


_FIGURES = (
    *_of_set("test"),
    *_of_set("val"),
    *_patterns("uniform/", "on uniform images", "pattern"),
    *(Metric(f"uniform/grey{grey}_rms_levels", f"pattern on grey {grey}", **_LEVELS) for grey in GREYS),
    *_patterns("constant/", "on the mean latent"),
    *(replace(metric, key=f"constant/{metric.key}", title=f"{metric.title} in a constant") for metric in _SPECTRUM),
    Metric(  # of runs from before 2026-11-25
        "constant/dc_phase_variation", "relative phase variation of a constant", "", False, 4, 0.001, "artifact", 0.001,
        True,
    ),
)  # fmt: skip
CATALOGUE: dict[str, Metric] = {metric.key: metric for metric in _FIGURES}
CATALOGUE |= {
    "train/loss": Metric("train/loss", "loss, training", "", False, 5, 1e-4),
    "optim/lr": Metric("optim/lr", "learning rate", "", None, 6, 0.0, "cost"),
    "optim/grad_norm": Metric("optim/grad_norm", "norm of the gradient", "", None, 3, 0.0, "cost"),
    "speed/images_per_sec": Metric("speed/images_per_sec", "images per second", "", True, 0, 0.0, "cost"),
}
QUALITY, ARTIFACT = "test/psnr_db", "uniform/pattern_rms_levels"  # what a verdict on images speaks of
OLD_ARTIFACT = "constant/dc_phase_variation"  # what it speaks of where no run has the other


# ----------------------------------------------------------------------------------------------------------------------
# What a task reports

TRAIN_METRICS = ("train/loss", "optim/lr", "optim/grad_norm", "speed/images_per_sec")


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task without torch.

    best    the figure whose value on the validation set, `val/<best>`, chooses the best checkpoint
    shown   keys of `summary.json` that the screen shows and comparisons are about, the first one first
    final   keys of `summary.json` that every run of the task may have
    charts  TensorBoard's page of charts: category -> keys
    """

    best: str
    shown: tuple[str, ...]
    final: tuple[str, ...]
    charts: Mapping[str, tuple[str, ...]]

    @property
    def primary(self) -> str:
        return f"test/{self.best}"


def _reported(*places: str) -> tuple[str, ...]:
    """Keys of the catalogue at these places. The single periods and greys that a run has follow from its model."""
    keys = (key for key in CATALOGUE if key.startswith(places) and key != OLD_ARTIFACT)
    return tuple(key for key in keys if not re.search(r"(p\d+|grey\d+)_rms_levels$", key))


TASKS: dict[str, TaskFacts] = {
    DEFAULT_TASK: TaskFacts(
        best="psnr_db",
        shown=("test/psnr_db", "test/ssim", "uniform/pattern_rms_levels", "test/flat_pattern_rms_levels"),
        final=_reported("test/", "uniform/", "constant/"),
        charts={
            "quality": ("val/psnr_db", "val/ssim", "train/loss", "val/loss"),
            "artifacts": (
                *("uniform/pattern_rms_levels", "uniform/pattern_p2p_levels"),
                *("val/flat_pattern_rms_levels", "val/residual_pattern_rms_levels"),
                *(f"constant/line_p{period}_db" for period in PERIODS),
                "val/radial_corner_db",
            ),
            "speed": ("speed/images_per_sec",),
            "optimisation": ("optim/lr", "optim/grad_norm"),
        },
    ),
}


def known_tasks() -> set[str]:
    return {*TASKS, *PARTS["task"]}


def facts_of(task: str) -> TaskFacts:
    """The facts of a task, the package's own or a plugin's, whose class says them."""
    if task in TASKS:
        return TASKS[task]
    own = PARTS["task"][task].make
    names = [metric.key for metric in own.metrics]  # type: ignore[attr-defined]
    finals = tuple(f"test/{name}" for name in names)
    shown = tuple(getattr(own, "shown", ())) or finals[:4]
    charts = {"quality": ("train/loss", *(f"val/{name}" for name in names)), **TASKS[DEFAULT_TASK].charts}
    del charts["artifacts"]
    return TaskFacts(own.best, shown, finals, charts)  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------------------------------
# Looking up, showing


def metric_of(key: str) -> Metric:
    """The metric of a key of summary.json. Raises `ConfigError` with the known ones, or where it cannot be compared."""
    own = described(key)
    if own is None:
        known = [*CATALOGUE, *_own_metrics()]
        compared = [name for name in known if not name.startswith(("val/", "train/", "optim/", "speed/"))]
        raise ConfigError(f"metrics: {key} is unknown; there are {', '.join(compared)}{nearest(key, compared)}")
    if own.higher_is_better is None:
        raise ConfigError(f"metrics: {key} is reported and not compared, since neither way is better")
    return own


def described(key: str) -> Metric | None:
    """What is known of a key, on whichever set; None for nothing."""
    return CATALOGUE.get(key) or _own_metrics().get(key)


def _own_metrics() -> dict[str, Metric]:
    """The metrics of plugins, and of plugins' tasks."""
    own = [_of_plugin(part) for part in PARTS["metric"].values()]
    own += [metric for part in PARTS["task"].values() for metric in part.make.metrics]  # type: ignore[attr-defined]
    return {key: replace(metric, key=key) for metric in own for key in (f"test/{metric.key}", f"val/{metric.key}")}


def _of_plugin(part: Part) -> Metric:
    """A plugin's metric, as its registration describes it."""
    facts: dict[str, Any] = {
        "title": part.name.replace("_", " "),
        "unit": "",
        "better": "higher",
        "digits": 4,
        "smallest_of_interest": 0.0,
    }
    facts |= part.facts
    higher = facts["better"] == "higher"
    return Metric(part.name, facts["title"], facts["unit"], higher, facts["digits"], facts["smallest_of_interest"])


def artifact_of(metrics: Sequence[Metric]) -> Metric | None:
    """The metric of artifacts, the primary one not among them, that verdict and figures speak of."""
    artifacts = [metric for metric in metrics[1:] if metric.kind == "artifact"]
    return next((metric for metric in artifacts if metric.key == ARTIFACT), artifacts[0] if artifacts else None)


def curve_key(metric: Metric) -> str:
    """The key of metrics.jsonl that follows the metric over training: `val/psnr_db` for `test/psnr_db`."""
    return metric.key.replace("test/", "val/")


def is_none(metric: Metric, value: float) -> bool:
    """Whether the value is below what the metric calls none."""
    return metric.none_below is not None and value < metric.none_below


def shown(metric: Metric, value: float) -> str:
    """A value with the metric's digits and its unit; `4.1e-06` where the digits would leave nothing."""
    digits = f"{value:.{metric.digits}f}"
    if value and float(digits) == 0:
        digits = f"{value:.1e}"
    return f"{digits} {metric.unit}".rstrip()


def ratio(value: float) -> str:
    """A ratio in words: three digits, whatever its size."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
