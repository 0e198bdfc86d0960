"""What TensorBoard shows beside the curves: charts by subject, and a row of the hparams table for each run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import custom_scalars, hparams

CHARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "quality": {
        "PSNR (dB), validation": ("val/psnr_db",),
        "SSIM, validation": ("val/ssim",),
        "loss, training and validation": ("train/loss", "val/loss"),
    },
    "artifacts": {
        "DC-phase variation of a constant": ("constant/dc_phase_variation",),
        "phase variance of the residual, validation": ("val/phase_variance",),
        "lines of period 2, 4, 8 in a constant (dB)": (
            "constant/line_p2_db",
            "constant/line_p4_db",
            "constant/line_p8_db",
        ),
        "corner of the spectrum (dB), validation": ("val/radial_corner_db",),
    },
    "speed": {"images per second": ("speed/images_per_sec",)},
    "optimisation": {"learning rate": ("optim/lr",), "norm of the gradient": ("optim/grad_norm",)},
}
"""Category, chart, tags: the page "Custom scalars"."""


def layout() -> Summary:
    """`CHARTS` as TensorBoard's record; it merges the same layout of many runs into one page."""
    page = {
        category: {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}
        for category, charts in CHARTS.items()
    }
    summary: Summary = custom_scalars(page)
    return summary


def hparams_row(settings: Mapping[str, Any], metrics: tuple[str, ...]) -> tuple[Summary, Summary, Summary]:
    """The records of one row: its columns, its start with the settings, its end.

    The row's figures are the last points of the curves named `metrics`, so it must be in the same event file as they
    are (`SummaryWriter.add_hparams` would start another run beside it).
    """
    columns, start, end = hparams(flat_settings(settings), dict.fromkeys(metrics, 0.0))
    return columns, start, end


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    """Nested settings as `group.key: value`, with lists as words."""
    flat: dict[str, int | float | str | bool] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, int | float | str) else str(value)
    return flat
