"""Images whose model nobody has: which of them carry a pattern of a fixed period, how strong, and where it comes from.

Each image is looked at in three planes (brightness, and the two colour differences of BT.601), by `periodic`. What is
told of a pattern is its strength in grey levels; whether it counts is decided by two thresholds that were set on clean
photographs (docs/scan.md, with how often they err). Traces of JPEG are told apart from a layer's: its 8 x 8 blocks by
the steps at their borders, which are other in each block and so no pattern; its halved colours by lines of period 2
that are there in the colours alone and far too faint to be seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin
from scipy.ndimage import uniform_filter

from upsample_lab.data.decode import UnusableImageError, read_image, whole
from upsample_lab.data.listing import list_images
from upsample_lab.data.sets import DataError
from upsample_lab.doctor.periodic import Array, Spectrum, fits, is_everywhere, spectrum_of, summed
from upsample_lab.settings import ConfigError

PERIODS = (2, 4, 8)  # of one, two and three stages of scale 2
LARGEST_PERIOD = 16
RATIO = 35.0
"""A line counts from here on: so many times its neighbourhood. Of 191 clean photographs the largest is 33."""
SEARCHED_RATIO = 100.0  # of periods that nobody asked for, of which there are more
SEEN_LEVELS = 0.25  # root mean square; fainter ones are there in many a photograph, and seen by nobody
AGREEMENT = 0.5  # between a quarter of an image and the whole
JPEG_LEVELS = 0.75  # the most that JPEG's blocks leave at period 8, at quality 10 and above
BLOCK = 8  # pixels of JPEG's blocks
BLOCK_STEPS = 8.0  # standard errors by which steps at borders of blocks exceed those inside
STEP_LEVELS = 8.0  # a larger step is an edge of what the image shows
SIDE_PX = 2048  # of larger images the part at the top left is looked at
CROP_PX = 48
PLANES = ("brightness", "blue - yellow", "red - cyan")  # Y, Cb, Cr
LAYER, JPEG_BLOCKS, UNSURE = "a layer", "JPEG's blocks", "a layer, or what the image shows"
MIN_SET = 4  # images that together say more than each alone


@dataclass(frozen=True)
class RepeatedPattern:
    """A pattern of one image, or of a set: `ratio` is that of its strongest line to its neighbourhood."""

    period: int
    plane: str
    rms_levels: float
    ratio: float
    cause: str

    @property
    def is_jpegs(self) -> bool:
        return self.cause == JPEG_BLOCKS


@dataclass(frozen=True)
class ScannedImage:
    """One image: the patterns in it, and the traces of JPEG."""

    name: str
    width: int
    height: int
    patterns: tuple[RepeatedPattern, ...]
    jpeg_blocks: bool
    halved_colours: bool
    saved_as: str  # "PNG", "JPEG, colours halved"
    crop: tuple[int, int]  # top, left of its flattest part

    @property
    def strongest(self) -> float:
        return max((pattern.rms_levels for pattern in self.patterns if not pattern.is_jpegs), default=0.0)


@dataclass
class Scan:
    """All images of a folder, the strongest pattern first, and what they have in common."""

    folder: str
    periods: tuple[int, ...]
    images: list[ScannedImage]
    common: list[RepeatedPattern]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def flagged(self) -> list[ScannedImage]:
        """The images with a pattern that is not JPEG's."""
        return [image for image in self.images if image.strongest > 0]

    def json(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "images": len(self.images),
            "flagged": len(self.flagged),
            "thresholds": {"ratio": RATIO, "searched_ratio": SEARCHED_RATIO, "rms_levels": SEEN_LEVELS},
            "common": [asdict(pattern) for pattern in self.common],
            "left_out": self.left_out,
            "each": [asdict(image) for image in self.images],
        }

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps(self.json(), indent=2) + "\n", encoding="utf-8")


