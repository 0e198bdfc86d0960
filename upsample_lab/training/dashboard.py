"""What TensorBoard shows beside the curves: charts by subject, and a row of the hparams table for each run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import custom_scalars, hparams

from upsample_lab.config import TrainConfig
from upsample_lab.runs.identity import identity
from upsample_lab.settings import option_values

CHARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "quality": {
        "PSNR (dB), validation": ("val/psnr_db",),
        "SSIM, validation": ("val/ssim",),
        "loss, training and validation": ("train/loss", "val/loss"),
    },
    "artifacts": {
        "pattern of uniform images (grey levels)": ("uniform/pattern_rms_levels", "uniform/pattern_p2p_levels"),
        "pattern in flat areas, validation (grey levels)": ("val/flat_pattern_rms_levels",),
        "pattern of the residual, validation (grey levels)": ("val/residual_pattern_rms_levels",),
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


def hparams_row(config: TrainConfig, metrics: tuple[str, ...]) -> tuple[Summary, Summary, Summary]:
    """The records of one row: its columns, its start with the settings, its end.

    The row's figures are the last points of the curves named `metrics`, so it must be in the same event file as they
    are (`SummaryWriter.add_hparams` would start another run beside it).
    """
    columns, start, end = hparams(telling_settings(config), dict.fromkeys(metrics, 0.0))
    return columns, start, end


def telling_settings(config: TrainConfig) -> dict[str, Any]:
    """What tells this run from others: the choice of each group, the upsampler's options, the seed, and every setting
    that decides the result and is not at its option's default.

    All settings would be some fifty columns, of which the page shows the first five of the alphabet.
    """
    telling: dict[str, Any] = {}
    for group, values in identity(config).items():
        if not isinstance(values, Mapping):
            telling[group] = values
            continue
        name = values.get("name", "default")
        if name != "default":
            telling[group] = name
        defaults = option_values(group, name)
        for key, value in values.items():
            if key != "name" and (group == "upsample" or value != defaults.get(key)):
                telling[f"{group}.{key}"] = value if isinstance(value, int | float | str) else str(value)
    return telling
