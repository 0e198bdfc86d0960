"""Files from a list of mirrors: verified by digest, resumed where they were cut off, and quick to give up.

A mirror that does not answer is not asked again for the next file, and no mirror is asked twice for the same thing
(but once more from the first byte, where a resumed file turned out wrong). So without a network the whole attempt
ends within 2 · mirrors · timeout, and at once where host names do not resolve.
"""

import hashlib
import http.client
import logging
import os
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from upsample_lab.data.progress import progress
from upsample_lab.data.sets import DataError

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 16
MIN_BYTES_PER_WINDOW = 1 << 10
"""A connection that delivers less than this within one timeout counts as dead: it would keep the user for days."""
LOCK_NAME = ".download.lock"
LOCK_WAIT_SEC = 600.0


@dataclass(frozen=True)
class RemoteFile:
    """A file that mirrors offer under their address + `name`; `max_bytes` bounds what is accepted from them."""

    name: str
    md5: str
    max_bytes: int


class MirrorError(Exception):
    """One mirror failed to deliver one file; `dead`: it would not deliver another one either."""

    def __init__(self, cause: str, *, dead: bool) -> None:
        super().__init__(cause)
        self.dead = dead


def md5_of(path: Path) -> str:
    """MD5 of a file, as 32 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch(files: Sequence[RemoteFile], folder: Path, mirrors: Sequence[str], timeout_sec: float) -> None:
    """Make sure that each of `files` is in `folder` with the right digest, downloading those that are not.

    A file gets its name only after its digest was verified. What has arrived of an interrupted one is kept beside it
    as ``<name>.part`` and continued by the next call, from whichever mirror. Processes that want the same folder at
    once wait for the first, and find its files.

    Raises:
        DataError: a file could not be had from any mirror (each is listed with its cause), or not be written.
    """
    for mirror in mirrors:
        if not mirror.startswith(("https://", "http://")):
            raise DataError(f"data.mirrors: {mirror!r} must begin with https:// or http://")
    if not mirrors:
        raise DataError("data.mirrors is empty, so nothing can be downloaded")
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            alive = list(mirrors)
            for file in files:
                target = folder / file.name
                if not (target.is_file() and md5_of(target) == file.md5):
                    _fetch_one(file, target, alive, timeout_sec)
    except Timeout as error:
        raise DataError(f"{folder}: another process has held {LOCK_NAME} for {LOCK_WAIT_SEC:.0f} s") from error
    except OSError as error:
        raise DataError(f"{folder}: cannot be written to ({error.strerror or error})") from error
    except DataError:
        _remove_empty(new_folders)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Take back folders, the deepest first, that hold nothing but a download's lock."""
    for folder in folders:
        if {path.name for path in folder.iterdir()} <= {LOCK_NAME}:
            (folder / LOCK_NAME).unlink(missing_ok=True)
            folder.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from downloading into `folder`."""
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("waiting for another process that downloads into %s", folder)
        lock.acquire(timeout=LOCK_WAIT_SEC)
    try:
        yield
    finally:
        lock.release()


def _fetch_one(file: RemoteFile, target: Path, alive: list[str], timeout_sec: float) -> None:
    """Try the mirrors in order; those found dead are removed from `alive`."""
    part = target.with_name(target.name + ".part")
    causes = []
    for mirror in tuple(alive):
        url = mirror.rstrip("/") + "/" + file.name
        try:
            _transfer(url, file, part, timeout_sec)
        except MirrorError as error:
            causes.append(f"{mirror}: {error}")
            log.debug("%s: %s", url, error)
            if error.dead:
                alive.remove(mirror)
            continue
        os.replace(part, target)
        return
    listed = "; ".join(causes) or "no mirror is left to ask"
    raise DataError(f"{file.name} could not be downloaded ({listed})")


def _transfer(url: str, file: RemoteFile, part: Path, timeout_sec: float) -> None:
    """Bring `part` to completion from `url` and verify it; a wrong one is deleted."""
    resumed = part.exists() and part.stat().st_size > 0
    _append(url, file, part, timeout_sec)
    if md5_of(part) == file.md5:
        return
    part.unlink()
    if resumed:  # the beginning may have been another file's: once more, from the first byte
        _append(url, file, part, timeout_sec)
        if md5_of(part) == file.md5:
            return
        part.unlink()
    raise MirrorError("what it sent has the wrong digest", dead=False)


def _append(url: str, file: RemoteFile, part: Path, timeout_sec: float) -> None:
    """Continue `part` where it ends, if the server can; else begin it anew."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "upsample_lab"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        with _open(request, timeout_sec) as response:
            continues = response.status == 206 and _range_start(response) == have
            start = have if continues else 0
            total = start + _content_length(response)
            arrived = start
            with (
                _written(part, append=continues) as write,
                progress(f"downloading {file.name}", total, start) as advance,
            ):
                for block in _blocks(response, timeout_sec):
                    arrived += len(block)
                    if arrived > file.max_bytes:
                        raise MirrorError(f"it sends more than {file.max_bytes} bytes", dead=False)
                    write(block)
                    advance(len(block))
            if arrived < total:
                raise MirrorError(f"the connection ended after {arrived} of {total} bytes", dead=False)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # all of it is there already, or more than all: the digest will tell
            return
        raise MirrorError(f"HTTP {error.code} {error.reason}", dead=False) from error
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a malformed address
        raise MirrorError(_cause(error, timeout_sec), dead=True) from error


