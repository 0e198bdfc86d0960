"""Whether the files that a run's images come from are untouched, without reading one; imports no torch.

A file counts as untouched when its name, size, dates of content and of inode, and inode number are what they were.
Neither a copy under the same name nor a change in place that sets size and date back keeps them all: the inode's date
cannot be set. Where they differ the pixels themselves are compared, so that a difference here costs time and no more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOWNLOADED_FOLDERS = ("MNIST/raw", "MNIST", "FashionMNIST/raw", "FashionMNIST", "cifar-10-batches-py", "")
"""Where files of these sets may lie below `data.root`."""
NAME_PARTS = ("ubyte", "cifar", "_batch")  # of the files of downloaded sets


def files_digest(data: Any) -> str:
    """16 hex digits over the names and states of the files of the group `data`; all that may matter, rather too many.

    Empty for a set without files, which its settings decide alone.
    """
    if not hasattr(data, "root"):
        return ""
    root = Path(data.root).expanduser()
    found = _below(root / Path(data.path).expanduser()) if hasattr(data, "path") else _downloaded(root)
    digest = hashlib.sha256()
    for line in sorted(found):
        digest.update(line + b"\n")
    return digest.hexdigest()[:16]


def file_state(stat: os.stat_result) -> tuple[int, int, int, int]:
    """What changes with a file's content, whoever changes it: size, date of content, date of inode, inode."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _downloaded(root: Path) -> Iterator[bytes]:
    for folder in DOWNLOADED_FOLDERS:
        try:
            entries = list(os.scandir(root / folder))
        except OSError:
            continue
        for entry in entries:
            if any(part in entry.name for part in NAME_PARTS):
                yield _line(f"{folder}/{entry.name}", entry)


def _below(folder: Path, prefix: str = "") -> Iterator[bytes]:
    try:
        entries = list(os.scandir(folder / prefix))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder, f"{prefix}{entry.name}/")
        else:
            yield _line(prefix + entry.name, entry)


def _line(name: str, entry: os.DirEntry[str]) -> bytes:
    states = []
    for follow in (False, True):
        try:
            states.append(file_state(entry.stat(follow_symlinks=follow)))
        except OSError as error:
            states.append((error.errno or 0, 0, 0, 0))
    return os.fsencode(name) + b"\0" + repr(states).encode()
