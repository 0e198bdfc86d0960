"""One run from its configuration to its outcome: images, directory, lock, training, status."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_lab.config import TrainConfig, check_values
from upsample_lab.options import load_option
from upsample_lab.options.data import without_fallback
from upsample_lab.options.task import DEFAULT_TASK
from upsample_lab.runs.data_files import files_digest
from upsample_lab.runs.directory import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    FollowedRun,
    RunDirectory,
    open_run,
    run_path,
)
from upsample_lab.runs.lock import Holder, RunHeld
from upsample_lab.settings import ConfigError
from upsample_lab.training.display import Display
from upsample_lab.training.ranks import read_ranks
from upsample_lab.training.same_data import check_before_start, check_loaded
from upsample_lab.training.stopping import Interrupted

if TYPE_CHECKING:  # a finished run is answered without importing torch
    from upsample_lab.training.parallel import World
    from upsample_lab.training.state import Training


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
    ranks = read_ranks()
    if ranks.size == 1 and (done := _finished(config, display)) is not None:
        return done
    from upsample_lab.training.parallel import joined

    with joined(ranks, config.trainer.device) as world:
        return _run_training(config, display, command, world)


def _run_training(config: TrainConfig, display: Display, command: str, world: World) -> Outcome:
    from upsample_lab.device import reproducibly

    config, done = world.on_writer(lambda: _settle(config, display))
    if done is not None:
        return done
    files = files_digest(config.data) if world.is_writer else ""  # before they are read: what changes later is seen
    training = world.everywhere(lambda: _assemble(config, world))
    with ExitStack() as stack:
        run = _hold(config, training, display, stack)
        world.on_writer(lambda: check_loaded(run, training.task.setting.images, display.warn))
        stack.enter_context(world.stop)
        stack.enter_context(reproducibly(config.trainer.deterministic))
        done = world.on_writer(lambda: _outcome_of(run))  # another process was quicker
        return done or _guarded(config, training, run, display, command, files)


def _settle(config: TrainConfig, display: Display) -> tuple[TrainConfig, Outcome | None]:
    """The configuration with the data that is there, and the outcome of its run if that is complete."""
    done = _finished(config, display)
    if done is None:
        config = with_available_data(config, display)
        done = _finished(config, display)
    return config, done


def _hold(config: TrainConfig, training: Training, display: Display, stack: ExitStack) -> RunDirectory:
    """The run's directory, which the first process holds for all until `stack` is left."""
    from upsample_lab.training.space import check_space, needed_bytes

    holding: list[RunDirectory] = []

    def hold() -> Path:
        check_space(run_path(config), needed_bytes(training))
        holding.append(stack.enter_context(open_run(config).locked(display.warn)))
        return holding[0].path

    path = training.world.on_writer(hold)
    return holding[0] if holding else FollowedRun(path)


def _finished(config: TrainConfig, display: Display) -> Outcome | None:
    """The outcome of the configuration's run where it is complete. Raises `OtherData` where it is of other images."""
    run = RunDirectory(run_path(config))
    done = _outcome_of(run)
    if done is not None:
        check_before_start(config, run, display.warn)
        _clear_after_a_kill(run)
    return done


def _clear_after_a_kill(run: RunDirectory) -> None:
    """What a process leaves behind that was killed between a run's completion and its own end: its name."""
    holder = Holder.read(run.path / ".holder")
    if holder is not None and holder.is_gone:
        with suppress(ConfigError), run.locked():  # nobody's directory to write to, or another was quicker: as well
            pass


def _outcome_of(run: RunDirectory) -> Outcome | None:
    """The outcome of a complete run; None where there is none, or its summary is damaged and must be made again."""
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


def check_data_each(grid: Sequence[TrainConfig], display: Display) -> None:
    """Raise `OtherData` where a run of a sweep is of other images, before the first one starts."""
    for config in grid:
        check_before_start(config, RunDirectory(run_path(config)), display.warn)


def _assemble(config: TrainConfig, world: World) -> Training:
    """Images, task and models, before anything is written: what cannot be put together is the user's to mend."""
    from upsample_lab.data import DataError, load_images, prepare
    from upsample_lab.device import MEMORY_FORMATS, Where, choose_device, use_threads
    from upsample_lab.training.loop import build

    try:
        use_threads(config.trainer.threads)
        where = Where(choose_device(world.device(config.trainer.device)), MEMORY_FORMATS[config.trainer.memory_format])
        if not world.is_writer:  # on another machine the files may be missing still
            prepare(without_fallback(config.data))
        images = load_images(config.data)
        world.check(config.trainer, len(images.train))
        return build(config, images, where, world)
    except (DataError, ValueError) as error:
        raise ConfigError(str(error)) from None
    except (MemoryError, RuntimeError) as error:
        raise ConfigError(f"model.widths: images and model do not fit into memory ({first_line(error)})") from None