@contextmanager
def _written(part: Path, *, append: bool) -> Iterator[Callable[[bytes], None]]:
    """Yield what writes to `part`. A full disk is no fault of the mirror's, and is told apart here."""

    def failed(error: OSError) -> DataError:
        return DataError(f"{part}: cannot be written to ({error.strerror or error})")

    try:
        out = part.open("ab" if append else "wb", buffering=0)
    except OSError as error:
        raise failed(error) from error

    def write(block: bytes) -> None:
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[out.write(rest) :]
        except OSError as error:
            raise failed(error) from error

    with out:
        yield write


def _content_length(response: http.client.HTTPResponse) -> int:
    """Bytes that the server announces; 0 where it does not."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else 0


def _range_start(response: http.client.HTTPResponse) -> int | None:
    """First byte of ``Content-Range: bytes first-last/total``."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else None


def _open(request: urllib.request.Request, timeout_sec: float) -> http.client.HTTPResponse:
    """`urlopen` that answers within `timeout_sec` in all.

    The timeout of a socket covers neither the look-up of the host name nor the trial of each of its addresses in turn;
    a thread that is left behind covers everything up to the response's header.
    """
    answer: queue.SimpleQueue[http.client.HTTPResponse | BaseException] = queue.SimpleQueue()
    given_up = threading.Event()

    def ask() -> None:
        try:
            response = urllib.request.urlopen(request, timeout=timeout_sec)
        except Exception as error:  # handed to the caller, whatever it is
            answer.put(error)
        else:
            answer.put(response)
            if given_up.is_set():
                response.close()

    threading.Thread(target=ask, name="upsample_lab download", daemon=True).start()
    try:
        result = answer.get(timeout=timeout_sec)
    except queue.Empty:
        given_up.set()
        raise TimeoutError from None
    if isinstance(result, BaseException):
        raise result
    return result


def _blocks(response: http.client.HTTPResponse, timeout_sec: float) -> Iterator[bytes]:
    """What arrives, as it arrives, up to the end of the transfer; TimeoutError when it (nearly) stands still."""
    window_start, in_window = time.monotonic(), 0
    while block := response.read1(BLOCK_BYTES):
        yield block
        in_window += len(block)
        if time.monotonic() - window_start > timeout_sec:
            if in_window < MIN_BYTES_PER_WINDOW:
                raise TimeoutError
            window_start, in_window = time.monotonic(), 0


def _cause(error: BaseException, timeout_sec: float) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    match reason:
        case socket.gaierror():
            return "the host name cannot be resolved"
        case TimeoutError():
            return f"no answer within {timeout_sec:g} s"
        case ssl.SSLError():
            return f"no secure connection ({reason.reason or reason})"
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError():
            return str(reason.strerror or reason)
        case _:
            return str(reason) or type(reason).__name__
