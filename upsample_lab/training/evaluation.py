"""A model's figures on a set of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from upsample_lab.config import EvaluateConfig, TrainConfig, read_train_config
from upsample_lab.data import DataError, ImageSets, eval_batches, load_images, prepare
from upsample_lab.metrics import LEVELS, QualityMeter, image_artifacts, pattern_levels
from upsample_lab.models import Autoencoder, ConvolutionalAutoencoder, build_model
from upsample_lab.settings import ConfigError, option_values
from upsample_lab.training import checkpoint
from upsample_lab.training.device import MEMORY_FORMATS, Where, choose_device, place
from upsample_lab.training.each_image import EachImage
from upsample_lab.training.files import replacing
from upsample_lab.training.losses import reconstruction_loss
from upsample_lab.training.pictures import pattern_grid, reconstruction_grid
from upsample_lab.training.sums import TrainingFailed

EVALUATION_BATCH = 256
OWN_SETTINGS = {"mirrors", "timeout_sec", "cache_dir"}  # never from a run's directory, which may be a stranger's
PROBE_IMAGES = 64
GREYS = (0, 64, 128, 192, 255)
"""Levels of the uniform images that are reconstructed."""
BORDER_PERIODS = 16
"""Border of a canvas: 16 pixels of the latent, each way. Kernels of 9 in three stages reach 4 + 2 + 1 + … of them."""


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
    loss_sum = torch.zeros((), dtype=torch.float64, device=where.device)
    with evaluating(model):
        for batch in eval_batches(images, EVALUATION_BATCH, **where._asdict()):
            raw = model.raw(batch)
            output = model.finish(raw)
            scores = meter.update(output, batch)
            if each is not None:
                each.add(output, batch, scores)
            loss_sum += reconstruction_loss(loss, model, raw, batch).double() * len(batch)
    if not loss_sum.isfinite():
        raise TrainingFailed("the model's outputs are not finite; try a smaller optim.lr")
    if windows is not None:
        windows |= meter.flat_windows.worst()
    return {"loss": loss_sum.item() / len(images), **meter.compute()}


@torch.no_grad()
def constant_artifacts(model: Autoencoder, images: Tensor, period: int, where: Where) -> dict[str, float]:
    """Artifact figures of what the decoder makes of a constant: there is nothing in it but the decoder's own pattern.

    The constant is the mean latent, channel by channel, of the first images, so that the decoder works where it is
    used to, on a canvas that keeps its middle, one image large, out of the borders' reach. Empty for models whose
    decoder has no phases, or needs the encoder's guide.
    """
    if not isinstance(model, ConvolutionalAutoencoder) or model.needs_guide:
        return {}
    with evaluating(model):
        probe = next(eval_batches(images, PROBE_IMAGES, **where._asdict()))
        latent, _ = model.encode(probe)
        height, width = probe.shape[-2:]
        canvas = (_canvas_px(height, period) // period, _canvas_px(width, period) // period)
        constant = latent.mean(dim=(0, 2, 3), keepdim=True).expand(1, -1, *canvas)
        response = _middle(model.decode(constant.contiguous()), (height, width), period)
    figures = image_artifacts(response, period)
    del figures["dc_phase_variation"]  # relative: in a trained model its divisor may be next to nothing
    return {**_pattern(response, period), **figures}


@torch.no_grad()
def uniform_outputs(model: Autoencoder, image_shape: tuple[int, int, int], period: int, where: Where) -> Tensor:
    """What the model makes of uniform images of each of `GREYS`, `[5, C, H, W]` float32 in 0…1, on the CPU.

    A model that takes images of any size gets a larger one, of which the middle, of the images' own size, is returned:
    what borders do is a defect of another kind. A model of one size gets that size.
    """
    channels, height, width = image_shape
    free = isinstance(model, ConvolutionalAutoencoder)
    rows, columns = (_canvas_px(height, period), _canvas_px(width, period)) if free else (height, width)
    greys = torch.tensor(GREYS, dtype=torch.float32, device=where.device) / LEVELS
    outputs = []
    with evaluating(model):
        for grey in greys:  # one at a time: a canvas has the memory of many images
            image = grey.expand(1, channels, rows, columns).contiguous(memory_format=where.memory_format)
            outputs.append(_middle(model(image), (height, width), period).float().cpu())
    return torch.cat(outputs)


def uniform_artifacts(outputs: Tensor, period: int) -> dict[str, float]:
    """The pattern of the reconstructions of uniform images, `uniform_outputs`, in grey levels: whole and by grey.

    Empty for images below two periods, in which nothing can be seen to repeat.
    """
    by_grey = [_pattern(output[None], period) for output in outputs]
    greys = {
        f"grey{grey}_rms_levels": own["pattern_rms_levels"] for grey, own in zip(GREYS, by_grey, strict=True) if own
    }
    return {**_pattern(outputs, period), **greys}


def _pattern(images: Tensor, period: int) -> dict[str, float]:
    return pattern_levels(images, period).figures() if min(images.shape[-2:]) >= 2 * period else {}


def _canvas_px(size: int, period: int) -> int:
    """A side that is a multiple of the period, with a border of at least `BORDER_PERIODS` periods around `size`."""
    return -(-size // period) * period + 2 * BORDER_PERIODS * period


def _middle(images: Tensor, size: tuple[int, int], period: int) -> Tensor:
    begin = BORDER_PERIODS * period if images.shape[-1] > size[1] else 0
    return images[..., begin : begin + size[0], begin : begin + size[1]]


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode inside, and in its former mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def evaluate_run(config: EvaluateConfig) -> tuple[dict[str, Any], list[Path]]:
    """Figures of a run's best checkpoint, and the pictures that are written beside it: reconstructions, and patterns.

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
        drawn = {"": reconstruction_grid(inputs, model(inputs)), **artifact_pictures(uniform, windows)}
    pictures = {folder / f"evaluation-{config.images}{_suffix(name)}.png": grid for name, grid in drawn.items()}
    for path, grid in pictures.items():
        with replacing(path) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    named = {f"test/{name}": value for name, value in figures.items()}
    named |= {f"constant/{name}": value for name, value in artifacts.items()}
    named |= {f"uniform/{name}": value for name, value in uniform_artifacts(uniform, period).items()}
    return {"run": folder.name, "parameters": parameters, "steps": state.get("step"), **named}, list(pictures)


def artifact_pictures(uniform: Tensor, windows: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Pictures by name: `uniform`, the reconstructions of uniform images, and `flat_window`, the flat windows of real
    images with the strongest pattern, where there are any. True, and with their contrast stretched."""
    pictures = {"uniform": pattern_grid([("uniform", uniform)])}
    if windows:
        pictures["flat_window"] = pattern_grid([("input", windows["target"]), ("output", windows["output"])])
    return pictures


def _suffix(name: str) -> str:
    return f"-{name}" if name else ""


def _images(config: TrainConfig) -> ImageSets:
    try:
        prepare(config.data)
        return load_images(config.data)
    except DataError as error:
        raise ConfigError(f"{error}; data_root= points elsewhere") from None
