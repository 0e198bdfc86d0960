"""A model's figures on a set of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from upsample_lab.config import TrainConfig
from upsample_lab.data import DataError, ImageSets, eval_batches, load_images, prepare
from upsample_lab.metrics import QualityMeter
from upsample_lab.models import Autoencoder, build_model
from upsample_lab.options.evaluate import EvaluateConfig
from upsample_lab.registry import PARTS, Part
from upsample_lab.runs import checkpoint
from upsample_lab.runs.directory import RunDirectory
from upsample_lab.runs.files import replacing
from upsample_lab.runs.stored_config import read_train_config
from upsample_lab.settings import ConfigError, option_values
from upsample_lab.training.device import MEMORY_FORMATS, Where, choose_device, place
from upsample_lab.training.each_image import EachImage
from upsample_lab.training.losses import reconstruction_loss
from upsample_lab.training.patterns import (
    artifact_pictures,
    constant_artifacts,
    evaluating,
    uniform_artifacts,
    uniform_outputs,
)
from upsample_lab.training.pictures import reconstruction_grid
from upsample_lab.training.same_data import changed_since
from upsample_lab.training.sums import TrainingFailed

EVALUATION_BATCH = 256
OWN_SETTINGS = {"mirrors", "timeout_sec", "cache_dir"}  # never from a run's directory, which may be a stranger's


@torch.no_grad()
def evaluate(
    model: Autoencoder,
    images: Tensor,
    loss: str,
    period: int,
    where: Where,
    each: EachImage | None = None,
    windows: dict[str, Tensor] | None = None,
) -> dict[str, float]:
    """Loss, quality and artifact figures, exact over all `images` (uint8 `[N, C, H, W]`), in float32.

    `period` is that of the phases, in pixels: the decoder's whole factor, so that no stage's checkerboard is missed.
    `each` is told every batch's outputs, targets and scores, for what is kept of each image; `windows` is given the
    flat windows with the strongest pattern, as `FlatWindows.worst`.
    Raises `TrainingFailed` where the outputs are not finite.
    """
    meter = QualityMeter(period)
    own: dict[str, Any] = {}
    loss_sum = torch.zeros((), dtype=torch.float64, device=where.device)
    with evaluating(model):
        for batch in eval_batches(images, EVALUATION_BATCH, **where._asdict()):
            raw = model.raw(batch)
            output = model.finish(raw)
            scores = meter.update(output, batch)
            if each is not None:
                each.add(output, batch, scores)
            for name, part in PARTS["metric"].items():
                own[name] = own.get(name, 0.0) + _scores_of(part, output, batch).double().sum()
            loss_sum += reconstruction_loss(loss, model, raw, batch).double() * len(batch)
    if not loss_sum.isfinite():
        raise TrainingFailed("the model's outputs are not finite; try a smaller optim.lr")
    if windows is not None:
        windows |= meter.flat_windows.worst()
    own = {name: float(total) / len(images) for name, total in own.items()}
    return {"loss": loss_sum.item() / len(images), **meter.compute(), **own}


def _scores_of(part: Part, output: Tensor, target: Tensor) -> Tensor:
    """What a plugin's metric says of each image, `[N]`. Raises `ConfigError` where it says anything else."""
    scores = torch.as_tensor(part.make(output, target))
    if scores.shape != (len(output),):
        raise ConfigError(
            f"metric {part.name} of {part.module}: must return one number an image, [{len(output)}], "
            f"got {list(scores.shape)}"
        )
    return scores


def evaluate_run(
    config: EvaluateConfig, warn: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Figures of a run's best checkpoint, and the pictures that are written beside it, by what they show.

    `warn` is told where the images are not those that the run was trained on.
    Raises `ConfigError` and `DamagedCheckpoint`, both with one line. Nothing in the directory is executed.
    """
    folder = Path(config.run)
    trained = read_train_config(folder / "config.yaml")
    trained.data.fallback = None
    own = option_values("data", trained.data.name)
    for name in OWN_SETTINGS & own.keys():
        setattr(trained.data, name, own[name])
    if config.data_root is not None and hasattr(trained.data, "root"):
        trained.data.root = config.data_root
    device = choose_device(config.device)
    sets = _images(trained)
    if warn is not None and (changed := changed_since(RunDirectory(folder), sets)):
        warn(changed)
    images = sets.test if config.images == "test" else sets.validation
    model = build_model(trained.model, trained.upsample, trained.conv, sets.image_shape, trained.seed)
    tensors, state = checkpoint.load(folder / "checkpoints" / checkpoint.BEST)
    checkpoint.restore_model(model, tensors)
    where = Where(device, MEMORY_FORMATS[trained.trainer.memory_format])
    model = place(model, where).eval()

    loss, period = trained.trainer.loss, trained.model.total_stride
    windows: dict[str, Tensor] = {}
    figures = evaluate(model, images, loss, period, where, windows=windows)
    artifacts = constant_artifacts(model, sets.validation, period, where)
    uniform = uniform_outputs(model, sets.image_shape, period, where)
    with torch.no_grad():
        inputs = next(eval_batches(images, config.count, **where._asdict()))
        drawn = {"reconstructions": reconstruction_grid(inputs, model(inputs))}
    drawn |= artifact_pictures(uniform, windows, period)
    pictures = {}
    for name, grid in drawn.items():
        end = "" if name == "reconstructions" else f"-{name}"
        pictures[name] = folder / f"evaluation-{config.images}{end}.png"
        with replacing(pictures[name]) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    named = {f"test/{name}": value for name, value in figures.items()}
    named |= {f"constant/{name}": value for name, value in artifacts.items()}
    named |= {f"uniform/{name}": value for name, value in uniform_artifacts(uniform, period).items()}
    return {"run": folder.name, "parameters": parameters, "steps": state.get("step"), **named}, pictures


def _images(config: TrainConfig) -> ImageSets:
    try:
        prepare(config.data)
        return load_images(config.data)
    except DataError as error:
        raise ConfigError(f"{error}; data_root= points elsewhere") from None
