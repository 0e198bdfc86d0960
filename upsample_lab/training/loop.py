"""The training loop: initialise, restore, loop, finish."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from upsample_lab.config import TrainConfig
from upsample_lab.data import BatchLoader, ImageSets
from upsample_lab.models import Autoencoder, ConvolutionalAutoencoder, decoder_parameter_count, macs_per_image
from upsample_lab.models.distributed_norm import share_statistics
from upsample_lab.runs import checkpoint
from upsample_lab.runs.directory import RunDirectory
from upsample_lab.runs.files import replacing
from upsample_lab.training.device import Where, place
from upsample_lab.training.diagnosis import explained
from upsample_lab.training.display import Display
from upsample_lab.training.each_image import EachImage
from upsample_lab.training.evaluation import evaluate
from upsample_lab.training.losses import objective
from upsample_lab.training.memory import keep_freed_memory
from upsample_lab.training.optimizer import make_optimizer
from upsample_lab.training.parallel import World
from upsample_lab.training.patterns import (
    artifact_pictures,
    constant_artifacts,
    evaluating,
    uniform_artifacts,
    uniform_outputs,
)
from upsample_lab.training.pictures import kernel_grid, reconstruction_grid
from upsample_lab.training.schedule import learning_rate, total_steps, validates_at
from upsample_lab.training.stopping import StopRequest
from upsample_lab.training.sums import Sums, TrainingFailed
from upsample_lab.training.tracking import SilentTracker, Tracker


@dataclasses.dataclass
class Progress:
    """What a resumed training must know beside its tensors."""

    step: int = 0  # finished steps
    best_step: int = 0
    best_psnr_db: float = float("-inf")
    seconds: float = 0.0  # of all sittings together

    @classmethod
    def of(cls, state: dict[str, Any], steps: int) -> Progress:
        """From a checkpoint of a training of so many steps. Raises `TypeError` where it cannot be from one."""
        progress = cls(**state)
        numbers = (progress.step, progress.best_step, progress.best_psnr_db, progress.seconds)
        counts = all(type(count) is int and 0 <= count <= steps for count in numbers[:2])
        if not counts or not all(type(number) in (int, float) for number in numbers):
            raise TypeError(f"its progress is {state}, of {steps} steps")
        return progress


class Parts(NamedTuple):
    """What a training is put together from."""

    images: ImageSets
    model: Autoencoder
    where: Where


class Training:
    """One training of one configuration, from its last checkpoint where there is one.

    `run()` returns the final figures. It raises `TrainingFailed` when numbers are no longer finite, `Interrupted` after
    a signal (the state is saved by then), and `DamagedCheckpoint` when no checkpoint of a started run is whole.
    """

    def __init__(
        self, config: TrainConfig, parts: Parts, run: RunDirectory, display: Display, world: World | None = None
    ) -> None:
        # ---- Initialise: all that the seed decides -------------------------------------------------------------------
        trainer, images = config.trainer, parts.images
        self.config, self.trainer, self.images, self.where = config, trainer, images, parts.where
        self.directory, self.display, self.world = run, display, world or World()
        if self.world.size > 1:
            share_statistics(parts.model, self.world.gather)
        keep_freed_memory()
        self.model = place(parts.model, self.where)
        self.world.equalise(self.model.state_dict().values())
        self.raw = torch.compile(self.model.raw) if trainer.compile else self.model.raw
        self.optimizer = make_optimizer(config.optim, self.model)
        part = (self.world.rank, self.world.size)
        self.loader = BatchLoader(images.train, trainer.batch_size, config.seed, part=part, **self.where._asdict())
        self.steps = total_steps(trainer, self.loader.steps_per_epoch)
        self.sums = Sums(self.where.device)
        self.progress = Progress()
        warnings = self.restore()
        self.resumed = warnings is not None
        if warnings is not None:
            display.resumed(self.progress.step, self.steps, warnings)
        self.watch = Stopwatch(self.progress.seconds)

    # ---- Restore: the same state as if the run had never stopped -----------------------------------------------------

    def restore(self) -> list[str] | None:
        """Take the last good checkpoint's state; returns warnings of damaged ones, or None where there is none."""
        saved = self.world.on_writer(lambda: checkpoint.load_last(self.directory.checkpoints))
        if saved is None:
            return None
        tensors, state, warnings = saved
        try:
            checkpoint.restore_model(self.model, tensors)
            self.optimizer.restore(tensors)
            self.sums.values.copy_(tensors["sums"])
            self.progress = Progress.of(state, self.steps)
        except (KeyError, TypeError, RuntimeError) as error:
            raise checkpoint.misfit(self.directory.checkpoints, error) from None
        return warnings

    def save(self, tracker: Tracker) -> None:
        """Write a checkpoint, unless its numbers are bad: then the one before it stays the last good one."""
        if not self.world.is_writer:
            return
        self.sums.check()
        self.directory.check_held()
        self.progress.seconds = self.watch.total()
        tensors = {**checkpoint.model_tensors(self.model), **self.optimizer.tensors()}
        tensors["sums"] = self.sums.values
        if not checkpoint.all_finite(tensors):
            raise TrainingFailed(f"the weights are not finite after step {self.progress.step}")
        tracker.sync()
        checkpoint.save_last(self.directory.checkpoints, tensors, dataclasses.asdict(self.progress))
        self.watch.saved()

    # ---- Loop --------------------------------------------------------------------------------------------------------

    def run(self, stop: StopRequest) -> dict[str, Any]:
        progress, trainer = self.progress, self.trainer
        resume_step = progress.step if self.resumed else None
        with (
            self.tracker(resume_step) as tracker,
            self.display.progress(self.steps, progress.step),
            explained(self) if self.world.size == 1 else nullcontext(),  # of several processes one may fail alone
        ):
            if tracker.repaired:
                self.display.warn(tracker.repaired)
            if not self.resumed:
                tracker.begin(self.config)
                self.world.on_writer(lambda: self.validate(tracker))  # an artifact may be there at birth
                self.save(tracker)
            self.watch.reported(progress.step)
            while progress.step < self.steps:
                rate = self.step()
                progress.step += 1
                if progress.step % trainer.log_every_steps == 0 or progress.step == self.steps:
                    self.report(tracker, rate)
                if validates_at(progress.step, trainer, self.loader.steps_per_epoch, self.steps):
                    self.world.on_writer(lambda: self.validate(tracker))
                    self.save(tracker)
                elif stop.requested or self.checkpoint_is_due():
                    self.save(tracker)
                self.display.stepped(progress.step)
                stop.check()
            return self.world.on_writer(lambda: self.finish(tracker))

    def tracker(self, resume_step: int | None) -> Tracker:
        if not self.world.is_writer:
            return SilentTracker()
        return Tracker(self.directory.path, resume_step, trained=resume_step == self.steps)

    def checkpoint_is_due(self) -> bool:
        every = self.trainer.checkpoint_every_steps
        by_steps = every is not None and self.progress.step % every == 0
        return by_steps or self.watch.since_save() > self.trainer.checkpoint_every_sec

    def step(self) -> float:
        """One step of gradient descent; returns its learning rate."""
        config, step = self.config, self.progress.step
        rate = learning_rate(config.optim, step / self.steps)
        torch.manual_seed(step_seed(config.seed, step))
        batch = self.loader.batch(step)
        with torch.autocast(self.where.device.type, torch.bfloat16, enabled=self.trainer.precision == "bf16"):
            raw = self.raw(batch)
        total, loss = objective(self.trainer, self.model, raw, batch)
        self.optimizer.zero_grad()
        total.backward()
        loss = self.world.average(self.optimizer.parameters, loss)
        grad_norm = self.optimizer.clip_gradients(config.optim.clip_grad_norm)
        self.optimizer.step(rate)
        self.sums.add(step, loss, grad_norm)
        return rate

    def report(self, tracker: Tracker, rate: float) -> None:
        figures = self.sums.take()  # waits for the device, so that the time below is that of finished steps
        steps, seconds = self.watch.reported(self.progress.step)
        figures |= {"optim/lr": rate, "speed/images_per_sec": steps * self.loader.batch_size / seconds}
        tracker.report(self.progress.step, figures, time_sec=self.watch.total())
        self.display.reported(figures)

    # ---- Validate ----------------------------------------------------------------------------------------------------

    def validate(self, tracker: Tracker) -> None:
        self.sums.check()  # bad numbers are told by the step that made them, not by what follows from it
        with self.watch.paused():
            progress = self.progress
            figures, pictures = self.evaluate(self.images.validation, "val")
            tracker.report(progress.step, figures, time_sec=self.watch.total())
            self.draw(tracker, pictures)
            self.display.validated(progress.step, self.loader.steps_per_epoch, figures)
            if figures["val/psnr_db"] > progress.best_psnr_db:
                progress.best_psnr_db, progress.best_step = figures["val/psnr_db"], progress.step
                best = self.directory.checkpoints / checkpoint.BEST
                state = {"step": progress.step, "val/psnr_db": progress.best_psnr_db}
                checkpoint.save(best, checkpoint.model_tensors(self.model), state)

    def evaluate(
        self, images: torch.Tensor, name: str, each: EachImage | None = None
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """All figures on a set, and the pictures of the patterns that they measure."""
        period, where = self.config.model.total_stride, self.where
        windows: dict[str, torch.Tensor] = {}
        figures = evaluate(self.model, images, self.trainer.loss, period, where, each, windows)
        artifacts = constant_artifacts(self.model, self.images.validation, period, where)
        uniform = uniform_outputs(self.model, self.images.image_shape, period, where)
        if each is not None:
            each.keep(uniform_outputs=uniform, **{f"flat_window_{part}": tensor for part, tensor in windows.items()})
        named = {
            **{f"{name}/{key}": value for key, value in figures.items()},
            **{f"constant/{key}": value for key, value in artifacts.items()},
            **{f"uniform/{key}": value for key, value in uniform_artifacts(uniform, period).items()},
        }
        return named, artifact_pictures(uniform, windows, period)

    @torch.no_grad()
    def draw(self, tracker: Tracker, pictures: Mapping[str, np.ndarray]) -> None:
        """Reconstructions of the same validation images every time, as a PNG and in TensorBoard; the decoder's patterns
        and kernels there."""
        step = self.progress.step
        inputs = self.images.validation[: self.trainer.reconstruction_count].to(self.where.device).float() / 255
        with evaluating(self.model):
            grid = reconstruction_grid(inputs, self.model(inputs))
        tracker.image("reconstructions", grid, step)
        for name, picture in pictures.items():
            tracker.image(f"artifacts/{name}", picture, step)
        self.directory.reconstructions.mkdir(exist_ok=True)
        with replacing(self.directory.reconstructions / f"step-{step:08d}.png") as temporary:
            Image.fromarray(grid).save(temporary, format="PNG")
        if isinstance(self.model, ConvolutionalAutoencoder):
            for place, weight in self.model.decoder_kernels().items():
                tracker.image(f"kernels/{place}", kernel_grid(weight), step)

    # ---- Finish: the best weights, judged by images that chose nothing -----------------------------------------------

    def finish(self, tracker: Tracker) -> dict[str, Any]:
        if self.progress.best_step != self.steps:  # else they are the weights at hand
            tensors, _ = checkpoint.load(self.directory.checkpoints / checkpoint.BEST)
            checkpoint.restore_model(self.model, tensors)
        each = EachImage()
        figures, _ = self.evaluate(self.images.test, "test", each)
        each.save(self.directory.test_images)
        tests = {name: value for name, value in figures.items() if name.startswith("test/")}
        tracker.report(self.steps, tests, time_sec=self.watch.total())
        tracker.end(self.config)
        seconds = self.watch.total()
        return {
            "steps": self.steps,
            "best_step": self.progress.best_step,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "decoder_parameters": decoder_parameter_count(self.model),
            "macs_per_image": macs_per_image(self.model, self.images.image_shape),
            **figures,
            "val/psnr_db": self.progress.best_psnr_db,
            "seconds": round(seconds, 2),
        }


class Stopwatch:
    """The clock of one sitting: time since the last report, since the last checkpoint, and of all sittings."""

    def __init__(self, seconds_before: float) -> None:
        self._start = time.monotonic() - seconds_before
        self._saved_at = self._reported_at = time.monotonic()
        self._reported_step = 0

    def total(self) -> float:
        return time.monotonic() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside does not count as time of the steps since the last report."""
        entered = time.monotonic()
        yield
        self._reported_at += time.monotonic() - entered

    def saved(self) -> None:
        self._saved_at = time.monotonic()

    def since_save(self) -> float:
        return time.monotonic() - self._saved_at

    def reported(self, step: int) -> tuple[int, float]:
        """Steps and seconds since the last report, which this one becomes."""
        now = time.monotonic()
        passed = step - self._reported_step, now - self._reported_at
        self._reported_step, self._reported_at = step, now
        return passed


def step_seed(seed: int, step: int) -> int:
    """The seed of whatever a step draws, so that a resumed run draws the same."""
    key = hashlib.sha256(f"step {seed} {step}".encode()).digest()
    return int.from_bytes(key[:8], "big") >> 1
