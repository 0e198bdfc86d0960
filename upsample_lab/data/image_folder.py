"""Any folder of images as a data set: each file is decoded once, and the pixels are kept as memory-mapped arrays.

A cache entry is a folder ``<cache>/image_folder/<key>/`` with ``train.npy``, ``test.npy`` and ``report.json``; the key
is a digest of the files' names, sizes, dates and inodes and of the settings, so an entry is never out of date (not even
where a file took the place of another of its size, with its date set back), and any may be deleted. It gets its name
when it is complete. Nothing in it can run code: it is read with ``allow_pickle=False``.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from upsample_lab.data.decode import UnusableImageError, decode
from upsample_lab.data.listing import ImageFile, Listing, list_images, resolve_folder, split_files
from upsample_lab.data.progress import progress
from upsample_lab.data.sets import DataError, DataSource

FORMAT_VERSION = 2
"""Raise it when the same files would be converted to other pixels."""
CHUNK_BYTES = 64 << 20
CHUNK_FILES = 512
MAX_WORKERS = 8
NAMES_SHOWN = 10
MAX_SIZE_PX = 4096
NPY_HEADER_BYTES = 128


class Digest(Protocol):
    """Any of hashlib's."""

    def update(self, content: memoryview, /) -> None: ...


@dataclass(frozen=True)
class FolderSettings:
    """What decides the pixels, but for the files themselves."""

    image_size: int
    channels: int
    test_fraction: float
    train_folders: tuple[str, ...] = ()
    test_folders: tuple[str, ...] = ()


@dataclass
class PreparationReport:
    """What became of the files, beside the pixels."""

    train_count: int = 0
    test_count: int = 0
    enlarged_count: int = 0
    other_count: int = 0
    split_note: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    """Name to cause, of every image file that is not in the arrays."""
    pixels: str = ""
    """SHA-256 of the arrays' pixels, training images first; empty in entries made before it was kept."""

    def check(self) -> None:
        """Raise `ValueError` where a file that was read says what no conversion says."""
        counts = (self.train_count, self.test_count, self.enlarged_count, self.other_count)
        texts = self.left_out if isinstance(self.left_out, dict) else {None: None}
        if not all(type(count) is int and count >= 0 for count in counts) or not all(
            isinstance(text, str) for text in (self.split_note, *texts, *texts.values())
        ):
            raise ValueError("not the report of a conversion")

    def notes(self, size: int) -> tuple[str, ...]:
        """The report as sentences."""
        total = self.train_count + self.test_count + len(self.left_out)
        notes = []
        if self.left_out:
            shown = [f"{_printable(name)} ({cause})" for name, cause in sorted(self.left_out.items())[:NAMES_SHOWN]]
            more = len(self.left_out) - len(shown)
            listed = ", ".join(shown) + (f" and {more} more" if more else "")
            notes.append(f"{len(self.left_out)} of {total} files left out: {listed}")
        if self.split_note:
            notes.append(self.split_note)
        if self.enlarged_count:
            notes.append(f"{self.enlarged_count} of {total} images are smaller than {size} px and were enlarged")
        if self.other_count:
            notes.append(f"{self.other_count} files that are not images by their names were ignored")
        return tuple(notes)


def load_image_folder(root: Path, path: str, settings: FolderSettings, cache_dir: str | None) -> DataSource:
    """Training and test images (uint8 ``[N, C, S, S]``, memory-mapped), and notes; converts them where need be.

    Neither converting nor opening them takes more memory for more images.

    Raises:
        DataError: no such folder, no usable image in it, or nowhere to keep the converted images.
    """
    if not 1 <= settings.image_size <= MAX_SIZE_PX:
        raise DataError(f"data.image_size={settings.image_size}: must be from 1 to {MAX_SIZE_PX}")
    if settings.channels not in (1, 3):
        raise DataError(f"data.channels={settings.channels}: must be 1 (grey) or 3 (colour)")
    folder = resolve_folder(root, path)
    listing = list_images(folder)
    if not listing.files:
        why = PreparationReport(left_out=listing.left_out, other_count=listing.other_count).notes(settings.image_size)
        raise DataError(f"{folder}: no image files in it" + "".join(f"; {note}" for note in why))
    entry = _cache_folder(cache_dir) / cache_key(listing, settings)
    found = _open_entry(entry, settings)
    if found is None:
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(entry.with_suffix(".lock")):
                found = _open_entry(entry, settings)  # another process may have made it meanwhile
                if found is None:
                    _build_entry(entry, folder, listing, settings)
                    found = _open_entry(entry, settings)
        except OSError as error:
            raise DataError(
                f"{entry.parent}: the converted images cannot be kept there ({error.strerror or error}); "
                "set data.cache_dir to a folder with room"
            ) from error
    if found is None:
        raise DataError(f"{entry}: was written, but cannot be read back")
    train, test, report = found
    notes = report.notes(settings.image_size)
    if len(train) < 2 or len(test) < 1:
        counts = f"{len(train)} usable training and {len(test)} usable test image(s), where 2 and 1 are the least"
        raise DataError(f"{folder}: {counts}" + "".join(f"; {note}" for note in notes))
    return DataSource(train, test, notes, report.pixels)


