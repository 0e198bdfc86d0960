"""The figures that runs can be compared by: what they are called, which way is better, what difference matters."""

from __future__ import annotations

from typing import Any

from upsample_lab.compare.result import Metric
from upsample_lab.settings import ConfigError, nearest

# A tenth of a decibel is what published comparisons of upsamplers quarrel about, and the seed's noise of a small model;
# the other thresholds are the ones from which docs/metrics.md finds an artifact, or a hundredth of the usual range.
_IMAGE: dict[str, tuple[Any, ...]] = {
    "psnr_db": ("PSNR", "dB", True, 2, 0.1),
    "ssim": ("SSIM", "", True, 4, 0.001),
    "loss": ("loss", "", False, 5, 1e-4),
    "phase_variance": ("phase variance of the residual", "", False, 5, 0.001, "artifact"),
}
_ARTIFACTS: dict[str, tuple[Any, ...]] = {
    "dc_phase_variation": ("phases of a constant", "", False, 4, 0.001, "artifact"),
    "line_p2_db": ("line of period 2", "dB", False, 1, 1.0, "artifact"),
    "line_p4_db": ("line of period 4", "dB", False, 1, 1.0, "artifact"),
    "line_p8_db": ("line of period 8", "dB", False, 1, 1.0, "artifact"),
    "nearest_residual": ("residual from nearest", "", False, 5, 1e-4, "artifact"),
}
CATALOGUE: dict[str, Metric] = {
    **{f"test/{name}": Metric(f"test/{name}", *facts) for name, facts in _IMAGE.items()},
    **{f"constant/{name}": Metric(f"constant/{name}", *facts) for name, facts in _ARTIFACTS.items()},
    **{
        f"test/{name}": Metric(f"test/{name}", f"{facts[0]}, in test images", *facts[1:])
        for name, facts in _ARTIFACTS.items()
        if name.startswith("line_")
    },
}
QUALITY, ARTIFACT = "test/psnr_db", "constant/dc_phase_variation"  # what the verdict speaks of


def metric_of(key: str) -> Metric:
    """The metric of a key of summary.json. Raises `ConfigError` with the known ones."""
    if key not in CATALOGUE:
        raise ConfigError(f"metrics: {key} is unknown; there are {', '.join(CATALOGUE)}{nearest(key, CATALOGUE)}")
    return CATALOGUE[key]


def curve_key(metric: Metric) -> str:
    """The key of metrics.jsonl that follows the metric over training: `val/psnr_db` for `test/psnr_db`."""
    return metric.key.replace("test/", "val/")


def shown(metric: Metric, value: float) -> str:
    """A value with the metric's digits and its unit; `4.1e-06` where the digits would leave nothing."""
    digits = f"{value:.{metric.digits}f}"
    if value and float(digits) == 0:
        digits = f"{value:.1e}"
    return f"{digits} {metric.unit}".rstrip()
