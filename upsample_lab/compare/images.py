"""Where variants differ in the images: by kind of pixel, and image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from upsample_lab.compare.result import Examples, RegionError
from upsample_lab.compare.statistics import Array
from upsample_lab.compare.variants import Group
from upsample_lab.options.task import DEFAULT_TASK
from upsample_lab.runs.files import TEST_IMAGES

REGION_COUNT = 3  # edges, flat, rest: the order of metrics.regions.REGIONS, which is not imported as it needs torch


@dataclass(frozen=True)
class PerImage:
    """A variant's figures, mean over its runs: mean squared error of each region `[3]`, PSNR of each image `[N]`."""

    regions: Array
    psnr_db: Array
    shown_count: int


def per_image(groups: Sequence[Group], seeds: Sequence[int]) -> tuple[dict[str, PerImage], list[str]]:
    """What the runs kept of each image, by variant, and a line for each variant that has nothing.

    Of a task whose figures are of no single images no run keeps any, and nothing is missing.
    """
    found, missing = {}, []
    every = [run for group in groups for run in group.runs]
    if all(run.task != DEFAULT_TASK and not (run.path / TEST_IMAGES).exists() for run in every):
        return {}, []
    for group in groups:
        files = [run.path / TEST_IMAGES for run in group.runs if run.seed in seeds]
        figures = [_read(file) for file in files]
        whole = [one for one in figures if one is not None]
        if len(whole) == len(files) and len({len(one.psnr_db) for one in whole}) == 1:
            regions = np.mean([one.regions for one in whole], axis=0)
            psnr_db = np.mean([one.psnr_db for one in whole], axis=0)
            found[group.name] = PerImage(regions, psnr_db, min(one.shown_count for one in whole))
        else:
            missing.append(
                f"{group.name}: {len(files) - len(whole)} of {len(files)} runs have no {TEST_IMAGES} that is whole"
            )
    return found, missing


def _read(file: Path) -> PerImage | None:
    """One run's figures; None where the file is missing, damaged or of another shape."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            sums, values = tensors.get_tensor("squared_error"), tensors.get_tensor("region_values")
            psnr_db = tensors.get_tensor("psnr_db")
            shown_count = tensors.get_slice("originals").get_shape()[0]
    except (OSError, SafetensorError):
        return None
    if sums.shape != (len(psnr_db), REGION_COUNT) or values.shape != sums.shape:
        return None
    counts = values.sum(axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return PerImage(sums.sum(axis=0) / counts, psnr_db.astype(np.float64), int(shown_count))


def region_errors(figures: Mapping[str, PerImage]) -> dict[str, RegionError]:
    return {name: RegionError(*map(float, one.regions)) for name, one in figures.items()}


def examples_of(figures: Mapping[str, PerImage], groups: Sequence[Group], seeds: Sequence[int]) -> Examples | None:
    """The images that runs kept, those first on which the variants' PSNR differs most; None unless all kept some."""
    if len(figures) < len(groups) or len({len(one.psnr_db) for one in figures.values()}) > 1:
        return None
    count = min(one.shown_count for one in figures.values())
    table = np.stack([figures[group.name].psnr_db[:count] for group in groups])
    spread_db = table.max(axis=0) - table.min(axis=0)
    order = np.argsort(-spread_db, kind="stable")
    lowest = min(seeds)
    files = {g.name: next(run.path for run in g.runs if run.seed == lowest) / TEST_IMAGES for g in groups}
    psnr_db = {group.name: tuple(table[row, order].tolist()) for row, group in enumerate(groups)}
    return Examples(tuple(order.tolist()), tuple(spread_db[order].tolist()), psnr_db, files)
