"""A finished run as its user wants it: its task, its models with the best weights, and its images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upsample_lab.config import TrainConfig
from upsample_lab.data import DataError, ImageSets, load_images, prepare
from upsample_lab.device import MEMORY_FORMATS, Where, choose_device
from upsample_lab.options.data import without_fallback
from upsample_lab.runs import checkpoint
from upsample_lab.runs.stored_config import read_train_config
from upsample_lab.settings import ConfigError, option_values
from upsample_lab.tasks import Models, Task
from upsample_lab.training.loop import build_task

OWN_SETTINGS = {"mirrors", "timeout_sec", "cache_dir"}  # never from a run's directory, which may be a stranger's


def load_run(run: str | os.PathLike[str]) -> tuple[nn.Module, TrainConfig]:
    """The model of a run's best checkpoint, in evaluation mode, on the CPU in float32, and the run's configuration.

        model, config = load_run("outputs/default/mnist-deconv-seed0-1c2d3e4f")
        with torch.no_grad():
            outputs = model(images)                          # float [N, C, H, W] in 0…1

    Neither images nor a GPU are needed. Nothing in the directory is executed: weights are read from safetensors files,
    and a part of a plugin's is found only where the plugin was imported before, by whoever trusts it.

    Raises:
        ConfigError: no run's directory, or a part of it that is neither in the package nor in a plugin at hand.
        MissingCheckpoint, DamagedCheckpoint: both are `ValueError`s.
    """
    folder = Path(run).expanduser()
    config = stored_config(folder)
    _, models, _ = best_of(folder, config, blank_images(config), "cpu")
    return next(iter(models.values())), config


def stored_config(folder: Path, data_root: str | None = None) -> TrainConfig:
    """The configuration of a run's directory, with the images where they are now. Raises `ConfigError`."""
    trained = read_train_config(folder / "config.yaml")
    trained.data = without_fallback(trained.data)
    own = option_values("data", trained.data.name)
    for name in OWN_SETTINGS & own.keys():
        setattr(trained.data, name, own[name])
    if data_root is not None and hasattr(trained.data, "root"):
        trained.data.root = data_root
    return trained


def best_of(folder: Path, config: TrainConfig, images: ImageSets, device: str) -> tuple[Task, Models, dict[str, Any]]:
    """A run's task, its models with the best weights in evaluation mode, and the state that was saved with them."""
    where = Where(choose_device(device, "device"), MEMORY_FORMATS[config.trainer.memory_format])
    task, models = build_task(config, images, where)
    tensors, state = checkpoint.load(folder / "checkpoints" / checkpoint.BEST)
    checkpoint.restore_model(next(iter(models.values())), tensors)
    for model in models.values():
        model.eval()
    return task, models, state


def blank_images(config: TrainConfig) -> ImageSets:
    """Black images of the run's shape: all that building its models needs of them."""
    size: int = config.data.image_size  # type: ignore[attr-defined]  # every concrete dataset has one
    image = torch.zeros(1, int(config.data.channels), size, size, dtype=torch.uint8)  # type: ignore[attr-defined]
    return ImageSets(config.data.name, image, image, image)


def images_of(config: TrainConfig) -> ImageSets:
    """The images of a run's configuration, downloaded where they are missing. Raises `ConfigError`."""
    try:
        prepare(config.data)
        return load_images(config.data)
    except DataError as error:
        raise ConfigError(f"{error}; data_root= points elsewhere") from None
