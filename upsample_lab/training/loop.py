"""A training on one page: what it is built of, and how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from upsample_lab.config import TrainConfig
from upsample_lab.data import ImageSets
from upsample_lab.device import Where, keep_freed_memory, place
from upsample_lab.models import build_model
from upsample_lab.models.distributed_norm import share_statistics
from upsample_lab.objectives import objective_of
from upsample_lab.runs.directory import RunDirectory
from upsample_lab.tasks import Models, Setting, Task, make_task
from upsample_lab.training.display import Display
from upsample_lab.training.failure import explained
from upsample_lab.training.optimizer import make_optimizer
from upsample_lab.training.parallel import World
from upsample_lab.training.schedule import Schedule
from upsample_lab.training.sitting import Sitting
from upsample_lab.training.state import Player, Training
from upsample_lab.training.stopping import StopRequest


def build_task(
    config: TrainConfig, images: ImageSets, where: Where, part: tuple[int, int] = (0, 1)
) -> tuple[Task, Models]:
    """The task of a configuration and its models: all that the seed decides, in its place in memory."""
    trainer = config.trainer
    setting = Setting(
        images, where, objective_of(trainer), config.seed, trainer.batch_size, config.model.total_stride, part,
        bf16=trainer.precision == "bf16", shown_count=trainer.reconstruction_count,
    )  # fmt: skip
    task = make_task(config.task, setting)
    models = task.models(partial(build_model, config.model, config.upsample, config.conv, seed=config.seed))
    return task, {name: place(model, where) for name, model in models.items()}


def build(config: TrainConfig, images: ImageSets, where: Where, world: World | None = None) -> Training:
    """A training at its first step. Raises `ValueError` where its parts do not fit together."""
    world = world or World()
    keep_freed_memory()
    task, models = build_task(config, images, where, (world.rank, world.size))
    if world.size > 1:
        for model in models.values():
            share_statistics(model, world.gather)
    return Training(
        task,
        [Player(name, model, make_optimizer(config.optim, model)) for name, model in models.items()],
        Schedule(config.trainer, config.optim, task.steps_per_epoch),
        seed=config.seed,
        world=world,
        max_norm=config.optim.clip_grad_norm,
        compiled=config.trainer.compile,
    )


def fit(
    training: Training, run: RunDirectory, display: Display, stop: StopRequest, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Train from the last checkpoint, where there is one, to the end; returns the final figures.

    `settings` are those that tell the run from others, for TensorBoard's table.

    Raises `TrainingFailed` when numbers are no longer finite, `Interrupted` after a signal (the state is saved by
    then), and `DamagedCheckpoint` when no checkpoint of a started run is whole.
    """
    world, schedule = training.world, training.schedule

    # ---- Restore: the same state as if the run had never stopped -----------------------------------------------------
    for model in training.models.values():
        world.equalise(model.state_dict().values())
    warnings = training.restore(run.checkpoints)
    resumed = warnings is not None
    if warnings is not None:
        display.resumed(training.progress.step, schedule.steps, warnings)
    progress = training.progress
    alone = explained(training, run.checkpoints, display.say) if world.size == 1 else nullcontext()

    bar = display.progress(schedule.steps, progress.step)
    with Sitting(training, run, display, resumed=resumed) as sitting, bar, alone:
        # ---- Begin: an artifact may be there at birth ----------------------------------------------------------------
        if not resumed:
            sitting.tracker.begin(settings)
            sitting.validate()
            sitting.save()
        sitting.watch.reported(progress.step)

        # ---- Loop ----------------------------------------------------------------------------------------------------
        while progress.step < schedule.steps:
            rate = training.step()
            progress.step += 1
            if schedule.reports_at(progress.step):
                sitting.report(rate)
            if schedule.validates_at(progress.step):
                sitting.validate()
                sitting.save()
            elif stop.requested or sitting.checkpoint_is_due():
                sitting.save()
            display.stepped(progress.step)
            stop.check()

        # ---- Finish: the best weights, judged by images that chose nothing -------------------------------------------
        figures = sitting.finish()
        sitting.tracker.end(settings)
        return figures
