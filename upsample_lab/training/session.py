"""One run from its configuration to its outcome: images, directory, lock, training, status."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_lab.config import TrainConfig, check_values, load_option
from upsample_lab.settings import ConfigError
from upsample_lab.training.display import Display
from upsample_lab.training.run import COMPLETE, FAILED, INTERRUPTED, RUNNING, RunDirectory, run_path
from upsample_lab.training.stopping import Interrupted, StopRequest

if TYPE_CHECKING:  # a finished run is answered without importing torch
    from upsample_lab.training.loop import Parts


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `state` is that of its status file; `trained` is False where the result was there already."""

    path: Path
    state: str
    trained: bool
    summary: dict[str, Any] | None = None
    reason: str | None = None
    exit_status: int = 0


def run_training(config: TrainConfig, display: Display, command: str) -> Outcome:
    """Train, resume or skip the run of a configuration; `command` repeats it and is kept in its capsule.

    Raises `ConfigError` for what the user must mend, before anything is written; `RunHeld` while another process has
    the run. A training that fails or is interrupted is an outcome, not an exception.
    """
    done = _finished(config)
    if done is None:
        config = with_available_data(config, display)
        done = _finished(config)
    if done is not None:
        return done
    parts = _assemble(config)
    run = RunDirectory(run_path(config))
    with run.locked(), StopRequest() as stop:
        if run.status()["state"] == COMPLETE:  # another process was quicker
            return Outcome(run.path, COMPLETE, trained=False, summary=run.summary())
        return _train(config, parts, run, display, stop, command)


def _finished(config: TrainConfig) -> Outcome | None:
    run = RunDirectory(run_path(config))
    if run.status()["state"] != COMPLETE or (summary := run.summary()) is None:
        return None
    return Outcome(run.path, COMPLETE, trained=False, summary=summary)


def with_available_data(config: TrainConfig, display: Display) -> TrainConfig:
    """The configuration with the dataset that is really there: its own, or its fallback with a warning.

    Downloads what is missing. Raises `ConfigError` where there is neither.
    """
    from upsample_lab.data import DataError, prepare

    try:
        prepared = prepare(config.data)
    except DataError as error:
        raise ConfigError(str(error)) from None
    if prepared.name == config.data.name:
        return config
    display.warn(f"{prepared.reason}. Training on {prepared.name} instead; the run's name says so.")
    data = dataclasses.replace(load_option("data", prepared.name), limit=config.data.limit)
    fallen_back = dataclasses.replace(config, data=data)
    check_values(fallen_back)
    return fallen_back


def with_available_data_each(grid: Sequence[TrainConfig], display: Display) -> list[TrainConfig]:
    """`with_available_data` for a sweep: each dataset is looked for, and its absence told, once."""
    first_with = {repr(config.data): config for config in reversed(grid)}
    found = {data: with_available_data(config, display).data for data, config in first_with.items()}
    return [dataclasses.replace(config, data=found[repr(config.data)]) for config in grid]


def _assemble(config: TrainConfig) -> Parts:
    """Images, model and device, before anything is written: what cannot be put together is the user's to mend."""
    from upsample_lab.data import DataError, load_images
    from upsample_lab.models import build_model
    from upsample_lab.training.device import MEMORY_FORMATS, Where, choose_device, use_threads
    from upsample_lab.training.loop import Parts

    try:
        use_threads(config.trainer.threads)
        where = Where(choose_device(config.trainer.device), MEMORY_FORMATS[config.trainer.memory_format])
        images = load_images(config.data)
        model = build_model(config.model, config.upsample, config.conv, images.image_shape, config.seed)
    except (DataError, ValueError) as error:
        raise ConfigError(str(error)) from None
    return Parts(images, model, where)


def _train(
    config: TrainConfig, parts: Parts, run: RunDirectory, display: Display, stop: StopRequest, command: str
) -> Outcome:
    from upsample_lab.training.capsule import capsule
    from upsample_lab.training.checkpoint import DamagedCheckpoint
    from upsample_lab.training.device import slow_precision
    from upsample_lab.training.files import write_json, write_text
    from upsample_lab.training.loop import Training
    from upsample_lab.training.sums import TrainingFailed

    slow = slow_precision(config.trainer.precision, parts.where.device)
    for note in [*parts.images.notes, *([slow] if slow else [])]:
        display.warn(note)
    parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    display.say(f"{run.path.name}: {len(parts.images.train):,} images, {parameters:,} parameters, {parts.where.device}")
    run.set_status(RUNNING)
    try:
        run.write_config(config)
        write_json(run.path / "capsule.json", capsule(parts.where.device, parts.images, command))
        figures = Training(config, parts, run, display).run(stop)
    except Interrupted as stopped:
        run.set_status(INTERRUPTED, str(stopped))
        return Outcome(run.path, INTERRUPTED, True, reason=str(stopped), exit_status=stopped.exit_status)
    except (TrainingFailed, DamagedCheckpoint) as error:
        run.set_status(FAILED, str(error))
        return Outcome(run.path, FAILED, True, reason=str(error), exit_status=1)
    except Exception as error:
        write_text(run.path / "error.log", traceback.format_exc())
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        run.set_status(FAILED, reason)
        return Outcome(run.path, FAILED, True, reason=f"{reason}; details in {run.path / 'error.log'}", exit_status=1)
    summary = {
        "data": parts.images.name,
        "upsample": config.upsample.name,
        "model": config.model.name,
        "seed": config.seed,
    }
    run.write_summary(summary | figures)
    run.set_status(COMPLETE)
    return Outcome(run.path, COMPLETE, True, summary | figures)
