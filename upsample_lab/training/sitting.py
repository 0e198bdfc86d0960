"""One sitting of a training, from its start or a checkpoint to its end or a signal: all that it measures and writes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from upsample_lab.catalogue import described, facts_of
from upsample_lab.runs import checkpoint
from upsample_lab.runs.directory import RunDirectory
from upsample_lab.runs.files import replacing
from upsample_lab.tasks.base import Findings, NotFiniteOutput
from upsample_lab.training.display import Display
from upsample_lab.training.failure import TrainingFailed
from upsample_lab.training.state import Training, on_writer
from upsample_lab.training.tracking import SilentTracker, Tracker


class Sitting:
    """`with Sitting(…) as sitting:` — reports, validations and checkpoints of a training, into the run's directory."""

    def __init__(self, training: Training, run: RunDirectory, display: Display, *, resumed: bool) -> None:
        self.training, self.directory, self.display = training, run, display
        self.world, self.task, self.progress = training.world, training.task, training.progress
        self.best = f"val/{self.task.best}"
        self.watch = Stopwatch(self.progress.seconds)
        self._resume_step = self.progress.step if resumed else None
        self._stack = ExitStack()

    def __enter__(self) -> Sitting:
        if self.world.is_writer:
            trained = self._resume_step == self.training.schedule.steps
            self.tracker = self._stack.enter_context(Tracker(self.directory.path, self._resume_step, trained=trained))
        else:
            self.tracker = SilentTracker()
        if self.tracker.repaired:
            self.display.warn(self.tracker.repaired)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def save(self) -> None:
        """A checkpoint, after all that was reported is safe."""
        if not self.world.is_writer:
            return
        self.training.sums.check()
        self.directory.check_held()
        self.progress.seconds = self.watch.total()
        self.tracker.sync()
        self.training.save(self.directory.checkpoints)
        self.watch.saved()

    def checkpoint_is_due(self) -> bool:
        schedule = self.training.schedule
        return schedule.saves_at(self.progress.step) or self.watch.since_save() > schedule.trainer.checkpoint_every_sec

    def report(self, rate: float) -> None:
        figures = self.training.sums.take()  # waits for the device, so that the time below is that of finished steps
        steps, seconds = self.watch.reported(self.progress.step)
        figures |= {"optim/lr": rate, "speed/images_per_sec": steps * self.task.batch_size / seconds}
        self.tracker.report(self.progress.step, figures, time_sec=self.watch.total())
        self.display.reported(figures)

    @on_writer
    def validate(self) -> None:
        self.training.sums.check()  # bad numbers are told by the step that made them, not by what follows from it
        with self.watch.paused():
            found, step = self._evaluated("val", draw=True), self.progress.step
            self.tracker.report(step, found.figures, time_sec=self.watch.total())
            self._show(found.pictures)
            headlines = [key.replace("test/", "val/") for key in facts_of(self.task.name).shown]
            self.display.validated(step, self.training.schedule.steps_per_epoch, found.figures, headlines)
            value = found.figures[self.best]
            if self._is_better(value):
                self.progress.best_value, self.progress.best_step = value, step
                tensors = checkpoint.model_tensors(self.training.model)
                checkpoint.save(self.directory.checkpoints / checkpoint.BEST, tensors, {"step": step, self.best: value})

    def _is_better(self, value: float) -> bool:
        if self.progress.best_value is None or math.isnan(self.progress.best_value):
            return True
        metric = described(self.best)
        ahead = value - self.progress.best_value
        return ahead > 0 if metric is None or metric.higher_is_better else ahead < 0

    def _evaluated(self, split: str, *, draw: bool = False) -> Findings:
        try:
            return self.task.evaluate(self.training.models, split, draw=draw)
        except NotFiniteOutput as error:
            raise TrainingFailed(str(error)) from None

    def _show(self, pictures: Mapping[str, np.ndarray]) -> None:
        """In TensorBoard, and one of them as a PNG of its own."""
        for name, picture in pictures.items():
            self.tracker.image(name, picture, self.progress.step)
        if (saved := pictures.get(self.task.saved_picture)) is not None:
            self.directory.reconstructions.mkdir(exist_ok=True)
            with replacing(self.directory.reconstructions / f"step-{self.progress.step:08d}.png") as temporary:
                Image.fromarray(saved).save(temporary, format="PNG")

    @on_writer
    def finish(self) -> dict[str, Any]:
        """Judge the best weights by images that chose nothing."""
        steps = self.training.schedule.steps
        if self.progress.best_step != steps:  # else they are the weights at hand
            tensors, _ = checkpoint.load(self.directory.checkpoints / checkpoint.BEST)
            checkpoint.restore_model(self.training.model, tensors)
        found = self._evaluated("test")
        if found.kept:
            checkpoint.save(self.directory.test_images, found.kept, {})
        tests = {name: value for name, value in found.figures.items() if name.startswith("test/")}
        self.tracker.report(steps, tests, time_sec=self.watch.total())
        return {
            "steps": steps,
            "best_step": self.progress.best_step,
            "parameters": sum(parameter.numel() for parameter in self.training.model.parameters()),
            **self.task.costs(self.training.models),
            **found.figures,
            self.best: self.progress.best_value,
            "seconds": round(self.watch.total(), 2),
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