def scan(
    folder: str | Path,
    periods: Sequence[int] = PERIODS,
    *,
    search: bool = True,
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Scan:
    """Look for patterns of these periods, in pixels, in every image below a folder.

    Args:
        folder: images of any size, grey or colour, in folders of any depth.
        periods: in pixels, 2 to 16, each looked for in every image.
        search: whether the other periods up to 16 are looked for too; they must stand out more.
        track: wraps the list of files while they are read, as `rich.progress.track` does.

    Raises:
        ConfigError: no such folder, no image in it that can be read, or a period that is not from 2 to 16.
    """
    for period in periods:
        if not 2 <= period <= LARGEST_PERIOD:
            raise ConfigError(f"periods: {period} must be from 2 to {LARGEST_PERIOD} pixels")
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{folder}: {'is not a folder' if root.exists() else 'no such folder'}")
    try:
        listing = list_images(root)
    except DataError as error:
        raise ConfigError(str(error)) from None
    if not listing.files:
        raise ConfigError(f"{folder}: no images in it, by the names of {listing.other_count} files")
    images, left_out = [], dict(listing.left_out)
    spectra: dict[tuple[str, int], list[Spectrum]] = {}

    def keep(plane: str, spectrum: Spectrum) -> None:
        spectra.setdefault((plane, spectrum.period), []).append(spectrum)

    for file in track(listing.files):
        try:
            pixels, saved_as = read_image(root / file.name, lambda image: (whole(image), _saved_as(image)))
        except UnusableImageError as error:
            left_out[file.name] = str(error)
            continue
        images.append(scanned(file.name, pixels, saved_as, periods, search=search, keep=keep))
    if not images:
        why = next(iter(left_out.items()), None)
        raise ConfigError(f"{folder}: no image in it that can be read" + (f" ({why[0]}: {why[1]})" if why else ""))
    images.sort(key=lambda image: -image.strongest)
    common = [
        pattern
        for (plane, period), own in sorted(spectra.items(), key=lambda item: item[0][1])
        if len(own) >= MIN_SET and (pattern := _common(images, plane, period, own)) is not None
    ]
    return Scan(str(folder), tuple(periods), images, common, left_out)


def planes_of(pixels: np.ndarray) -> dict[str, Array]:
    """uint8 `[H, W, 3]` or `[H, W]` -> brightness and, of colour, the two colour differences, in levels (BT.601)."""
    if pixels.ndim == 2:
        return {PLANES[0]: pixels.astype(np.float64)}
    red, green, blue = np.moveaxis(pixels.astype(np.float64), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    if (pixels == pixels[..., :1]).all():
        return {PLANES[0]: luma}
    return {PLANES[0]: luma, PLANES[1]: (blue - luma) * 0.5 / 0.886, PLANES[2]: (red - luma) * 0.5 / 0.701}


def scanned(
    name: str,
    pixels: np.ndarray,
    saved_as: str = "",
    periods: Sequence[int] = PERIODS,
    *,
    search: bool = False,
    keep: Callable[[str, Spectrum], None] = lambda plane, spectrum: None,
) -> ScannedImage:
    """One image, uint8 `[H, W, 3]` or `[H, W]`; `keep` is told the spectra of each plane."""
    height, width = pixels.shape[:2]
    planes = planes_of(pixels[:SIDE_PX, :SIDE_PX])
    blocks = has_blocks(planes[PLANES[0]])
    patterns, halved = [], False
    for plane, values in planes.items():
        for period in range(2, LARGEST_PERIOD + 1) if search else periods:
            if not fits(values.shape, period):
                continue
            spectrum = spectrum_of(values, period)
            keep(plane, spectrum)
            if plane != PLANES[0] and period == 2 and spectrum.ratio > RATIO and spectrum.rms_levels < SEEN_LEVELS:
                halved = True
            if _counts(spectrum, asked=period in periods) and is_everywhere(values, period, spectrum, AGREEMENT):
                cause = _cause(spectrum, blocks=blocks, asked=period in periods)
                patterns.append(_pattern(plane, spectrum, cause))
    return ScannedImage(name, width, height, tuple(patterns), blocks, halved, saved_as, _flattest(planes[PLANES[0]]))


def _counts(spectrum: Spectrum, *, asked: bool) -> bool:
    return spectrum.ratio > (RATIO if asked else SEARCHED_RATIO) and spectrum.rms_levels >= SEEN_LEVELS


def _cause(spectrum: Spectrum, *, blocks: bool, asked: bool) -> str:
    if blocks and spectrum.period == BLOCK and spectrum.rms_levels <= JPEG_LEVELS:
        return JPEG_BLOCKS
    return LAYER if asked else UNSURE


def _pattern(plane: str, spectrum: Spectrum, cause: str) -> RepeatedPattern:
    return RepeatedPattern(spectrum.period, plane, spectrum.rms_levels, spectrum.ratio, cause)


def _common(images: Sequence[ScannedImage], plane: str, period: int, spectra: list[Spectrum]) -> RepeatedPattern | None:
    """What all images together have of a period: only what repeats in step from image to image is left of it."""
    together = summed(spectra)
    if not _counts(together, asked=True):
        return None
    blocks = 2 * sum(image.jpeg_blocks for image in images) > len(images)
    return _pattern(plane, together, _cause(together, blocks=blocks, asked=True))


def has_blocks(plane: Array) -> bool:
    """Whether JPEG's blocks of 8 x 8 are in an image, from their corner on, whatever it is saved as now.

    At their borders neighbouring pixels differ more than inside, by steps that are other in each block. What repeats
    alike in every block is taken away before.
    """
    if min(plane.shape) < 4 * BLOCK:
        return False
    rows, columns = (side // BLOCK for side in plane.shape)
    plane = plane[: rows * BLOCK, : columns * BLOCK]
    residual = plane - uniform_filter(plane, BLOCK, mode="nearest")
    alike = residual.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(0, 2))
    plane = plane - np.tile(alike, (rows, columns))
    return min(_border_steps(plane), _border_steps(plane.T)) > BLOCK_STEPS / 2 and (
        _border_steps(plane) + _border_steps(plane.T) > 2 * BLOCK_STEPS
    )


def _border_steps(plane: Array) -> float:
    """By how many standard errors steps between columns at borders of blocks exceed those inside."""
    steps = np.abs(np.diff(plane, axis=1)).clip(max=STEP_LEVELS).mean(axis=0)
    by_block = steps[: len(steps) // BLOCK * BLOCK].reshape(-1, BLOCK)
    excess = by_block[:, -1] - by_block[:, :-1].mean(axis=1)
    return float(excess.mean() / max(excess.std(ddof=1) / np.sqrt(len(excess)), 1e-12))


def _saved_as(image: Image.Image) -> str:
    """The file's format, and of a JPEG whether its colours have half the resolution."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return "JPEG, colours halved" if JpegImagePlugin.get_sampling(image) in (1, 2) else "JPEG"
    return image.format or "?"


def _flattest(plane: Array) -> tuple[int, int]:
    """Top and left of the calmest window, where a pattern is seen best, on places that keep the phases."""
    side = min(CROP_PX, *plane.shape)
    mean = uniform_filter(plane, side, mode="nearest")
    spread = uniform_filter(plane * plane, side, mode="nearest") - mean * mean
    half = side // 2
    inner = spread[half : plane.shape[0] - side + half + 1, half : plane.shape[1] - side + half + 1]
    top, left = np.unravel_index(int(inner.argmin()), inner.shape)
    return int(top) // LARGEST_PERIOD * LARGEST_PERIOD, int(left) // LARGEST_PERIOD * LARGEST_PERIOD
