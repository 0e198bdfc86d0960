"""What it takes to repeat a run: code version, packages, machine, command."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from upsample_lab.registry import plugin_files

PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pillow", "tensorboard", "safetensors")
TRAINING_CODE = ("conv", "data", "metrics", "models", "objectives", "resize.py", "tasks", "training", "upsamplers")
"""What of the package decides a training besides its `config.yaml`, whose values are compared one by one."""
DIFF_LIMIT_BYTES = 1_000_000


def capsule(command: str, machine: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Git commit and diff, code, package versions, machine, images, and the exact command.

    `machine` says what the processes know of it beside the system itself (threads, device), `data` which images were
    trained on: their name, digest, files and counts.
    """
    return {
        "command": command,
        "git": _git_state(Path(__file__).parents[2]),
        "code": code_digests(),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {
            "platform": platform.platform(),
            "processor": processor_name(),
            "cpu_count": os.cpu_count(),
            **machine,
        },
        "data": dict(data),
    }


def code_digests() -> dict[str, str]:
    """The first 12 hex digits of the SHA-256 of every source file that can change what a training does.

    Those of plugins that registered parts are among them. With them two runs can be told to be of the same code, with
    or without git and whatever else was edited beside it. Not among them are `configs/` and their schema: what they
    decide is in the run's `config.yaml`.
    """
    package = Path(__file__).parents[1]
    parts = [package / part for part in TRAINING_CODE]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*.py"))]
    named = {file.relative_to(package.parent).as_posix(): file for file in sorted(files)} | plugin_files()
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for name, file in named.items()}


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, and whatever differs from it; None outside a git checkout, as in an installed wheel."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD") or ""
    shortened = diff if len(diff) <= DIFF_LIMIT_BYTES else diff[:DIFF_LIMIT_BYTES] + "\n[cut]"
    return {"commit": commit.strip(), "diff": shortened, "clean": not diff}


def _git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode("utf-8", "replace")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def processor_name() -> str:
    """The processor's model, as the kernel names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
