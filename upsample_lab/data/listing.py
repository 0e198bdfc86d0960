"""Which files of a folder are images, and which of them train and which test.

    train/…  and  test/…       as they lie; folders below them (classes) are not told apart
    train/…  and  val/…        the same: validation images test where nothing else does
    test/…   and others        the others train
    train/…  alone, or none    a share of the images is set aside for testing
    test/…   alone             refused: images for testing never train

A folder is one of these by its name in any case: `SPLITS`; beside its counterpart also `train2017`, `test_images`;
below the top where no folder at the top is one (`cat/train/…`, `cat/test/…`). `data.train_folders` and
`data.test_folders` name others. What belongs to neither is told in a note.

Within each set, images are in the order of a hash of their names: as good as shuffled, so that the first n of them,
or the last, are no single class; and still the same when other files join.
"""

import hashlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upsample_lab.data.decode import SUFFIXES
from upsample_lab.data.sets import DataError
from upsample_lab.runs.data_files import file_state

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation", "dev", "eval"),
}
KIND = {word: kind for kind, words in SPLITS.items() for word in words}
NAMES_SHOWN = 3
LOOSE = "."
"""How the settings name the files that lie in no folder."""


@dataclass(frozen=True)
class ImageFile:
    """One file that looks like an image: its name below the folder, and what tells whether it changed."""

    name: str
    state: tuple[int, int, int, int]
    """Size, dates, inode: `runs.data_files.file_state`."""

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
        listing.files.append(ImageFile(name, file_state(entry.stat())))


def split_files(
    files: Sequence[ImageFile],
    test_fraction: float,
    train_folders: Sequence[str] = (),
    test_folders: Sequence[str] = (),
) -> tuple[list[ImageFile], list[ImageFile], str]:
    """Training files, test files, each in the order of their ranks; and a note on what a reader must know of the split.

    `train_folders` and `test_folders` are names of folders, or `.` for the files in none; empty: by their own names.

    Raises:
        DataError: `test_fraction` is not between 0 and 1, all images are for testing, or a folder named has none.
    """
    ranked = sorted(files, key=lambda file: (file.rank, file.name))
    notes: list[str] = []
    if train_folders or test_folders:
        train, test = _named(ranked, train_folders, test_folders)
    else:
        train, test = _by_name(ranked, notes)
    used = {file.name for file in [*train, *test]}
    rest = [file for file in ranked if file.name not in used]
    if not train:
        where = _places(test + rest)
        raise DataError(
            f"data.path: no images to train on, only for testing ({where}); name folders with data.train_folders"
        )
    if not test:
        if not 0 < test_fraction < 1:
            raise DataError(f"data.test_fraction={test_fraction:g}: must lie between 0 and 1")
        test_count = min(max(1, round(len(train) * test_fraction)), max(0, len(train) - 2))
        where = "no train/ and test/" if not rest and not train_folders and _kinds_at(ranked) == {} else "no test/"
        given = "train/ and " if where == "no test/" else ""
        notes.insert(
            0,
            f"the folder has {given}{where}: {test_count} of its {len(train)} images were set aside for testing",
        )
        train, test = train[test_count:], train[:test_count]
    if rest:
        notes.append(
            f"{len(rest)} images are not used: {_places(rest)}; data.train_folders and data.test_folders name folders"
        )
    return train, test, "; ".join(notes)


def _named(
    ranked: Sequence[ImageFile], train_folders: Sequence[str], test_folders: Sequence[str]
) -> tuple[list[ImageFile], list[ImageFile]]:
    chosen: dict[str, list[ImageFile]] = {"train": [], "test": []}
    taken: dict[str, str] = {}
    for kind, names in (("train", train_folders), ("test", test_folders)):
        for name in dict.fromkeys(names):
            inside = [file for file in ranked if _is_in(file.name, name)]
            if not inside:
                there = ", ".join(sorted({file.name.partition("/")[0] for file in ranked if "/" in file.name})[:10])
                raise DataError(f"data.{kind}_folders={name}: has no images; the folder has {there or 'loose files'}")
            for file in inside:
                if taken.setdefault(file.name, kind) != kind:
                    raise DataError(f"data.{kind}_folders={name}: {file.name} would both train and test")
            chosen[kind] += inside
    if not train_folders:
        chosen["train"] = [file for file in ranked if file.name not in taken]
    kept = {kind: {file.name for file in some} for kind, some in chosen.items()}
    return [f for f in ranked if f.name in kept["train"]], [f for f in ranked if f.name in kept["test"]]


