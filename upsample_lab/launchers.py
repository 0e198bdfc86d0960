"""What runs a sweep's runs, and whether it is there: told in one line before anything starts."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
from typing import Any, NamedTuple

from upsample_lab.settings import ConfigError

ANSWER_TIMEOUT_SEC = 20  # slurm.conf's MessageTimeout is 10 s, and a busy controller needs longer


class Plugin(NamedTuple):
    """The module that a choice of `hydra/launcher=` comes from, and the extra that brings it."""

    module: str
    extra: str


PLUGINS = {
    "hydra/launcher": {
        "parallel": Plugin("hydra_joblib_launcher", "parallel"),
        "joblib": Plugin("hydra_joblib_launcher", "parallel"),
        "slurm": Plugin("hydra_submitit_launcher", "slurm"),
        "submitit_slurm": Plugin("hydra_submitit_launcher", "slurm"),
        "submitit_local": Plugin("hydra_submitit_launcher", "slurm"),
        "ray_cluster": Plugin("hydra_ray_launcher", "ray"),
        "ray": Plugin("hydra_ray_launcher", "ray"),
    },
}


def check_installed(group: str, choice: Any) -> None:
    """Raise `ConfigError` with the pip command where a choice needs a plugin that is not installed.

    Sweepers other than Hydra's own are refused: they make up runs as they go, which nothing could have checked.
    """
    if group == "hydra/sweeper" and choice != "basic":
        raise ConfigError(f"{group}={choice}: sweeps here are grids, by Hydra's basic sweeper; see docs/sweeps.md")
    plugin = PLUGINS.get(group, {}).get(str(choice))
    if plugin is not None and not _importable(f"hydra_plugins.{plugin.module}"):
        raise ConfigError(
            f"{group}={choice}: needs {plugin.module.replace('_', '-')}, which is not installed; "
            f"pip install -e '.[{plugin.extra}]'"
        )


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


def in_process(launcher: Any) -> bool:
    """Whether a composed `hydra.launcher` runs one run after another in this process."""
    return str(launcher.get("_target_", "")).endswith(".BasicLauncher")


def check_reachable(launcher: Any) -> None:
    """Raise `ConfigError` where the scheduler of a composed `hydra.launcher` does not answer."""
    target = launcher.get("_target_", "")
    if target.endswith(".SlurmLauncher"):
        _check_slurm()
    elif target.endswith(".RayLauncher"):
        _check_ray(launcher.ray.init.get("address"))


def _check_slurm() -> None:
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format=%P"],
            capture_output=True,
            text=True,
            timeout=ANSWER_TIMEOUT_SEC,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError("hydra/launcher=slurm: no Slurm here (sinfo is not on the PATH); use a login node") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"hydra/launcher=slurm: the controller has not answered for {ANSWER_TIMEOUT_SEC} s; see `scontrol ping`"
        ) from None
    if answer.returncode:
        lines = answer.stderr.strip().splitlines()
        raise ConfigError(f"hydra/launcher=slurm: the controller does not answer ({lines[-1] if lines else 'sinfo'})")


def _check_ray(address: str | None) -> None:
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # null, auto: Ray finds or starts it by itself
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_SEC).close()
    except OSError as error:
        raise ConfigError(
            f"hydra.launcher.ray.init.address={address}: no Ray head answers there ({error.strerror or error})"
        ) from None
