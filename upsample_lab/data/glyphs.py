"""The built-in set: the digits 0–9 in Pillow's own font, distorted at random; looks like MNIST at a glance.

    1. Each digit is drawn once, large, and turned into a signed distance field: how far a point lies inside (+) or
       outside (−) of the stroke.
    2. For each image an affine map (rotation, scale, shear, shift) takes the 28×28 pixel centres into that field.
    3. The distance found there, plus half of the chosen change of stroke width, becomes a grey value: a ramp one
       output pixel wide is what antialiasing makes of an edge.

**Bit-identical.** For given masters the images depend on the seed alone: random numbers are raw words of PCG64, whose
stream NumPy guarantees (NEP 19, "bit generators"), and the arithmetic uses ``+ − × ÷ √`` only, which IEEE 754 rounds
exactly, where ``sin`` and ``exp`` differ from one library to the next. The masters are what Pillow and its FreeType
draw, identified by `masters_digest`: the same in Pillow 10.1, 10.4, 11.3, 12.0 and 13.0 (FreeType 2.13.2 to 2.14.3).
"""

import hashlib
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from upsample_lab.data.sets import DataError

IMAGE_SIZE_PX = 28
DIGIT_HEIGHT_PX = 20.0
"""MNIST's digits were fitted into 20×20 of the 28×28 pixels."""
FIELD_SIZE = 112
"""Side of a distance field: 4 samples an output pixel, so that bilinear interpolation between them is enough."""
FIELD_DIGIT_HEIGHT = 72
FONT_SIZE = 256
"""The digit is drawn at this size, 2.5 times finer than the field, so that the threshold's staircase disappears."""
CHUNK = 2000
"""Images distorted at once: bounds the memory at some 100 MB."""

# Ranges of the distortion, uniform; chosen by eye beside MNIST.
HALF_TURN_TANGENT = 0.14  # rotation up to 2·atan(0.14) = 16°
SCALE_RANGE = (0.82, 1.08)
ASPECT_RANGE = (0.85, 1.15)
SHEAR_RANGE = (-0.25, 0.35)  # to the right more than to the left, as hands do
SHIFT_RANGE_PX = (-2.0, 2.0)
WEIGHT_RANGE_PX = (-0.45, 0.85)  # added to the width of the stroke on each side
WORDS_PER_IMAGE = 8


def make_glyphs(count: int, seed: int, stream: int) -> Tensor:
    """Draw `count` distorted digits: uint8 ``[count, 1, 28, 28]``, white on black; image i shows the digit i mod 10.

    `stream` (0 training, 1 test) makes independent sets from one seed. A longer set begins with the shorter one.
    """
    return distort(_fields(), count, seed, stream)


def masters_digest() -> str:
    """First 16 hex digits of the SHA-256 of the digits as this Pillow draws them, before any distortion."""
    return hashlib.sha256(b"".join(np.packbits(_master(digit)).tobytes() for digit in range(10))).hexdigest()[:16]


def distort(fields: np.ndarray, count: int, seed: int, stream: int) -> Tensor:
    """Sample each image from ``fields[i mod K]`` under its own affine map; see the module's docstring.

    Args:
        fields: signed distances in output pixels, float64 ``[K, FIELD_SIZE, FIELD_SIZE]``.
    """
    bits = np.random.PCG64(np.random.SeedSequence((seed, stream)))
    images = np.empty((count, IMAGE_SIZE_PX, IMAGE_SIZE_PX), np.uint8)
    for first in range(0, count, CHUNK):
        stop = min(first + CHUNK, count)
        words = bits.random_raw((stop - first) * WORDS_PER_IMAGE).reshape(-1, WORDS_PER_IMAGE)
        unit = (words >> np.uint64(11)) * 2.0**-53  # 53 random bits: uniform in [0, 1)
        which = np.arange(first, stop) % len(fields)
        images[first:stop] = _render(fields, which, unit)
    return torch.from_numpy(images).unsqueeze(1)


