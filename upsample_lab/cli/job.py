"""One run: by itself, or as a job of a sweep in whatever process a launcher chose."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from upsample_lab.called import call
from upsample_lab.cli.main import error_line
from upsample_lab.compose import command_words
from upsample_lab.config import TrainConfig
from upsample_lab.settings import ConfigError, expand_paths
from upsample_lab.training.display import Display

if TYPE_CHECKING:
    from upsample_lab.training.session import Outcome

PARENT_CHECK_SEC = 1.0


def run(config: TrainConfig, display: Display) -> Outcome:
    from upsample_lab.training.session import run_training

    return run_training(config, display, command(config))


def command(config: TrainConfig) -> str:
    """The command line that repeats a run."""
    return f"{call('train')} {shlex.join(command_words('train', config))}".rstrip()


# ----------------------------------------------------------------------------------------------------------------------
# As a job of a sweep


class JobDisplay(Display):
    """The screen of one run among many: remembers where it resumed, and draws no bar and no validations from a worker,
    where those of all runs would mix."""

    def __init__(self, *, alone: bool) -> None:
        super().__init__()
        self.alone = alone
        self.resumed_at: int | None = None

    def say(self, text: str) -> None:
        if self.alone:
            super().say(text)

    @contextmanager
    def progress(self, steps: int, done: int) -> Iterator[None]:
        if not self.alone:
            yield
            return
        with super().progress(steps, done):
            yield

    def resumed(self, step: int, steps: int, warnings: Any) -> None:
        self.resumed_at = step
        super().resumed(step, steps, warnings)


def sweep_job(composed: Any) -> None:
    """One run of a sweep, and one line that says what became of it. Nothing that happens to it stops the others.

    Ends the process with the signal's exit status where the run was asked to stop.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    config = OmegaConf.to_object(composed)
    assert isinstance(config, TrainConfig)
    expand_paths(config)
    launcher = HydraConfig.get().launcher._target_.rpartition(".")[2]
    if launcher == "JoblibLauncher":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which asks us to stop
        _stop_with_parent()
    display = JobDisplay(alone=launcher in ("BasicLauncher", "SlurmLauncher"))
    outcome = _attempt(config, display)
    if outcome is None:
        return
    print(f"{_line(outcome, display.resumed_at)}  {outcome.path}", flush=True)
    if outcome.state == "interrupted":
        if launcher == "JoblibLauncher":
            os._exit(outcome.exit_status)  # else joblib would hand this worker the next run
        sys.exit(outcome.exit_status)


@cache
def _stop_with_parent() -> None:
    """Have this worker asked to stop when its parent is gone, since a parent that was killed can ask nothing."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SEC)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _attempt(config: TrainConfig, display: Display) -> Outcome | None:
    """The run's outcome; None, with one line, where it could not even begin."""
    from upsample_lab.runs.lock import RunHeld
    from upsample_lab.training.same_data import OtherData

    try:
        return run(config, display)
    except RunHeld as held:
        print(f"held by another    {held}", file=sys.stderr, flush=True)
    except OtherData as error:  # what is there is right, of other images
        print(f"failed: {error}", file=sys.stderr, flush=True)
    except ConfigError as error:
        _mark_failed(config, str(error), None)
    except Exception as error:
        _mark_failed(config, error_line(error), traceback.format_exc())
    return None


def _mark_failed(config: TrainConfig, reason: str, trace: str | None) -> None:
    """Leave the cause in the run's directory, where the sweep's report, on whatever machine, finds it."""
    from upsample_lab.runs.directory import FAILED, RunDirectory, run_path
    from upsample_lab.runs.files import write_text

    directory = RunDirectory(run_path(config))
    print(f"failed: {reason}  {directory.path}", file=sys.stderr, flush=True)
    try:
        with directory.locked():
            if trace is not None:
                write_text(directory.path / "error.log", trace)
            directory.set_status(FAILED, reason)
    except (ConfigError, OSError) as error:
        print(f"failed: and nothing could be written there ({error})", file=sys.stderr, flush=True)


def _line(outcome: Outcome, resumed_at: int | None) -> str:
    """What became of a run, in a column that lines up for the common cases."""
    if not outcome.trained:
        return "complete already "
    beginning = "" if resumed_at is None else f"resumed at step {resumed_at}, "
    if outcome.state == "complete":
        return f"{beginning + 'trained':<17}"
    return f"{beginning}{outcome.state}: {outcome.reason}"
