"""MNIST and Fashion-MNIST, read from their archives as they were published; nothing is unpacked to disk.

Only the images are needed, not the labels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from upsample_lab.data.download import RemoteFile, fetch, md5_of
from upsample_lab.data.idx import read_idx_images
from upsample_lab.data.sets import DataError


@dataclass(frozen=True)
class IdxSource:
    """Where a set's archives lie below the data root (torchvision's folders), and how they are recognised."""

    folder: str
    train: RemoteFile
    test: RemoteFile


# The digests are those that torchvision verifies (a test compares them). They are written out here since importing
# torchvision takes as long again as importing torch, and a run's first step waits for it.
MNIST = IdxSource(
    "MNIST/raw",
    RemoteFile("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", max_bytes=10 << 20),
    RemoteFile("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", max_bytes=2 << 20),
)
FASHION_MNIST = IdxSource(
    "FashionMNIST/raw",
    RemoteFile("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", max_bytes=32 << 20),
    RemoteFile("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", max_bytes=8 << 20),
)


UNPACKED_MD5 = {  # of the archive: of its content, where that is known
    MNIST.train.md5: "6bbc9ace898e44ae57da46a324031adb",
    MNIST.test.md5: "2646ac647ad5339dbf082846283269ea",
}


def prepare_idx(source: IdxSource, root: Path, mirrors: Sequence[str], timeout_sec: float) -> None:
    """Make sure that both archives are there and whole; writes only where something is missing or damaged.

    Raises:
        DataError: an archive is missing or damaged, and cannot be downloaded.
    """
    problems = {file: problem for file in (source.train, source.test) if (problem := _locate(source, root, file)[1])}
    if not problems:
        return
    try:
        fetch(list(problems), root / source.folder, mirrors, timeout_sec)
    except DataError as error:
        raise DataError(f"{next(iter(problems.values()))}; {error}") from error


def load_idx(source: IdxSource, root: Path) -> tuple[Tensor, Tensor]:
    """Training and test images, uint8 ``[N, 1, H, W]``.

    Raises:
        DataError: an archive is missing or damaged.
    """
    images = []
    for file in (source.train, source.test):
        path, problem = _locate(source, root, file)
        if path is None:
            raise DataError(problem)
        images.append(read_idx_images(path))
    return images[0], images[1]


def _locate(source: IdxSource, root: Path, file: RemoteFile) -> tuple[Path | None, str]:
    """The archive if its digest is right, else its unpacked twin; or None, and what is wrong.

    Looked for under both of the names in use, in torchvision's folder, the one above it, and the root. In the root,
    which sets of one format share, a file must be the published one.
    """
    home = root / source.folder
    problem = ""
    for folder in dict.fromkeys((home, home.parent, root)):
        for name in (file.name, file.name.replace("-idx3", ".idx3")):
            path, wrong = _found(folder / name, file, published=folder == root)
            if path is not None:
                return path, ""
            problem = problem or wrong
    return None, problem or f"{file.name} is not in {home}"


def _found(archive: Path, file: RemoteFile, *, published: bool) -> tuple[Path | None, str]:
    """One name in one folder, packed or not; an empty problem where nothing is there, or another set's file."""
    unpacked, problem = archive.with_name(archive.name.removesuffix(".gz")), ""
    try:
        if archive.is_file():
            if md5_of(archive) == file.md5:
                return archive, ""
            if _content_is(archive, UNPACKED_MD5.get(file.md5)):
                return archive, ""  # packed again
            problem = "" if published and _owner(archive, None) else f"{archive} is damaged (its MD5 is not {file.md5})"
        if unpacked.is_file():
            known, owner = UNPACKED_MD5.get(file.md5), _owner(unpacked, file)
            if published and known is not None and md5_of(unpacked) != known:
                pass  # of another set of the same format
            elif owner:
                problem = problem or f"{unpacked} holds the images of {owner}"
            else:
                read_idx_images(unpacked)
                return unpacked, ""
    except OSError as error:
        problem = f"{archive} cannot be read ({error.strerror})"
    except DataError as error:
        problem = str(error)
    return None, problem


def _content_is(archive: Path, md5: str | None) -> bool:
    """Whether an archive holds the file with that MD5, which is that of its header and its pixels."""
    if md5 is None:
        return False
    try:
        images = read_idx_images(archive)
    except DataError:
        return False
    header = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in images[:, 0].shape)
    return hashlib.md5(header + images.numpy().tobytes(), usedforsecurity=False).hexdigest() == md5


def _owner(path: Path, wanted: RemoteFile | None) -> str:
    """The published set that a file is of, where that is not the wanted one: by its MD5, packed or unpacked."""
    digest = md5_of(path)
    for name, source in (("MNIST", MNIST), ("Fashion-MNIST", FASHION_MNIST)):
        for each in (source.train, source.test):
            if each != wanted and digest in (each.md5, UNPACKED_MD5.get(each.md5)):
                return f"{name} ({each.name})"
    return ""
