"""How often `scan` errs: on photographs as they are, and with patterns of a known strength."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from math import gcd
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import beta

from upsample_lab.data.decode import read_image, whole
from upsample_lab.data.listing import list_images
from upsample_lab.doctor.scanning import PERIODS, ScannedImage, scanned

LEVELS = (0.5, 1.0, 2.0)
QUALITIES = (90, 75, 30)


def photographs(folders: Iterable[Path]) -> list[np.ndarray]:
    """All images of some folders, uint8."""
    return [read_image(folder / file.name, whole) for folder in folders for file in list_images(folder).files]


def pattern(period: int, random: np.random.Generator) -> np.ndarray:
    """A random tile `[p, p]` of root mean square 1 that has energy of period `p` alone, and none of shorter ones."""
    spectrum = np.fft.fft2(random.standard_normal((period, period)))
    for k in range(period):
        for m in range(period):
            if gcd(gcd(k, m), period) != 1:
                spectrum[k, m] = 0
    tile = np.fft.ifft2(spectrum).real
    return tile / np.sqrt((tile**2).mean())


def with_pattern(pixels: np.ndarray, tile: np.ndarray, levels: float) -> np.ndarray:
    """An image with a pattern in all its channels, rounded to bytes again."""
    height, width = pixels.shape[:2]
    repeats = (-(-height // len(tile)), -(-width // len(tile)))
    whole_image = np.tile(tile, repeats)[:height, :width]
    added = whole_image if pixels.ndim == 2 else whole_image[..., None]
    return np.clip(np.rint(pixels + levels * added), 0, 255).astype(np.uint8)


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """The image after JPEG with halved colours."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    with Image.open(buffer) as image:
        return np.asarray(image)


def found(image: ScannedImage, period: int | None = None) -> bool:
    """Whether a pattern that is not JPEG's was found, of this period or of any."""
    return any(not p.is_jpegs and period in (None, p.period) for p in image.patterns)


def selftest(images: Sequence[np.ndarray], track: Callable[[Sequence[int]], Iterable[int]] = iter) -> list[list[str]]:
    """Rows `what, images, periods looked for, found, at most (95 %)` of the documentation's table."""
    rows = []
    for name, changed in [("as they are", lambda image: image), *_compressed()]:
        alarms = sum(found(scanned("", changed(image), periods=PERIODS)) for image in images)
        rows.append([name, str(len(images)), "2, 4, 8", f"{alarms}", f"{_at_most(alarms, len(images)):.1%}"])
    searched = sum(found(scanned("", image, periods=PERIODS, search=True)) for image in images)
    rows.append(["as they are", str(len(images)), "2 to 16", f"{searched}", f"{_at_most(searched, len(images)):.1%}"])
    for period in track(PERIODS):
        for levels in LEVELS:
            random = np.random.default_rng(period)
            changed_images = (with_pattern(image, pattern(period, random), levels) for image in images)
            hits = sum(found(scanned("", image, periods=(period,)), period) for image in changed_images)
            rows.append([f"{levels:g} levels of period {period}", str(len(images)), str(period), str(hits), ""])
    return rows


def _compressed() -> list[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    def compress(quality: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: as_jpeg(image, quality)

    return [(f"as JPEG of quality {quality}", compress(quality)) for quality in QUALITIES]


def _at_most(count: int, of: int) -> float:
    """The upper end of Clopper and Pearson's interval of 95 %, one-sided."""
    return 1.0 if count == of else float(beta.ppf(0.95, count + 1, of - count))
