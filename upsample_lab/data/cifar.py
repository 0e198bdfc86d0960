"""CIFAR-10 from its official Python archive, unpacked or not.

The archive's batches are pickles, which could run code. So each is loaded only when its digest is the known one, and
even then by an unpickler that can rebuild arrays of bytes and plain containers, nothing else.
"""

import hashlib
import io
import logging
import os
import pickle
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from upsample_lab.data.download import RemoteFile, fetch, md5_of
from upsample_lab.data.sets import DataError

log = logging.getLogger(__name__)

CHANNELS, SIDE_PX = 3, 32
MAX_BATCH_BYTES = 64 << 20
"""The official batches have 31 MB."""


@dataclass(frozen=True)
class CifarSource:
    """The archive, and the MD5 of each batch in it, in the order in which they are joined."""

    archive: RemoteFile
    folder: str
    train: dict[str, str]
    test: dict[str, str]

    @property
    def batches(self) -> dict[str, str]:
        """All of them, name to MD5."""
        return self.train | self.test


# The digests are those that torchvision verifies (a test compares them).
CIFAR10 = CifarSource(
    RemoteFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", max_bytes=256 << 20),
    "cifar-10-batches-py",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
)


def prepare_cifar(source: CifarSource, root: Path, mirrors: Sequence[str], timeout_sec: float) -> None:
    """Make sure that the batches are there and whole: unpacked, else in the archive, else downloaded and unpacked.

    Raises:
        DataError: they are missing or damaged, and cannot be downloaded.
    """
    problem = _folder_problem(source, root)
    if not problem:
        return
    archive = root / source.archive.name
    if not _archive_is_whole(source, archive):
        try:
            fetch([source.archive], root, mirrors, timeout_sec)
        except DataError as error:
            raise DataError(f"{problem}; {error}") from error
    try:
        unpack(source, archive, root / source.folder)
    except OSError as error:  # a read-only root: the archive is read as it is, each time
        log.info("%s is not unpacked (%s)", archive, error.strerror)


def load_cifar(source: CifarSource, root: Path) -> tuple[Tensor, Tensor]:
    """Training and test images, uint8 ``[N, 3, 32, 32]``.

    Raises:
        DataError: batches are missing or damaged.
    """
    problem = _folder_problem(source, root)
    if not problem:
        contents = {name: (root / source.folder / name).read_bytes() for name in source.batches}
    else:
        archive = root / source.archive.name
        if not _archive_is_whole(source, archive):
            raise DataError(problem)
        contents = dict(archive_batches(source, archive))
    return _join(source.train, contents), _join(source.test, contents)


def unpack(source: CifarSource, archive: Path, folder: Path) -> None:
    """Write the archive's batches into `folder`, each under a temporary name until it is whole.

    Raises:
        DataError: the archive is damaged.
        OSError: `folder` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archive_batches(source, archive):
        with tempfile.NamedTemporaryFile(dir=folder, prefix=name, delete=False) as out:
            try:
                out.write(content)
                out.close()
                os.chmod(out.name, 0o644)
                os.replace(out.name, folder / name)
            except BaseException:
                os.unlink(out.name)
                raise


def archive_batches(source: CifarSource, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each batch in the archive, verified.

    Only regular files of the expected names are read, into memory; nothing is extracted, so no path, link or device in
    the archive has any effect.

    Raises:
        DataError: the archive is damaged, or a batch is missing, too large or not the known one.
    """
    wanted = {f"{source.folder}/{name}": name for name in source.batches}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = wanted.pop(member.name, None)
                if name is None:
                    continue
                if not member.isreg() or member.size > MAX_BATCH_BYTES:
                    raise DataError(f"{archive}: {member.name} is no regular file of at most {MAX_BATCH_BYTES} bytes")
                content = cast(io.BufferedReader, tar.extractfile(member)).read()
                if _md5(content) != source.batches[name]:
                    raise DataError(f"{archive}: {member.name} is damaged (its MD5 is not {source.batches[name]})")
                yield name, content
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be read ({error})") from error
    if wanted:
        raise DataError(f"{archive}: {', '.join(sorted(wanted))} is not in it")


class PickledDtype:
    """Stands in for a pickled `numpy.dtype`: remembers its code and ignores its state, which NumPy would trust."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.is_byte = code in ("u1", b"u1")

    def __setstate__(self, state: Any) -> None:
        pass


class PickledArray:
    """Stands in for a pickled `numpy.ndarray`, of bytes only: its state becomes `array` by checked calls."""

    array: np.ndarray

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran_order, content = state
        if not (isinstance(dtype, PickledDtype) and dtype.is_byte and isinstance(content, bytes)):
            raise pickle.UnpicklingError("an array that is not of bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran_order else "C")


def _new_array(*_: Any) -> PickledArray:
    return PickledArray()


def _latin1_bytes(text: str, encoding: str | bytes = "latin1") -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


class BatchUnpickler(pickle.Unpickler):
    """Rebuilds what a CIFAR batch is made of: arrays of bytes, numbers, bytes, strings, lists, dictionaries.

    Nothing of NumPy is called with arguments from the file; any global but those of a pickled array is refused.
    """

    KNOWN: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): _new_array,
        ("numpy._core.multiarray", "_reconstruct"): _new_array,
        ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
        ("numpy", "dtype"): PickledDtype,
        ("_codecs", "encode"): _latin1_bytes,  # how Python 3 writes bytes for Python 2
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no batch of images needs")
        return self.KNOWN[module, name]


def parse_batch(content: bytes, name: str) -> Tensor:
    """The images of one pickled batch: uint8 ``[N, 3, 32, 32]``.

    Raises:
        DataError: the pickle is malformed, refers to anything but arrays, or has no images of 3x32x32.
    """
    try:
        batch = BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise DataError(f"{name}: refused as a batch of CIFAR images ({error})") from error
    pickled = batch.get(b"data") if isinstance(batch, dict) else None
    pixels = getattr(pickled, "array", None) if isinstance(pickled, PickledArray) else None
    values = CHANNELS * SIDE_PX * SIDE_PX
    if pixels is None or pixels.shape[1:] != (values,):
        raise DataError(f"{name}: has no array 'data' of bytes, [N, {values}]")
    return torch.from_numpy(pixels.copy(order="C")).view(-1, CHANNELS, SIDE_PX, SIDE_PX)


def _join(batches: dict[str, str], contents: dict[str, bytes]) -> Tensor:
    for name, digest in batches.items():
        if _md5(contents[name]) != digest:  # it may have changed since it was looked at
            raise DataError(f"{name} is damaged (its MD5 is not {digest})")
    return torch.cat([parse_batch(contents[name], name) for name in batches])


def _folder_problem(source: CifarSource, root: Path) -> str:
    """What is wrong with the unpacked batches; empty: nothing."""
    for name, digest in source.batches.items():
        path = root / source.folder / name
        try:
            if not path.is_file():
                return f"{path} is not there, nor is {root / source.archive.name}"
            if path.stat().st_size > MAX_BATCH_BYTES or md5_of(path) != digest:
                return f"{path} is damaged (its MD5 is not {digest})"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
    return ""


def _archive_is_whole(source: CifarSource, archive: Path) -> bool:
    try:
        return archive.is_file() and md5_of(archive) == source.archive.md5
    except OSError:
        return False


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