def _guarded(
    config: TrainConfig, training: Training, run: RunDirectory, display: Display, command: str, files: str
) -> Outcome:
    """Train, and turn whatever ends the training into an outcome and the run's status."""
    from upsample_lab.runs.checkpoint import DamagedCheckpoint, MissingCheckpoint
    from upsample_lab.training.failure import TrainingFailed
    from upsample_lab.training.parallel import PeerLost

    world = training.world
    try:
        return _train(config, training, run, display, command, files)
    except PeerLost as lost:
        world.broken = True
        return _ended(run, INTERRUPTED, str(lost), lost.exit_status)
    except RunHeld:
        raise  # it is another process's now, its status included
    except Interrupted as stopped:
        return _ended(run, INTERRUPTED, str(stopped), stopped.exit_status)
    except KeyboardInterrupt:
        world.broken = True
        _ended(run, INTERRUPTED, "stopped at once; what follows the last checkpoint is lost", 130)
        raise
    except (TrainingFailed, DamagedCheckpoint, MissingCheckpoint) as error:
        return _ended(run, FAILED, str(error), 1)
    except OSError as error:
        world.broken = True
        return _ended(run, FAILED, f"{_told(error)}; {_last_good(run)}; mend it and repeat the command to go on", 1)
    except Exception as error:
        world.broken = True
        with suppress(OSError):
            run.write_error(traceback.format_exc())
        outcome = _ended(run, FAILED, f"{type(error).__name__}: {first_line(error)}", 1)
        return dataclasses.replace(outcome, reason=f"{outcome.reason}; details in {run.path / 'error.log'}")


def _ended(run: RunDirectory, state: str, reason: str, exit_status: int) -> Outcome:
    with suppress(OSError):  # a disk so full that it cannot even be noted down: the caller tells it on the screen
        run.set_status(state, reason)
    return Outcome(run.path, state, True, reason=reason, exit_status=exit_status)


def _told(error: OSError) -> str:
    """An operating system's error in one line: `No space left on device: outputs/…`."""
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or first_line(error)}{where}"


def _last_good(run: RunDirectory) -> str:
    """Where a failed run can go on from."""
    from upsample_lab.runs.checkpoint import DamagedCheckpoint, load_last

    try:
        saved = load_last(run.checkpoints)
    except DamagedCheckpoint as error:
        return str(error)
    return (
        f"the last good checkpoint is that of step {saved[1].get('step')}" if saved else "no checkpoint was saved yet"
    )


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _train(
    config: TrainConfig, training: Training, run: RunDirectory, display: Display, command: str, files: str
) -> Outcome:
    from upsample_lab.training.dashboard import telling_settings
    from upsample_lab.training.loop import fit

    _announce(config, training, run, display)
    run.set_status(RUNNING)
    run.write_config(config)
    run.write_capsule(lambda: _capsule(training, command, files))
    figures = fit(training, run, display, training.world.stop, telling_settings(config))
    summary = _named(config, training) | figures
    run.write_summary(summary)
    run.set_status(COMPLETE)
    return Outcome(run.path, COMPLETE, True, summary)


def _announce(config: TrainConfig, training: Training, run: RunDirectory, display: Display) -> None:
    """What a reader should know before the first step."""
    from upsample_lab.device import slow_precision

    images, device = training.task.setting.images, training.task.setting.where.device
    slow = slow_precision(config.trainer.precision, device)
    for note in [*images.notes, *([slow] if slow else [])]:
        display.warn(note)
    parameters = sum(parameter.numel() for parameter in training.model.parameters())
    display.say(f"{run.path.name}: {len(images.train):,} images, {parameters:,} parameters, {device}")
    if (match := _match(training)) is not None:
        display.say(
            f"model.match: decoder widths {match.widths}, {match.achieved:,} for a budget of "
            f"{match.budget:,} ({match.deviation:+.2%})"
        )


def _capsule(training: Training, command: str, files: str) -> dict[str, Any]:
    from upsample_lab.data import image_facts
    from upsample_lab.device import machine_facts
    from upsample_lab.runs.provenance import capsule

    setting = training.task.setting
    return capsule(command, machine_facts(setting.where.device), image_facts(setting.images, files))


def _named(config: TrainConfig, training: Training) -> dict[str, Any]:
    """The first lines of `summary.json`: what was trained."""
    task = {} if config.task.name == DEFAULT_TASK else {"task": config.task.name}
    choices = {"upsample": config.upsample.name, "model": config.model.name, "seed": config.seed}
    match = _match(training)
    matched = {} if match is None else {"match": dataclasses.asdict(match)}
    return {"data": training.task.setting.images.name, **task, **choices, **matched}


def _match(training: Training) -> Any:
    """How the widths of the model were adjusted to a budget; None where they were not."""
    return getattr(training.model, "match", None)
