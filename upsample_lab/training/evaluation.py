"""A model's figures on a set of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from upsample_lab.config import ConfigError, EvaluateConfig, TrainConfig, read_train_config
from upsample_lab.data import DataError, ImageSets, eval_batches, load_images, prepare
from upsample_lab.metrics import QualityMeter
from upsample_lab.models import Autoencoder, build_model
from upsample_lab.training import checkpoint
from upsample_lab.training.device import MEMORY_FORMATS, choose_device, place
from upsample_lab.training.files import replacing
from upsample_lab.training.losses import reconstruction_loss
from upsample_lab.training.pictures import reconstruction_grid

EVALUATION_BATCH = 256


@torch.no_grad()
def evaluate(
    model: Autoencoder,
    images: Tensor,
    loss: str,
    period: int,
    *,
    device: torch.device,
    memory_format: torch.memory_format,
) -> dict[str, float]:
    """Loss, quality and artifact figures, exact over all `images` (uint8 `[N, C, H, W]`), in float32.

    `period` is that of the phases, in pixels: the decoder's whole factor, so that no stage's checkerboard is missed.
    The model's training mode is put back afterwards.
    """
    was_training = model.training
    model.eval()
    meter = QualityMeter(period)
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    for batch in eval_batches(images, EVALUATION_BATCH, device, memory_format=memory_format):
        raw = model.raw(batch)
        meter.update(model.finish(raw), batch)
        loss_sum += reconstruction_loss(loss, model, raw, batch).double() * len(batch)
    model.train(was_training)
    return {"loss": loss_sum.item() / len(images), **meter.compute()}


def evaluate_run(config: EvaluateConfig) -> tuple[dict[str, Any], Path]:
    """Figures of a run's best checkpoint, and the picture of reconstructions that is written beside it.

    Raises `ConfigError` and `DamagedCheckpoint`, both with one line. Nothing in the directory is executed.
    """
    folder = Path(config.run)
    trained = read_train_config(folder / "config.yaml")
    trained.data.fallback = None
    if config.data_root is not None and hasattr(trained.data, "root"):
        trained.data.root = config.data_root
    device = choose_device(config.device)
    sets = _images(trained)
    images = sets.test if config.images == "test" else sets.validation
    model = build_model(trained.model, trained.upsample, trained.conv, sets.image_shape, trained.seed)
    tensors, state = checkpoint.load(folder / "checkpoints" / checkpoint.BEST)
    checkpoint.restore_model(model, tensors)
    memory_format = MEMORY_FORMATS[trained.trainer.memory_format]
    model = place(model, device, memory_format).eval()

    loss, period = trained.trainer.loss, trained.model.total_stride
    figures = evaluate(model, images, loss, period, device=device, memory_format=memory_format)
    picture = folder / f"evaluation-{config.images}.png"
    with torch.no_grad(), replacing(picture) as temporary:
        inputs = next(eval_batches(images, config.count, device, memory_format=memory_format))
        Image.fromarray(reconstruction_grid(inputs, model(inputs))).save(temporary, format="PNG")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    named = {f"test/{name}": value for name, value in figures.items()}
    return {"run": folder.name, "parameters": parameters, "steps": state.get("step"), **named}, picture


def _images(config: TrainConfig) -> ImageSets:
    try:
        prepare(config.data)
        return load_images(config.data)
    except DataError as error:
        raise ConfigError(f"{error}; data_root= points elsewhere") from None