def _is_in(file: str, folder: str) -> bool:
    folder = folder.strip("/")
    return "/" not in file if folder == LOOSE else file.startswith(f"{folder}/")


def _by_name(ranked: Sequence[ImageFile], notes: list[str]) -> tuple[list[ImageFile], list[ImageFile]]:
    """The files that train and those that test, the latter empty where a share must be set aside."""
    kinds = _kinds_at(ranked)
    groups: dict[str, list[ImageFile]] = {"train": [], "test": [], "validation": [], "": []}
    folders: dict[str, set[str]] = {kind: set() for kind in groups}
    for file in ranked:
        place, kind = kinds.get(file.name, ("", ""))
        groups[kind].append(file)
        folders[kind].add(place)
    train, test, validation, others = groups.values()
    for kind in ("train", "test", "validation"):
        words = {place.rpartition("/")[2] for place in folders[kind]}
        if len(words) > 1 and (kind != "validation" or not test):
            listed = " and ".join(f"{word}/" for word in sorted(words))
            notes.append(f"{listed} are taken together as {kind} images")
    if any("/" in place for kind in folders for place in folders[kind]):
        notes.append("images were told apart by folders below the top: " + _places([*train, *test, *validation]))
    held_out = test or validation
    if not train and held_out:
        if others:
            notes.append(f"no train/: the {len(others)} images outside {_places(held_out)} train")
        return others, held_out
    if not train:
        for top in sorted({file.name.partition("/")[0] for file in ranked if "/" in file.name}):
            if any(KIND.get(word, "train") != "train" for word in _words(top)):
                notes.append(
                    f"{top}/ is taken as a class; {shlex.quote(f'data.test_folders=[{top}]')} makes it the test set"
                )
        return others, []
    return train, held_out


def _kinds_at(ranked: Sequence[ImageFile]) -> dict[str, tuple[str, str]]:
    """File to `(folder, kind)`, of those in a folder with the name of a split, at the top if any is there."""
    paths = {file.name: file.name.split("/")[:-1] for file in ranked}
    tops = {parts[0] for parts in paths.values() if parts}
    pairs = _compound(tops)
    if any(_kind(top, pairs) for top in tops):
        return {name: (parts[0], kind) for name, parts in paths.items() if parts and (kind := _kind(parts[0], pairs))}
    pairs = _compound({part for parts in paths.values() for part in parts})
    found = {}
    for name, parts in paths.items():
        for depth, part in enumerate(parts):
            if kind := _kind(part, pairs):
                found[name] = ("/".join(parts[: depth + 1]), kind)
                break
    return found


def _kind(name: str, pairs: dict[str, str]) -> str:
    return KIND.get(name.casefold(), "") or pairs.get(name, "")


def _compound(names: set[str]) -> dict[str, str]:
    """Names such as `val_256`: only where one kind trains and another does not, since a class may be a bullet train."""
    found = {}
    for name in names:
        kinds = {KIND[word] for word in _words(name) if word in KIND}
        if len(kinds) == 1:
            found[name] = kinds.pop()
    kinds = set(found.values())
    return found if "train" in kinds and len(kinds) > 1 else {}


def _words(name: str) -> list[str]:
    return re.split("[^a-z]+", name.casefold())


def _places(files: Sequence[ImageFile]) -> str:
    """`extra/ (12), a.png, b.png and 4 more`: where files lie, printable."""
    folders = Counter(file.name.partition("/")[0] + "/" for file in files if "/" in file.name)
    loose = sorted(file.name for file in files if "/" not in file.name)
    shown = [f"{name} ({count})" for name, count in sorted(folders.items())[:NAMES_SHOWN]] + loose[:NAMES_SHOWN]
    more = max(0, len(folders) - NAMES_SHOWN) + max(0, len(loose) - NAMES_SHOWN)
    text = ", ".join(shown) + (f" and {more} more" if more else "")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
