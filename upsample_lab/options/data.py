"""The options of each dataset, `data.<option>=`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from omegaconf import MISSING

from upsample_lab.settings import option, setting


@dataclass
class DataOptions:
    """What every dataset has in common. `image_size` and `channels` are facts of a dataset, or settings of a folder."""

    name: str = MISSING
    limit: int | None = setting("train on the first n images only; null for all", low=1)
    validation_count: int = setting("images taken from the end of the training set for validation", low=1)


@dataclass
class DownloadedData(DataOptions):
    fallback: str | None = setting(
        "dataset to use when this one is neither on disk nor downloadable; null stops",
        choices=("glyphs",),
        identity=False,
    )
    root: str = setting("folder of the datasets, $UPSAMPLE_LAB_DATA or data/", identity=False, is_path=True)
    mirrors: list[str] = setting("addresses to download from, tried in order", identity=False)
    timeout_sec: float = setting("seconds after which a silent mirror is given up", above=0, identity=False)


def without_fallback(data: DataOptions) -> DataOptions:
    """The same dataset, that nothing takes the place of."""
    return replace(data, fallback=None) if isinstance(data, DownloadedData) else data


@option("data", "mnist")
@dataclass
class MnistData(DownloadedData):
    image_size: ClassVar[int] = 28
    channels: ClassVar[int] = 1


@option("data", "fashion_mnist")
@dataclass
class FashionMnistData(DownloadedData):
    image_size: ClassVar[int] = 28
    channels: ClassVar[int] = 1


@option("data", "cifar10")
@dataclass
class Cifar10Data(DownloadedData):
    image_size: ClassVar[int] = 32
    channels: ClassVar[int] = 3


@option("data", "image_folder")
@dataclass
class ImageFolderData(DataOptions):
    root: str = setting(
        "folder that a relative data.path starts from, $UPSAMPLE_LAB_DATA or data/", identity=False, is_path=True
    )
    path: str = setting("the folder of images: train/<class>/*, test/<class>/*, or flat")
    image_size: int = setting("side in pixels to which the images are resized and cropped", low=8, high=1024)
    channels: int = setting("1 for grey, 3 for colour", choices=("1", "3"))
    test_fraction: float = setting("part of a flat folder that is kept for testing", above=0, high=0.9)
    train_folders: list[str] | None = setting(
        "folders below data.path whose images train, '.' for those in none; null: by their names", neutral=None
    )
    test_folders: list[str] | None = setting(
        "folders below data.path whose images test; null: by their names", neutral=None
    )
    cache_dir: str | None = setting(
        "where the converted array is kept; null for the user's cache folder", identity=False, is_path=True
    )


@option("data", "glyphs")
@dataclass
class GlyphsData(DataOptions):
    image_size: ClassVar[int] = 28
    channels: ClassVar[int] = 1
    train_count: int = setting("training images to draw, validation included", low=64, high=1_000_000)
    test_count: int = setting("test images to draw", low=16, high=1_000_000)
    glyph_seed: int = setting("seed of the drawings", low=0)
