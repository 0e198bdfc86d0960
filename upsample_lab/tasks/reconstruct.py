"""`task=reconstruct`: an image goes in, and the same image is wanted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from upsample_lab.catalogue import TASKS
from upsample_lab.data import BatchLoader, eval_batches
from upsample_lab.drawing.pictures import flat_window_picture, kernel_grid, reconstruction_grid, uniform_picture
from upsample_lab.metrics import QualityMeter
from upsample_lab.models import Autoencoder, decoder_parameter_count, macs_per_image
from upsample_lab.objectives import reconstruction_loss
from upsample_lab.registry import PARTS, Part
from upsample_lab.settings import ConfigError
from upsample_lab.tasks.base import Batch, Findings, Models, NotFiniteOutput, Setting, Task
from upsample_lab.tasks.each_image import EachImage
from upsample_lab.tasks.patterns import constant_artifacts, evaluating, uniform_artifacts, uniform_outputs

EVALUATION_BATCH = 256


def autoencoder(models: Models) -> Autoencoder:
    """The task's one player."""
    (model,) = models.values()
    assert isinstance(model, Autoencoder)
    return model


@torch.no_grad()
def quality(task: Task, models: Models, split: str, draw: bool) -> Findings:
    """Loss, quality and artifact figures, exact over all images of the split, in float32; and of the test images what
    `EachImage` keeps."""
    setting, model = task.setting, autoencoder(models)
    images = images_of(setting, split)
    meter, each = QualityMeter(setting.period), EachImage() if split == "test" else None
    own: dict[str, Any] = {}
    loss_sum = torch.zeros((), dtype=torch.float64, device=setting.where.device)
    with evaluating(model):
        for batch in eval_batches(images, EVALUATION_BATCH, **setting.where._asdict()):
            raw = model.raw(batch)
            output = model.finish(raw)
            scores = meter.update(output, batch)
            if each is not None:
                each.add(output, batch, scores)
            for name, part in PARTS["metric"].items():
                own[name] = own.get(name, 0.0) + _scores_of(part, output, batch).double().sum()
            loss_sum += reconstruction_loss(setting.objective.main, model, raw, batch).double() * len(batch)
    if not loss_sum.isfinite():
        raise NotFiniteOutput
    figures = {"loss": loss_sum.item() / len(images), **meter.compute()}
    figures |= {name: float(total) / len(images) for name, total in own.items()}
    found = Findings({f"{split}/{name}": value for name, value in figures.items()})
    windows = meter.flat_windows.worst()
    if draw and windows:
        found.pictures["artifacts/flat_window"] = flat_window_picture(**windows)
    if each is not None:
        found.kept = each.tensors() | {f"flat_window_{name}": tensor for name, tensor in windows.items()}
    return found


def _scores_of(part: Part, output: Tensor, target: Tensor) -> Tensor:
    """What a plugin's metric says of each image, `[N]`. Raises `ConfigError` where it says anything else."""
    scores = torch.as_tensor(part.make(output, target))
    if scores.shape != (len(output),):
        raise ConfigError(
            f"metric {part.name} of {part.module}: must return one number an image, [{len(output)}], "
            f"got {list(scores.shape)}"
        )
    return scores


def own_patterns(task: Task, models: Models, split: str, draw: bool) -> Findings:
    """The pattern that the model leaves of its own accord: on the mean latent, and on uniform images."""
    setting, model = task.setting, autoencoder(models)
    constant = constant_artifacts(model, setting.images.validation, setting.period, setting.where)
    outputs = uniform_outputs(model, setting.images.image_shape, setting.period, setting.where)
    uniform = uniform_artifacts(outputs, setting.period)
    figures = {f"constant/{name}": value for name, value in constant.items()}
    figures |= {f"uniform/{name}": value for name, value in uniform.items()}
    pictures = {"artifacts/uniform": uniform_picture(outputs, uniform)} if draw else {}
    return Findings(figures, pictures, {"uniform_outputs": outputs} if split == "test" else {})


@torch.no_grad()
def pictures(task: Task, models: Models, split: str, draw: bool) -> Findings:
    """Reconstructions of the same first images every time, and the decoder's kernels."""
    if not draw:
        return Findings()
    setting, model = task.setting, autoencoder(models)
    inputs = next(eval_batches(images_of(setting, split), setting.shown_count, **setting.where._asdict()))
    with evaluating(model):
        drawn = {"reconstructions": reconstruction_grid(inputs, model(inputs))}
    drawn |= {f"kernels/{place}": kernel_grid(weight) for place, weight in model.decoder_kernels().items()}
    return Findings(pictures=drawn)


def images_of(setting: Setting, split: str) -> Tensor:
    return setting.images.test if split == "test" else setting.images.validation


class Reconstruct(Task):
    """One autoencoder, whose output is compared with its input."""

    best = TASKS["reconstruct"].best
    evaluators = (quality, own_patterns, pictures)

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        where, images = setting.where._asdict(), setting.images.train
        self._loader = BatchLoader(images, setting.batch_size, setting.seed, part=setting.part, **where)
        self.steps_per_epoch, self.batch_size = self._loader.steps_per_epoch, self._loader.batch_size

    def batch(self, step: int) -> Batch:
        images = self._loader.batch(step)
        return Batch(images, images)

    def losses(self, models: Models, batch: Batch, player: str) -> dict[str, Tensor]:
        model: Any = models[player]  # perhaps its compiled form
        with self.setting.autocast():
            raw = model.raw(batch.input)
        return self.setting.objective.terms(model, raw, batch.target)

    def costs(self, models: Models) -> dict[str, Any]:
        model = autoencoder(models)
        return {
            "decoder_parameters": decoder_parameter_count(model),
            "macs_per_image": macs_per_image(model, self.setting.images.image_shape),
        }
