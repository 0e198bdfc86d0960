"""Whether there is room for a run, asked before its first step."""

from __future__ import annotations

import shutil
from pathlib import Path

from upsample_lab.settings import ConfigError
from upsample_lab.training.state import Training

FULL_CHECKPOINTS = 3  # last, previous, and the one being written
MODEL_CHECKPOINTS = 2  # best, and the one being written
MOMENTS = 2  # numbers that Adam keeps beside each weight; the others keep fewer
HEADER_BYTES = 64 << 10  # names and shapes of a checkpoint's tensors, at most
REPORT_BYTES = 1 << 10  # a line of metrics.jsonl and its points in the event file
VALIDATION_BYTES = 256 << 10  # figures, reconstructions as PNG and in the event file, kernels
OTHER_BYTES = 2 << 20  # configuration, capsule with its diff, status, summary


def needed_bytes(training: Training) -> int:
    """An upper estimate of what a run writes, from its players and from how often it reports."""
    schedule, trainer = training.schedule, training.schedule.trainer
    models = list(training.models.values())
    weights = sum(tensor.nbytes for model in models for tensor in model.state_dict().values())
    trained = sum(parameter.nbytes for model in models for parameter in model.parameters())
    reports = schedule.steps // trainer.log_every_steps + 1
    validations = schedule.steps // (schedule.steps_per_epoch * trainer.validate_every_epochs) + 2
    validations += schedule.steps // (trainer.validate_every_steps or schedule.steps)
    return (
        FULL_CHECKPOINTS * (weights + MOMENTS * trained + HEADER_BYTES)
        + MODEL_CHECKPOINTS * (weights + HEADER_BYTES)
        + reports * REPORT_BYTES
        + validations * VALIDATION_BYTES
        + OTHER_BYTES
    )


def check_space(folder: Path, needed: int) -> None:
    """Raise `ConfigError` where a run that needs so many bytes has no room in `folder`, which may not exist yet."""
    present = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free + present < needed:
        raise ConfigError(
            f"output_root: {existing} has {free / 1e6:,.1f} MB free, and this run may write {needed / 1e6:,.1f} MB "
            f"({present / 1e6:,.1f} MB of it is there); make room, or point output_root= elsewhere"
        )
