"""Which files of a folder are images, and which of them train and which test.

    train/…  and  test/…  (or val/…)     as they lie; folders below them (classes) are not told apart
    train/…  alone, or neither           a share of the images is set aside for testing

Within each set, images are in the order of a hash of their names: as good as shuffled, so that the first n of them,
or the last, are no single class; and still the same when other files join.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upsample_lab.data.decode import SUFFIXES
from upsample_lab.data.sets import DataError

TEST_FOLDERS = ("test", "val")


@dataclass(frozen=True)
class ImageFile:
    """One file that looks like an image: its name below the folder, and what tells whether it changed."""

    name: str
    byte_count: int
    mtime_ns: int

    @property
    def rank(self) -> bytes:
        """Place in the order of images."""
        return hashlib.blake2b(os.fsencode(self.name), digest_size=8).digest()


@dataclass
class Listing:
    """What was found in a folder."""

    files: list[ImageFile] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Name to cause: links that lead elsewhere, unreadable folders."""
    other_count: int = 0
    """Files that are not images by their names, hidden ones included."""


def resolve_folder(root: Path, path: str) -> Path:
    """The folder that the user names: absolute, or below `root` (and then not out of it again).

    Raises:
        DataError: there is no such folder, or a relative path leads out of `root`.
    """
    if not path:
        raise DataError("data.path: name the folder of images, absolute or below data.root")
    folder = Path(path).expanduser()
    if not folder.is_absolute():
        folder = root / folder
        if not folder.resolve().is_relative_to(root.resolve()):
            raise DataError(f"data.path={path}: leads out of data.root={root}; give an absolute path instead")
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        hint = "" if Path(path).expanduser().is_absolute() else f" (a relative path starts from data.root={root})"
        raise DataError(f"data.path={path}: {folder} {what}{hint}")
    return folder


def list_images(folder: Path) -> Listing:
    """Every image file below `folder`, by name. Links are followed to files inside `folder` only.

    Raises:
        DataError: `folder` itself cannot be read.
    """
    listing = Listing()
    inside = folder.resolve()
    pending = [""]  # folders to visit, as prefixes of the names in them
    while pending:
        prefix = pending.pop()
        try:
            entries = sorted(os.scandir(folder / prefix), key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from error
            listing.left_out[prefix] = error.strerror or "unreadable folder"
            continue
        for entry in entries:
            name = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    pending.append(f"{name}/")
                else:
                    _list_file(entry, name, inside, listing)
            except OSError as error:
                listing.left_out[name] = error.strerror or str(error)
    return listing


def _list_file(entry: os.DirEntry, name: str, inside: Path, listing: Listing) -> None:
    """Put what is not a plain folder in its place."""
    is_link = entry.is_symlink()
    if entry.name.startswith("."):
        listing.other_count += 1
    elif is_link and entry.is_dir():
        listing.left_out[name] = "link to a folder"
    elif os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        listing.other_count += 1
    elif is_link and not Path(entry.path).resolve().is_relative_to(inside):
        listing.left_out[name] = "link out of the folder"
    elif not entry.is_file():
        listing.left_out[name] = "dangling link" if is_link else "not a regular file"
    else:
        stat = entry.stat()
        listing.files.append(ImageFile(name, stat.st_size, stat.st_mtime_ns))


def split_files(files: Sequence[ImageFile], test_fraction: float) -> tuple[list[ImageFile], list[ImageFile], str]:
    """Training files, test files, each in the order of their ranks; and a note on how they were told apart.

    Raises:
        DataError: `test_fraction` is not between 0 and 1.
    """
    ranked = sorted(files, key=lambda file: (file.rank, file.name))
    train = [file for file in ranked if file.name.startswith("train/")]
    for folder in TEST_FOLDERS:
        test = [file for file in ranked if file.name.startswith(f"{folder}/")]
        if train and test:
            rest = len(files) - len(train) - len(test)
            return train, test, f"{rest} images outside train/ and {folder}/ are not used" if rest else ""
    if not 0 < test_fraction < 1:
        raise DataError(f"data.test_fraction={test_fraction:g}: must lie between 0 and 1")
    pool = train or ranked
    test_count = min(max(1, round(len(pool) * test_fraction)), max(0, len(pool) - 2))
    where = "train/ and no test/" if train else "no train/ and test/"
    note = f"the folder has {where}: {test_count} of its {len(pool)} images were set aside for testing"
    return pool[test_count:], pool[:test_count], note
