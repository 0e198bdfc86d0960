"""A finished run again: its best weights, and what they do on a set of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from upsample_lab.config import TrainConfig
from upsample_lab.data import DataError, ImageSets, load_images, prepare
from upsample_lab.device import MEMORY_FORMATS, Where, choose_device
from upsample_lab.options.evaluate import EvaluateConfig
from upsample_lab.runs import checkpoint
from upsample_lab.runs.directory import RunDirectory
from upsample_lab.runs.files import replacing
from upsample_lab.runs.stored_config import read_train_config
from upsample_lab.settings import ConfigError, option_values
from upsample_lab.tasks import Models, Task
from upsample_lab.training.loop import build_task
from upsample_lab.training.same_data import changed_since

OWN_SETTINGS = {"mirrors", "timeout_sec", "cache_dir"}  # never from a run's directory, which may be a stranger's


def evaluate_run(
    config: EvaluateConfig, warn: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Figures of a run's best checkpoint, and the pictures that are written beside it, by what they show.

    `warn` is told where the images are not those that the run was trained on.
    Raises `ConfigError`, `DamagedCheckpoint` and `NotFiniteOutput`, each with one line. Nothing in the directory is
    executed.
    """
    folder = Path(config.run)
    trained = stored_config(folder, config.data_root)
    trained.trainer.reconstruction_count = config.count
    sets = _images(trained)
    if warn is not None and (changed := changed_since(RunDirectory(folder), sets)):
        warn(changed)
    if config.images == "validation":
        sets = replace(sets, test=sets.validation)
    task, models, state = best_of(folder, trained, sets, config.device)
    found = task.evaluate(models, "test", draw=True)
    pictures = {}
    for name, grid in found.pictures.items():
        if name.startswith("kernels/"):
            continue  # which TensorBoard shows over training
        end = "" if name == task.saved_picture else f"-{name.rpartition('/')[2]}"
        pictures[name.rpartition("/")[2]] = path = folder / f"evaluation-{config.images}{end}.png"
        with replacing(path) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG")
    model = next(iter(models.values()))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    named = {"run": folder.name, "task": task.name, "parameters": parameters, "steps": state.get("step")}
    return {**named, **found.figures}, pictures


def stored_config(folder: Path, data_root: str | None = None) -> TrainConfig:
    """The configuration of a run's directory, with the images where they are now. Raises `ConfigError`."""
    trained = read_train_config(folder / "config.yaml")
    trained.data.fallback = None
    own = option_values("data", trained.data.name)
    for name in OWN_SETTINGS & own.keys():
        setattr(trained.data, name, own[name])
    if data_root is not None and hasattr(trained.data, "root"):
        trained.data.root = data_root
    return trained


def best_of(folder: Path, trained: TrainConfig, images: ImageSets, device: str) -> tuple[Task, Models, dict[str, Any]]:
    """A run's task, its models with the best weights in evaluation mode, and the state that was saved with them."""
    where = Where(choose_device(device), MEMORY_FORMATS[trained.trainer.memory_format])
    task, models = build_task(trained, images, where)
    tensors, state = checkpoint.load(folder / "checkpoints" / checkpoint.BEST)
    checkpoint.restore_model(next(iter(models.values())), tensors)
    for model in models.values():
        model.eval()
    return task, models, state


def _images(config: TrainConfig) -> ImageSets:
    try:
        prepare(config.data)
        return load_images(config.data)
    except DataError as error:
        raise ConfigError(f"{error}; data_root= points elsewhere") from None
