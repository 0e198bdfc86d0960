"""The idx files of MNIST and of the sets that took over its format (http://yann.lecun.com/exdb/mnist, "file formats").

byte 0–3    magic number: 0, 0, 8 (unsigned byte), number of dimensions
then        each dimension as a big-endian 32-bit number
then        the bytes, last dimension fastest
"""

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from torch import Tensor

from upsample_lab.data.sets import DataError

MAX_BYTES = 1 << 31
"""No idx file of images that this package reads comes near; a header that promises more is damaged or hostile."""


def read_idx_images(path: Path) -> Tensor:
    """Read an idx file of images, gzip-compressed or not: uint8 ``[N, 1, H, W]``.

    Reads exactly what the header promises and one byte more, so an archive that unpacks to more than that is refused
    without being unpacked.

    Raises:
        DataError: the file cannot be read, is not an idx file of images, or holds fewer or more bytes than it says.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            return _parse(cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _parse(stream: IO[bytes], path: Path) -> Tensor:
    header = stream.read(16)
    if len(header) < 16 or header[:4] != bytes((0, 0, 8, 3)):
        raise DataError(f"{path}: not an idx file of images (it begins with {header[:4].hex() or 'nothing'})")
    count, height, width = (int(number) for number in np.frombuffer(header, ">u4", count=3, offset=4))
    byte_count = count * height * width
    if not 0 < byte_count <= MAX_BYTES:
        raise DataError(f"{path}: its header says {count} images of {height}x{width}, which cannot be right")
    pixels = stream.read(byte_count)
    if len(pixels) < byte_count:
        raise DataError(f"{path}: ends after {len(pixels)} of the {byte_count} pixels that its header says")
    if stream.read(1):
        raise DataError(f"{path}: holds more than the {byte_count} pixels that its header says")
    return torch.from_numpy(np.frombuffer(pixels, np.uint8).copy()).view(count, 1, height, width)
