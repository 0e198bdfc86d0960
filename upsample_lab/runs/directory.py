"""A run's directory: which one it is, its lock, its status."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from upsample_lab.config import TrainConfig
from upsample_lab.runs.files import TEST_IMAGES, read_json, remove_leftovers, write_json, write_text
from upsample_lab.runs.identity import attempts_in, next_attempt, run_name
from upsample_lab.runs.lock import Hold, held
from upsample_lab.settings import ConfigError

COMPLETE, RUNNING, FAILED, INTERRUPTED = "complete", "running", "failed", "interrupted"
OWN_FILES = ("checkpoints", "reconstructions", "metrics.jsonl", "error.log", ".lock", ".holder")  # written in place


# ----------------------------------------------------------------------------------------------------------------------
# Which directory


def attempts(config: TrainConfig) -> list[Path]:
    """The directories that exist of the configuration's run, oldest first."""
    return attempts_in(Path(config.output_root) / config.experiment.name, config)


def run_path(config: TrainConfig) -> Path:
    """The directory that the configuration asks for: the newest one, or with `run.mode=fresh` one beside it."""
    existing = attempts(config)
    if not existing:
        return Path(config.output_root) / config.experiment.name / run_name(config)
    return next_attempt(existing) if config.run.mode == "fresh" else existing[-1]


def open_run(config: TrainConfig) -> RunDirectory:
    """The directory of `run_path`, inside the output root; for a fresh start made here, so that it is nobody else's.

    Raises `ConfigError` where it cannot be made, or a link leads out of the output root.
    """
    while True:
        run = RunDirectory(run_path(config))
        _refuse_outside(config, run.path)
        if config.run.mode != "fresh":
            return run
        try:
            run.path.mkdir(parents=True)
            return run
        except FileExistsError as error:
            if not run.path.is_dir():  # else another fresh start was quicker: the next number
                raise unwritable(run.path, error) from None
        except OSError as error:
            raise unwritable(run.path, error) from None


def _refuse_outside(config: TrainConfig, path: Path) -> None:
    root = Path(config.output_root)
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"experiment.name={config.experiment.name}: {path} is a link that leads out of {root}")


def unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output_root: cannot write {path}: {error.strerror or error}")


# ----------------------------------------------------------------------------------------------------------------------
# The directory


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Paths of a run, and its status file."""

    path: Path
    hold: Hold | None = None

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def reconstructions(self) -> Path:
        return self.path / "reconstructions"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def test_images(self) -> Path:
        return self.path / TEST_IMAGES

    def status(self) -> dict[str, Any]:
        """The status file; `state` is None where there is none. `running` is what a killed process leaves behind."""
        status = read_json(self.path / "status.json") or {}
        return status if status.keys() >= {"state", "reason", "host", "pid"} else {"state": None}

    def set_status(self, state: str, reason: str | None = None) -> None:
        content = {
            "state": state,
            "reason": reason,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        try:
            write_json(self.path / "status.json", content)
        except OSError:
            self._overwrite_status(json.dumps(content))

    def _overwrite_status(self, text: str) -> None:
        """On a full disk: into the block that the status file has already, since a second file finds no room."""
        with (self.path / "status.json").open("r+", encoding="utf-8") as file:
            file.write(text + "\n")
            file.truncate()

    def summary(self) -> dict[str, Any] | None:
        return read_json(self.path / "summary.json")

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)

    def write_config(self, config: TrainConfig) -> None:
        write_text(self.config, OmegaConf.to_yaml(OmegaConf.structured(config)))

    def write_capsule(self, content: Callable[[], dict[str, Any]]) -> None:
        write_json(self.path / "capsule.json", content())

    def write_error(self, trace: str) -> None:
        write_text(self.path / "error.log", trace)

    @contextmanager
    def locked(self, notify: Callable[[str], None] = lambda text: None) -> Iterator[RunDirectory]:
        """Hold the run, against other processes; yields the same directory, which knows that it is held.

        Raises `RunHeld` with the holder's host and process number; `ConfigError` where the directory cannot be made, or
        holds links where a run's own files belong.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._refuse_links()
                hold = stack.enter_context(held(self.path, notify))
                for folder in (self.path, self.checkpoints, self.reconstructions):
                    remove_leftovers(folder)
            except OSError as error:
                raise unwritable(self.path, error) from None
            yield dataclasses.replace(self, hold=hold)

    def _refuse_links(self) -> None:
        """A run makes no links, so one that stands in for a file of its own was planted, to be written through."""
        for name in OWN_FILES:
            if (self.path / name).is_symlink():
                raise ConfigError(f"{self.path / name}: is a link, which no run makes; remove it or use run.mode=fresh")

    def check_held(self) -> None:
        """Raise `RunHeld` when another process has taken the run over."""
        if self.hold is not None:
            self.hold.check()


class FollowedRun(RunDirectory):
    """The run as the other processes of several see it: the first one writes all that there is to write."""

    def set_status(self, state: str, reason: str | None = None) -> None:
        pass

    def write_summary(self, summary: dict[str, Any]) -> None:
        pass

    def write_config(self, config: TrainConfig) -> None:
        pass

    def write_capsule(self, content: Callable[[], dict[str, Any]]) -> None:
        pass

    def write_error(self, trace: str) -> None:
        """To stderr: an error that the first process does not share is told nowhere else."""
        print(trace, file=sys.stderr)
