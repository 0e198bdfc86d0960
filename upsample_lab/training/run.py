"""A run's directory: its name, which follows from the configuration; its lock; its status."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from upsample_lab.config import MlpModel, TrainConfig
from upsample_lab.settings import ConfigError, rule_of
from upsample_lab.training.files import read_json, write_json, write_text

COMPLETE, RUNNING, FAILED, INTERRUPTED = "complete", "running", "failed", "interrupted"
DIGEST_LENGTH = 8


class RunHeld(ConfigError):
    """Another process is working on the run."""

    exit_status = 3


# ----------------------------------------------------------------------------------------------------------------------
# Identity: pure functions of the configuration


def identity(config: TrainConfig) -> dict[str, Any]:
    """What decides the result of a run, as plain values: the configuration without the settings marked otherwise."""
    values = _deciding(config)
    if isinstance(config.model, MlpModel):
        del values["upsample"], values["conv"]  # it has neither, so they decide nothing
    return values


def _deciding(node: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in dataclasses.fields(node):
        value, rule = getattr(node, item.name), rule_of(type(node), item.name)
        if dataclasses.is_dataclass(value):
            values[item.name] = _deciding(value)
        elif rule is None or rule.identity:
            values[item.name] = value
    return {name: value for name, value in values.items() if value != {}}


def digest(config: TrainConfig) -> str:
    """The first 8 hex digits of the SHA-256 of the identity."""
    canonical = json.dumps(identity(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]


def layer_name(config: TrainConfig) -> str:
    """What the run is about, for names and tables: the upsampler, or the model where it has none."""
    return config.model.name if isinstance(config.model, MlpModel) else config.upsample.name


def run_name(config: TrainConfig) -> str:
    return f"{config.data.name}-{layer_name(config)}-seed{config.seed}-{digest(config)}"


def attempts(config: TrainConfig) -> list[Path]:
    """The directories of this identity, oldest first: `<name>`, then `<name>-2`, `<name>-3` … of fresh starts."""
    folder, name = Path(config.output_root) / config.experiment.name, run_name(config)
    numbered = [folder / name]
    while numbered[-1].is_dir():
        numbered.append(folder / f"{name}-{len(numbered) + 1}")
    return numbered[:-1]


def run_path(config: TrainConfig) -> Path:
    """The directory that the configuration asks for: the newest one, or with `run.mode=fresh` one beside it."""
    existing = attempts(config)
    first = Path(config.output_root) / config.experiment.name / run_name(config)
    if config.run.mode == "fresh" and existing:
        return first.with_name(f"{first.name}-{len(existing) + 1}")
    return existing[-1] if existing else first


# ----------------------------------------------------------------------------------------------------------------------
# The directory


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Paths of a run, and its status file."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def reconstructions(self) -> Path:
        return self.path / "reconstructions"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    def status(self) -> dict[str, Any]:
        """The status file; `state` is None where there is none. `running` is what a killed process leaves behind."""
        return read_json(self.path / "status.json") or {"state": None}

    def set_status(self, state: str, reason: str | None = None) -> None:
        write_json(
            self.path / "status.json",
            {
                "state": state,
                "reason": reason,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            },
        )

    def summary(self) -> dict[str, Any] | None:
        return read_json(self.path / "summary.json")

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)

    def write_config(self, config: TrainConfig) -> None:
        write_text(self.config, OmegaConf.to_yaml(OmegaConf.structured(config)))

    def write_error(self, trace: str) -> None:
        write_text(self.path / "error.log", trace)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, against other processes; the kernel drops the lock of a process that dies.

        Raises `RunHeld` with the holder's host and process number; `ConfigError` where the directory cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
            lock.acquire()
        except Timeout:
            held = self.status()
            holder = f"process {held['pid']} on {held['host']}" if "pid" in held else "another process"
            raise RunHeld(f"{self.path} is being worked on by {holder}; wait for it, or stop it first") from None
        except OSError as error:
            raise ConfigError(f"output_root: cannot write {self.path}: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()


class FollowedRun(RunDirectory):
    """The run as the other processes of several see it: the first one writes all that there is to write."""

    def set_status(self, state: str, reason: str | None = None) -> None:
        pass

    def write_summary(self, summary: dict[str, Any]) -> None:
        pass

    def write_config(self, config: TrainConfig) -> None:
        pass

    def write_error(self, trace: str) -> None:
        """To stderr: an error that the first process does not share is told nowhere else."""
        print(trace, file=sys.stderr)
