"""The same test images as each variant reconstructs them, and maps of their errors."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open

from upsample_lab.compare.result import Comparison
from upsample_lab.compare.words import number, plural, shortened
from upsample_lab.drawing.comparison import Drawing
from upsample_lab.drawing.looks import PNG_DPI, SMALL_PT
from upsample_lab.drawing.palette import INK
from upsample_lab.drawing.style import SIGNED, new_figure

SHOWN = 12  # images of each variant
SHOWN_PIXELS = 400_000  # of each variant, so that a page of large images can still be sent by mail
DRAWN = 8  # columns of the figure
LIMIT_PERCENT = 99.5  # of all errors lie within the colours' range; the few beyond have its last colour

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Some test images, `[n, H, W, 3]` uint8, and by variant what its run with the lowest seed made of them.

    errors  `[n, H, W]`, reconstruction less original in 0…1: root mean square over the channels, with the mean's sign
    limit   the size of an error that has the strongest colour
    """

    originals: Bytes
    outputs: Mapping[str, Bytes]
    errors: Mapping[str, NDArray[np.float32]]
    psnr_db: Mapping[str, tuple[float, ...]]
    limit: float
    seed: int

    @property
    def count(self) -> int:
        return len(self.originals)


def load_pictures(comparison: Comparison) -> Pictures | None:
    """The comparison's examples, read from the files of the runs; None where there are none, or none is readable.

    A variant whose file is broken, or shows other images than the first variant's, is left out.
    """
    examples = comparison.examples
    if examples is None:
        return None
    files = {v.name: examples.files[v.name] for v in comparison.variants if v.name in examples.files}
    loaded = {name: found for name, file in files.items() if (found := _load(file, examples.indices)) is not None}
    if not loaded:
        return None
    originals = next(iter(loaded.values()))[0]
    same = {name: found for name, found in loaded.items() if np.array_equal(found[0], originals)}
    errors = {name: _signed_error(output, originals) for name, (_, output, _) in same.items()}
    everything = np.concatenate([np.abs(error).ravel() for error in errors.values()])
    return Pictures(
        originals=as_rgb(originals),
        outputs={name: as_rgb(output) for name, (_, output, _) in same.items()},
        errors=errors,
        psnr_db={name: psnr_db for name, (_, _, psnr_db) in same.items()},
        limit=max(float(np.percentile(everything, LIMIT_PERCENT)), 1 / 255),
        seed=min(comparison.seeds),
    )


def _load(path: Path, indices: Sequence[int]) -> tuple[Bytes, Bytes, tuple[float, ...]] | None:
    """(originals, outputs, their PSNR) of the first of those images, `[n, C, H, W]`; None where there are none."""
    try:
        with safe_open(path, framework="numpy") as file:
            originals, outputs = file.get_tensor("originals"), file.get_tensor("outputs")
            every_psnr_db = file.get_tensor("psnr_db")
    except (SafetensorError, OSError):
        return None
    height, width = originals.shape[-2:]
    count = min(SHOWN, max(1, SHOWN_PIXELS // (height * width)))
    chosen = [i for i in indices if i < min(len(originals), len(every_psnr_db))][:count]
    if originals.shape != outputs.shape or not chosen:
        return None
    return originals[chosen], outputs[chosen], tuple(float(value) for value in every_psnr_db[chosen])


def as_rgb(images: Bytes) -> Bytes:
    """`[n, C, H, W]` -> `[n, H, W, 3]`; the first channel three times where there are not three."""
    colored = images if images.shape[1] == 3 else images[:, :1].repeat(3, axis=1)
    return np.ascontiguousarray(colored.transpose(0, 2, 3, 1))


def _signed_error(outputs: Bytes, originals: Bytes) -> NDArray[np.float32]:
    error = (outputs.astype(np.float32) - originals.astype(np.float32)) / 255
    return np.where(error.mean(axis=1) < 0, -1, 1) * np.sqrt((error**2).mean(axis=1))


# -------------------------------------------------------------------------------------------------------- as PNG files


def strip(images: Bytes) -> bytes:
    """Images `[n, H, W, 3]` side by side, as a PNG file; the page shows one at a time."""
    return _png(Image.fromarray(np.concatenate(list(images), axis=1)))


def tile_file(image: Bytes) -> bytes:
    """An image `[h, w, 3]` as a PNG file, of one channel where it is grey."""
    grey = bool((image == image[..., :1]).all())
    return _png(Image.fromarray(image[..., 0] if grey else image))


def error_strip(errors: NDArray[np.float32], limit: float) -> bytes:
    """Error maps `[n, H, W]` side by side, as a PNG file: blue too dark, orange too bright."""
    return _png(
        Image.fromarray(error_colors(np.concatenate(list(errors), axis=1), limit)).quantize(
            64, dither=Image.Dither.NONE
        )
    )


def error_colors(errors: NDArray[np.float32], limit: float) -> Bytes:
    return (SIGNED(np.clip(errors / limit, -1, 1) / 2 + 0.5)[..., :3] * 255).round().astype(np.uint8)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def data_address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


# ----------------------------------------------------------------------------------------------------------- the figure


def picture_drawing(comparison: Comparison, pictures: Pictures) -> Drawing:
    count = min(DRAWN, pictures.count)
    return Drawing(
        "reconstructions",
        "The same test images, reconstructed",
        f"{plural(count, 'test image')}, as each variant reconstructs them (seed {pictures.seed}), over their errors: "
        f"blue is too dark, orange too bright, full colour at {number(pictures.limit, 2)} of the range.",
        partial(_figure, comparison, pictures, count),
    )


def _figure(comparison: Comparison, pictures: Pictures, count: int, width_in: float) -> Figure:
    """A row of originals, then for each variant a row of reconstructions over one of errors."""
    names = [v.name for v in comparison.variants if v.name in pictures.outputs]
    labels_in = 1.5
    height, width = pictures.originals.shape[1:3]
    row_in = (width_in - labels_in) / count * height / width
    figure = new_figure(width_in, row_in * (1 + 2 * len(names)) + 0.1 * len(names) + 0.1, PNG_DPI)
    figure.set_layout_engine("none")
    total_in = figure.get_figheight()
    top = total_in - 0.05
    rows = [("original", _row(pictures.originals[:count], 255), 0.0)]
    for name in names:
        rows.append((shortened(name, 22), _row(pictures.outputs[name][:count], 255), 0.1))
        errors = error_colors(pictures.errors[name][:count], pictures.limit)
        rows.append(("error", _row(errors, 255), 0.0))
    for text, image, gap_in in rows:
        top -= row_in + gap_in
        axes = figure.add_axes((labels_in / width_in, top / total_in, 1 - labels_in / width_in, row_in / total_in))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        color = "#6b6b6b" if text == "error" else INK
        axes.text(-0.015, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=SMALL_PT, color=color)
    return figure


def _row(images: Bytes, between: int) -> Bytes:
    """Images side by side with a gap of a sixteenth."""
    gap = max(1, images.shape[2] // 16)
    padded = np.pad(images, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=between)
    return np.concatenate(list(padded), axis=1)
