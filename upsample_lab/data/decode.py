"""One image file of whatever mode and size -> uint8 of one size; or the reason why not.

1. The first frame is taken, turned as its EXIF orientation says.
2. Grey of 16 bits is scaled to 8; transparent parts become white, as on a page; palettes, CMYK and bits are expanded.
3. The middle square is cut out and scaled to ``size × size``. Scaling uses Pillow's antialiased triangle filter:
   it has no negative lobes, so it adds no ringing of its own to images on which artifacts are to be measured.
   An image that has the right size already is not touched.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .ppm .pgm .pbm .pnm .tif .tiff .webp .avif".split()  # noqa: SIM905
)
"""Files with other endings are not looked into."""
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF")
"""Formats tried, whatever a file's ending says. Not EPS, for one, which Pillow hands to an interpreter of programs."""
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


T = TypeVar("T")


class UnusableImageError(Exception):
    """A file cannot be used as an image; the message says why in a few words."""


def decode(path: Path, size: int, channels: int) -> tuple[np.ndarray, bool]:
    """Read one image: uint8 ``[channels, size, size]``, and whether it had to be enlarged.

    Raises:
        UnusableImageError: the file is empty, damaged, no image, too large (Pillow's limit against decompression
            bombs), or of a mode without a defined range (floating point).
    """

    def read(image: Image.Image) -> tuple[np.ndarray, bool]:
        enlarged = min(image.size) < size
        image.draft(None, (2 * size, 2 * size))  # JPEG: decode large photographs at a fraction of their size
        upright = _upright(image)
        return np.asarray(_to_mode(_middle_square(upright, size), channels)), enlarged

    pixels, enlarged = read_image(path, read)
    return (pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)), enlarged


def read_image(path: Path, read: Callable[[Image.Image], T]) -> T:
    """What `read` makes of the opened file.

    Raises:
        UnusableImageError: as `decode`, whatever `read` or a decoder raises.
    """
    try:
        if path.stat().st_size == 0:
            raise UnusableImageError("empty file")
        with Image.open(path, formats=_formats()) as image:
            _refuse_bomb(image)
            return read(image)
    except UnusableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnusableImageError(f"more than Pillow's limit of {Image.MAX_IMAGE_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise UnusableImageError("not an image of a known format") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise UnusableImageError(_in_few_words(error)) from error


def whole(image: Image.Image) -> np.ndarray:
    """All pixels as they lie in the file, uint8 `[H, W, 3]` or, of a grey image, `[H, W]`."""
    expanded = _expand(image)
    return np.asarray(expanded if expanded.mode == "L" else expanded.convert("RGB"))


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _refuse_bomb(image: Image.Image) -> None:
    """Pillow itself only warns up to twice its limit."""
    width, height = image.size
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data: the pixels may be good, and are taken as they lie
        image.load()
        return image


def _middle_square(image: Image.Image, size: int) -> Image.Image:
    """Cut and scale in one step, so that a strip of 1 × 100,000 pixels is never enlarged as a whole."""
    if image.size == (size, size):
        return image
    if image.mode in ("1", "P", "PA") or image.mode in SIXTEEN_BIT_MODES:  # modes that Pillow scales by nearest only
        image = _expand(image)
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def _to_mode(image: Image.Image, channels: int) -> Image.Image:
    return _expand(image).convert("L" if channels == 1 else "RGB")


def _expand(image: Image.Image) -> Image.Image:
    """To ``L`` or ``RGB`` (or a mode that converts to them), without transparency."""
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnusableImageError("32-bit grey values beyond 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise UnusableImageError("floating-point pixels, which have no defined white")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _in_few_words(error: Exception) -> str:
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return "truncated"
    return (str(error).splitlines() or [""])[0][:80] or type(error).__name__