def _render(fields: np.ndarray, which: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Grey values of one chunk: uint8 ``[B, 28, 28]`` from `which` ``[B]`` and uniform numbers ``[B, 8]``."""
    rows, columns, weight = _field_coordinates(unit)
    top = np.clip(rows.astype(np.int64), 0, FIELD_SIZE - 2)
    left = np.clip(columns.astype(np.int64), 0, FIELD_SIZE - 2)
    down = np.clip(rows - top, 0.0, 1.0)
    right = np.clip(columns - left, 0.0, 1.0)
    flat = fields.reshape(-1)
    corner = (which[:, None, None] * FIELD_SIZE + top) * FIELD_SIZE + left
    upper = flat[corner] * (1.0 - right) + flat[corner + 1] * right
    lower = flat[corner + FIELD_SIZE] * (1.0 - right) + flat[corner + FIELD_SIZE + 1] * right
    distance_px = upper * (1.0 - down) + lower * down
    coverage = np.clip(distance_px + weight + 0.5, 0.0, 1.0)
    return (coverage * 255.0 + 0.5).astype(np.uint8)


def _field_coordinates(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each output pixel's centre falls in the field: rows, columns ``[B, 28, 28]``; and weight ``[B, 1, 1]``."""

    def uniform(column: int, low: float, high: float) -> np.ndarray:
        return (low + (high - low) * unit[:, column])[:, None, None]

    # cos and sin of 2·atan(t), from the tangent of the half angle: rational, hence exactly rounded everywhere.
    tangent = uniform(0, -HALF_TURN_TANGENT, HALF_TURN_TANGENT)
    cosine = (1.0 - tangent * tangent) / (1.0 + tangent * tangent)
    sine = 2.0 * tangent / (1.0 + tangent * tangent)
    scale_y = uniform(1, *SCALE_RANGE)
    scale_x = scale_y * uniform(2, *ASPECT_RANGE)
    shear = uniform(3, *SHEAR_RANGE)
    centres = np.arange(IMAGE_SIZE_PX) + 0.5 - IMAGE_SIZE_PX / 2
    y = centres[None, :, None] - uniform(4, *SHIFT_RANGE_PX)
    x = centres[None, None, :] - uniform(5, *SHIFT_RANGE_PX)
    turned_y = cosine * y - sine * x
    turned_x = cosine * x + sine * y + shear * turned_y
    per_px = FIELD_DIGIT_HEIGHT / DIGIT_HEIGHT_PX  # field samples an output pixel
    middle = (FIELD_SIZE - 1) / 2
    return (
        turned_y * (per_px / scale_y) + middle,
        turned_x * (per_px / scale_x) + middle,
        uniform(6, *WEIGHT_RANGE_PX),
    )


@cache
def _fields() -> np.ndarray:
    return np.stack([distance_field(_master(digit)) for digit in range(10)])


def _master(digit: int) -> np.ndarray:
    """The digit as Pillow draws it, thresholded and cropped to its ink: bool ``[height, width]``."""
    canvas = Image.new("L", (2 * FONT_SIZE, 2 * FONT_SIZE))
    try:
        font = ImageFont.load_default(FONT_SIZE)
    except ImportError as error:
        raise DataError("glyphs: this Pillow was built without FreeType, so it has no font that scales") from error
    ImageDraw.Draw(canvas).text((FONT_SIZE // 2, FONT_SIZE // 2), str(digit), fill=255, font=font)
    ink = np.asarray(canvas) >= 128
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def distance_field(ink: np.ndarray) -> np.ndarray:
    """Signed distance to the edge of `ink`, in output pixels: float64 ``[FIELD_SIZE, FIELD_SIZE]``, positive inside.

    The shape is centred and scaled to `FIELD_DIGIT_HEIGHT` samples. Brute force over the edge's points: some hundreds
    of points for each of 12,544 samples, once a digit.
    """
    height, width = ink.shape
    step = height / FIELD_DIGIT_HEIGHT  # pixels of `ink` a field sample
    offsets = (np.arange(FIELD_SIZE) - (FIELD_SIZE - 1) / 2) * step
    rows, columns = offsets + (height - 1) / 2, offsets + (width - 1) / 2
    edge_rows, edge_columns = _edge_midpoints(ink)
    nearest = np.empty((FIELD_SIZE, FIELD_SIZE))
    for index, row in enumerate(rows):  # row by row: bounds the memory
        squared = (row - edge_rows) ** 2 + (columns[:, None] - edge_columns) ** 2
        nearest[index] = np.sqrt(squared.min(axis=1))
    inside = np.zeros((FIELD_SIZE, FIELD_SIZE), bool)
    row_index, column_index = np.floor(rows + 0.5).astype(int), np.floor(columns + 0.5).astype(int)
    row_ok, column_ok = (row_index >= 0) & (row_index < height), (column_index >= 0) & (column_index < width)
    inside[np.ix_(row_ok, column_ok)] = ink[np.ix_(row_index[row_ok], column_index[column_ok])]
    per_px = step * FIELD_DIGIT_HEIGHT / DIGIT_HEIGHT_PX
    return np.where(inside, nearest, -nearest) / per_px


def _edge_midpoints(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Midpoints between horizontally or vertically neighbouring pixels of which one is ink: ``[E]`` rows, columns."""
    padded = np.pad(ink, 1)
    across_rows, across_columns = padded[1:] != padded[:-1], padded[:, 1:] != padded[:, :-1]
    first = np.argwhere(across_rows) - np.array((0.5, 1.0))
    second = np.argwhere(across_columns) - np.array((1.0, 0.5))
    points = np.concatenate((first, second))
    return points[:, 0], points[:, 1]
