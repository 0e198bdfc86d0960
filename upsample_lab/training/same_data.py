"""A run is about its images: before it is skipped or resumed they are compared with those that it has seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from upsample_lab.config import TrainConfig
from upsample_lab.registry import PARTS
from upsample_lab.runs.data_files import files_digest
from upsample_lab.runs.directory import COMPLETE, RunDirectory
from upsample_lab.runs.files import read_json
from upsample_lab.settings import ConfigError

if TYPE_CHECKING:  # files that were not touched need no torch
    from upsample_lab.data import ImageSets

Warn = Callable[[str], None]


class OtherData(ConfigError):
    """The run is of other images. It is left as it is."""


def check_before_start(config: TrainConfig, run: RunDirectory, warn: Warn) -> None:
    """Raise `OtherData` where `run` has results, or a state to resume from, of other images than `config` names.

    Its files are compared by what the file system knows of them, and read where that differs; a plugin's images are
    always read, since nobody else knows what they are made of. Where the images are not
    there any more, or the run kept no digest of its own, a line says so and the run counts as the same.
    """
    if not _has_something(run):
        return
    kept = _kept(run)
    if not kept.get("digest"):
        warn(_no_digest(run))
    elif kept.get("files") is None or kept["files"] != files_digest(config.data) or config.data.name in PARTS["data"]:
        sets = _images(_key(config), config.data)
        if isinstance(sets, str):
            warn(f"{run.path.name}: its images cannot be compared with those that it was trained on ({sets})")
        else:
            _compare(run, kept["digest"], sets)


def check_loaded(run: RunDirectory, images: ImageSets, warn: Warn) -> None:
    """The same for images that are at hand, before a run goes on from its checkpoint."""
    if not _has_something(run):
        return
    if digest := _kept(run).get("digest"):
        _compare(run, digest, images)
    else:
        warn(_no_digest(run))


def changed_since(run: RunDirectory, images: ImageSets) -> str:
    """One line where `images` are not those that the run was trained on; empty where they are, or nobody can say."""
    digest = _kept(run).get("digest")
    if not digest or _same(digest, images):
        return ""
    return (
        f"{run.path.name}: these are not the images that it was trained on (digest {_digest(images)}, then {digest}); "
        "its own figures are of those"
    )


def _has_something(run: RunDirectory) -> bool:
    return run.status()["state"] == COMPLETE or any(run.checkpoints.glob("*.safetensors"))


def _kept(run: RunDirectory) -> dict[str, Any]:
    data = (read_json(run.path / "capsule.json") or {}).get("data")
    return data if isinstance(data, dict) else {}


def _no_digest(run: RunDirectory) -> str:
    return f"{run.path.name}: it kept no digest of its images, so whether these are the same cannot be told"


def _compare(run: RunDirectory, digest: str, images: ImageSets) -> None:
    if _same(digest, images):
        return
    state = "complete" if run.status()["state"] == COMPLETE else "begun"
    raise OtherData(
        f"{run.path}: was {state} on other images of {images.name} than these (digest {digest} then, "
        f"{_digest(images)} now); name its own with data.root or data.path, or start beside it with run.mode=fresh"
    )


def _same(digest: str, images: ImageSets) -> bool:
    """Equal digests; also as folders of images had it before their conversion kept a digest of the pixels."""
    return digest == _digest(images) or (
        bool(images.pixels) and digest == _digest(dataclasses.replace(images, pixels=""))
    )


def _digest(images: ImageSets) -> str:
    from upsample_lab.data import dataset_digest

    return dataset_digest(images)


def _key(config: TrainConfig) -> str:
    return f"{config.data!r} {files_digest(config.data)}"


_last_read: dict[str, Any] = {}  # of a sweep's runs most are of the same images


def _images(key: str, data: Any) -> ImageSets | str:
    """The images of the group `data`, or why they cannot be had; kept for the next run of a sweep."""
    from upsample_lab.data import DataError, load_images

    if key not in _last_read:
        _last_read.clear()
        try:
            _last_read[key] = load_images(data)
        except DataError as error:
            _last_read[key] = str(error)
    found: ImageSets | str = _last_read[key]
    return found
