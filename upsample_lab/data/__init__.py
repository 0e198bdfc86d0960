"""Data sets as uint8 tensors, the built-in offline set, and the batch loader.

used = prepare(config.data)          # downloads what is missing; may settle on the built-in set
sets = load_images(config.data)      # uint8 [N, C, H, W], on the CPU
loader = BatchLoader(sets.train, batch_size=128, seed=0, device=device)
loader.batch(step)                   # float [128, C, H, W] in 0…1, on the device
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from upsample_lab.data.cifar import CIFAR10, load_cifar, prepare_cifar
from upsample_lab.data.glyphs import make_glyphs
from upsample_lab.data.image_folder import FolderSettings, load_image_folder
from upsample_lab.data.loader import BatchLoader, eval_batches
from upsample_lab.data.mnist import FASHION_MNIST, MNIST, load_idx, prepare_idx
from upsample_lab.data.sets import DataError, DataSource, ImageSets, dataset_digest, image_facts, split_sets
from upsample_lab.registry import PARTS, Part, made

__all__ = [
    "BatchLoader",
    "DataError",
    "ImageSets",
    "Prepared",
    "dataset_digest",
    "eval_batches",
    "image_facts",
    "load_images",
    "prepare",
]

IDX_SOURCES = {"mnist": MNIST, "fashion_mnist": FASHION_MNIST}
DOWNLOADED = (*IDX_SOURCES, "cifar10")
FALLBACK = "glyphs"


@dataclass(frozen=True)
class Prepared:
    """The data set that will really be used; `reason`: in one line, why it is not the one asked for (else empty)."""

    name: str
    reason: str = ""


def prepare(config: Any) -> Prepared:
    """Make sure that the data set's files are there, downloading what is missing; cheap when nothing is.

    Args:
        config: any object with the attributes of the group `data` for the set that ``config.name`` names.

    Raises:
        DataError: the images cannot be had, and `config.fallback` is null or the set is the user's own folder; says
            where they were looked for, and what to do.
    """
    fallback = getattr(config, "fallback", None)
    if fallback not in (None, FALLBACK):
        raise DataError(f"data.fallback={fallback}: must be {FALLBACK} or null")
    try:
        _prepare_files(config)
    except DataError as error:
        reason = f"data={config.name}: {error}"
        if config.name not in DOWNLOADED:  # a folder that the user named is never replaced by something else
            raise DataError(reason) from error
        if fallback is not None:
            return Prepared(fallback, reason)
        raise DataError(
            f"{reason}. Set data.root (or UPSAMPLE_LAB_DATA) to a folder that has the files, or take data={FALLBACK}"
        ) from error
    return Prepared(config.name)


def _prepare_files(config: Any) -> None:
    if config.name in IDX_SOURCES:
        prepare_idx(IDX_SOURCES[config.name], _root(config), config.mirrors, config.timeout_sec)
    elif config.name == "cifar10":
        prepare_cifar(CIFAR10, _root(config), config.mirrors, config.timeout_sec)
    elif config.name != FALLBACK and config.name not in PARTS["data"]:
        _read(config)  # converts a folder of images, where that was not done before


def load_images(config: Any) -> ImageSets:
    """Read the data set that ``config.name`` names; `prepare` must have found its files.

    Raises:
        DataError: the files are missing or damaged.
    """
    train, test, notes, pixels = _read(config)
    counts = {"validation_count": config.validation_count, "limit": config.limit}
    return split_sets(config.name, train, test, **counts, notes=notes, pixels=pixels)


def _own(part: Part, config: Any) -> DataSource:
    """The images of a plugin's dataset. Raises `DataError` where they are not what is wanted, uint8 `[N, C, H, W]`."""
    sets = [torch.as_tensor(images) for images in made(part, options=config).images()]
    shape = (config.channels, config.image_size, config.image_size)
    if len(sets) != 2 or any(s.dtype != torch.uint8 or s.dim() != 4 or tuple(s.shape[1:]) != shape for s in sets):
        found = ", ".join(f"{str(s.dtype).removeprefix('torch.')} {list(s.shape)}" for s in sets)
        wanted = f"two sets of images, uint8 [N, {', '.join(map(str, shape))}]"
        raise DataError(f"data={part.name}: images() of {part.module} must return {wanted}, got {found or 'none'}")
    train, test = (images.contiguous() for images in sets)
    return DataSource(train, test)


def _read(config: Any) -> DataSource:
    if config.name in PARTS["data"]:
        return _own(PARTS["data"][config.name], config)
    match config.name:
        case "mnist" | "fashion_mnist":
            return DataSource(*load_idx(IDX_SOURCES[config.name], _root(config)))
        case "cifar10":
            return DataSource(*load_cifar(CIFAR10, _root(config)))
        case "image_folder":
            named = {part: tuple(getattr(config, part, None) or ()) for part in ("train_folders", "test_folders")}
            settings = FolderSettings(config.image_size, config.channels, config.test_fraction, **named)
            return load_image_folder(_root(config), config.path, settings, config.cache_dir)
        case "glyphs":
            train = make_glyphs(config.train_count, config.glyph_seed, stream=0)
            return DataSource(train, make_glyphs(config.test_count, config.glyph_seed, stream=1))
    raise DataError(f"data.name={config.name}: unknown data set")


def _root(config: Any) -> Path:
    return Path(config.root).expanduser()
