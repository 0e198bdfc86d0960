"""The figures that runs can be compared by: what they are called, which way is better, what difference matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upsample_lab.compare.result import Metric
from upsample_lab.registry import PARTS, Part
from upsample_lab.settings import ConfigError, nearest

# A tenth of a decibel is what published comparisons of upsamplers quarrel about, and the seed's noise of a small model;
# the other thresholds are the ones from which docs/metrics.md finds an artifact, or a hundredth of the usual range.
_IMAGE: dict[str, tuple[Any, ...]] = {
    "psnr_db": ("PSNR", "dB", True, 2, 0.1),
    "ssim": ("SSIM", "", True, 4, 0.001),
    "loss": ("loss", "", False, 5, 1e-4),
    "phase_variance": ("phase variance of the residual", "", False, 5, 0.001, "artifact"),
}
_LINES: dict[str, tuple[Any, ...]] = {
    "line_p2_db": ("line of period 2", "dB", False, 1, 1.0, "artifact"),
    "line_p4_db": ("line of period 4", "dB", False, 1, 1.0, "artifact"),
    "line_p8_db": ("line of period 8", "dB", False, 1, 1.0, "artifact"),
}
# Half a level of root mean square is about one between the darkest and the brightest phase: the least that an image
# of 8 bits holds. Float32 leaves patterns of 1e-4 levels, and half precision is evaluated in float32: a hundredth of a
# level is above all rounding and below anything that could be seen.
_LEVELS = ("levels", False, 2, 0.5, "artifact", 0.01, True)
_RELATIVE: tuple[Any, ...] = (
    "relative phase variation of a constant", "", False, 4, 0.001, "artifact", 0.001, True,
)  # fmt: skip
_PLACES = {
    "uniform/": "on uniform images",
    "constant/": "on the mean latent",
    "test/flat_": "in flat areas",
    "test/residual_": "of the residual",
}
_PATTERNS = {"pattern_rms": "pattern {}", "pattern_p2p": "pattern {}, peak to peak"} | {
    f"p{period}_rms": f"pattern of period {period} {{}}" for period in (2, 4, 8)
}
CATALOGUE: dict[str, Metric] = {
    **{f"test/{name}": Metric(f"test/{name}", *facts) for name, facts in _IMAGE.items()},
    **{
        f"{place}{name}_levels": Metric(f"{place}{name}_levels", title.format(where), *_LEVELS)
        for place, where in _PLACES.items()
        for name, title in _PATTERNS.items()
    },
    **{
        f"uniform/grey{grey}_rms_levels": Metric(f"uniform/grey{grey}_rms_levels", f"pattern on grey {grey}", *_LEVELS)
        for grey in (0, 64, 128, 192, 255)
    },
    **{f"constant/{name}": Metric(f"constant/{name}", *facts) for name, facts in _LINES.items()},
    "constant/nearest_residual": Metric(
        "constant/nearest_residual", "residual from nearest", "", False, 5, 1e-4, "artifact"
    ),
    **{
        f"test/{name}": Metric(f"test/{name}", f"{facts[0]}, in test images", *facts[1:])
        for name, facts in _LINES.items()
    },
    "constant/dc_phase_variation": Metric("constant/dc_phase_variation", *_RELATIVE),  # of runs from before 2026-11-25
}
QUALITY, ARTIFACT = "test/psnr_db", "uniform/pattern_rms_levels"  # what the verdict speaks of
OLD_ARTIFACT = "constant/dc_phase_variation"  # what it speaks of where no run has the other


def artifact_of(metrics: Sequence[Metric]) -> Metric | None:
    """The metric of artifacts, the primary one not among them, that verdict and figures speak of."""
    artifacts = [metric for metric in metrics[1:] if metric.kind == "artifact"]
    return next((metric for metric in artifacts if metric.key == ARTIFACT), artifacts[0] if artifacts else None)


def metric_of(key: str) -> Metric:
    """The metric of a key of summary.json. Raises `ConfigError` with the known ones."""
    own = PARTS["metric"].get(key.removeprefix("test/"))
    if own is not None and key not in CATALOGUE:
        return _own(key, own)
    if key not in CATALOGUE:
        raise ConfigError(f"metrics: {key} is unknown; there are {', '.join(CATALOGUE)}{nearest(key, CATALOGUE)}")
    return CATALOGUE[key]


def _own(key: str, part: Part) -> Metric:
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
    return Metric(key, facts["title"], facts["unit"], higher, facts["digits"], facts["smallest_of_interest"])


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
