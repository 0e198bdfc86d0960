"""What it takes to repeat a run: code version, packages, machine, command."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from upsample_lab.data import ImageSets, dataset_digest
from upsample_lab.registry import plugin_files

PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pillow", "tensorboard", "safetensors")
TRAINING_PARTS = ("conv", "data", "metrics", "models", "training", "upsamplers")
DIFF_LIMIT_BYTES = 1_000_000


def capsule(device: torch.device, images: ImageSets, command: str, files: str = "") -> dict[str, Any]:
    """Git commit and diff, package versions, machine, the images' digest, and the exact command.

    `files` is the state of the files that the images were read from (`files_digest`).
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
            "threads": torch.get_num_threads(),
            "device": str(device),
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        },
        "data": {
            "name": images.name,
            "digest": dataset_digest(images),
            "files": files,
            "train": len(images.train),
            "validation": len(images.validation),
            "test": len(images.test),
            "notes": list(images.notes),
        },
    }


def code_digests() -> dict[str, str]:
    """The first 12 hex digits of the SHA-256 of every source file that can change what a training does.

    Those of plugins that registered parts are among them. With them two runs can be told to be of the same code, with
    or without git and whatever else was edited beside it. Not among them are `configs/` and their schema: what they
    decide is in the run's `config.yaml`.
    """
    package = Path(__file__).parents[1]
    files = [package / "resize.py", *(file for part in TRAINING_PARTS for file in (package / part).rglob("*.py"))]
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