def cache_key(listing: Listing, settings: FolderSettings) -> str:
    """Digest of everything that decides an entry."""
    digest = hashlib.sha256(repr((FORMAT_VERSION, settings, listing.other_count, listing.left_out)).encode())
    for file in sorted(listing.files, key=lambda file: file.name):
        digest.update(os.fsencode(file.name) + b"\0%d %d %d %d\n" % file.state)
    return digest.hexdigest()[:32]


def _cache_folder(cache_dir: str | None) -> Path:
    if cache_dir:
        return Path(cache_dir).expanduser() / "image_folder"
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()
    return base / "upsample_lab" / "image_folder"


def _open_entry(entry: Path, settings: FolderSettings) -> tuple[Tensor, Tensor, PreparationReport] | None:
    """The entry, if it is there and whole; an entry that is not is made anew."""
    try:
        report = PreparationReport(**json.loads((entry / "report.json").read_text("utf-8")))
        report.check()
        train = _map_array(entry / "train.npy", report.train_count, settings)
        test = _map_array(entry / "test.npy", report.test_count, settings)
    except (OSError, ValueError, TypeError, EOFError, RecursionError):
        return None
    return train, test, report


def _map_array(path: Path, count: int, settings: FolderSettings) -> Tensor:
    shape = (count, settings.channels, settings.image_size, settings.image_size)
    if count == 0:
        return torch.empty(shape, dtype=torch.uint8)
    # "c", copy on write: PyTorch knows no read-only tensors, and writing to this one never reaches the file.
    array = np.lib.format.open_memmap(path, mode="c")  # unlike np.load, takes arrays alone: no archive, no pickle
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"{path}: {array.dtype} {array.shape}, not uint8 {shape}")
    return torch.from_numpy(array)


def _build_entry(entry: Path, folder: Path, listing: Listing, settings: FolderSettings) -> None:
    train, test, split_note = split_files(
        listing.files, settings.test_fraction, settings.train_folders, settings.test_folders
    )
    report = PreparationReport(other_count=listing.other_count, split_note=split_note, left_out=dict(listing.left_out))
    work = entry.with_suffix(".unfinished")  # the lock's holder is the only one who writes it
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        with (
            ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1)) as pool,
            progress(f"reading images from {folder}", len(train) + len(test), unit="images") as advance,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's, on damaged files: they are reported by name
            digest = hashlib.sha256()
            report.train_count = _convert(folder, train, work / "train.npy", settings, report, digest, pool, advance)
            report.test_count = _convert(folder, test, work / "test.npy", settings, report, digest, pool, advance)
            report.pixels = digest.hexdigest()
        (work / "report.json").write_text(json.dumps(asdict(report), indent=1), "utf-8")
        if entry.exists():
            shutil.rmtree(entry)  # damaged, or it would have been opened
        os.rename(work, entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(
    folder: Path,
    files: Sequence[ImageFile],
    target: Path,
    settings: FolderSettings,
    report: PreparationReport,
    digest: Digest,
    pool: Executor,
    advance: Callable[[int], None],
) -> int:
    """Decode `files` into one array file, in order; returns the number of images in it.

    Written as a plain stream, a chunk at a time, and added to `digest` on the way. (A memory map on a full disk would
    end the process by a signal.)
    """
    row_bytes = settings.channels * settings.image_size**2
    chunk_files = max(1, min(CHUNK_FILES, CHUNK_BYTES // row_bytes))

    def read(file: ImageFile) -> tuple[np.ndarray, bool] | UnusableImageError:
        try:
            return decode(folder / file.name, settings.image_size, settings.channels)
        except UnusableImageError as error:
            return error

    count = 0
    with target.open("wb") as out:
        out.write(_npy_header(0, settings))
        for first in range(0, len(files), chunk_files):
            chunk = files[first : first + chunk_files]
            for file, result in zip(chunk, pool.map(read, chunk), strict=True):
                if isinstance(result, UnusableImageError):
                    report.left_out[file.name] = str(result)
                    continue
                pixels, enlarged = result
                report.enlarged_count += enlarged
                content = np.ascontiguousarray(pixels).data
                out.write(content)
                digest.update(content)
                count += 1
            advance(len(chunk))
        out.seek(0)
        out.write(_npy_header(count, settings))
        out.flush()
        os.fsync(out.fileno())
    return count


def _npy_header(count: int, settings: FolderSettings) -> bytes:
    """Header of NumPy's .npy format 1.0, of fixed length, so that the count can be filled in at the end."""
    shape = (count, settings.channels, settings.image_size, settings.image_size)
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape})
    body = text.encode().ljust(NPY_HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def _printable(name: Iterable[str]) -> str:
    """A file name fit for a terminal: no control characters, no undecodable bytes."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
