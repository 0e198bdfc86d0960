"""Who works on a run: one process at a time, on one machine or on several that share a file system.

Two things hold a run. The kernel's lock on `.lock` ends with the process that has it, however that ends, but does not
reach other machines on every shared file system. So `.holder` beside it names the process, and its date is renewed
every few seconds by a thread: the heartbeat. A `.holder` whose process is gone, or whose heart has stopped, is taken
over.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from upsample_lab.runs.files import read_json, temporary_beside
from upsample_lab.settings import ConfigError

try:
    import fcntl
except ImportError:  # Windows: the holder's file alone must do
    fcntl = None  # type: ignore[assignment]

BEAT_SEC = 5.0
DEAD_AFTER_SEC = 60.0  # twelve missed beats: room for a shared file system's caches and a server that stalls
POLL_SEC = 0.25
HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)


class RunHeld(ConfigError):
    """Another process is working on the run."""

    exit_status = 3


@dataclass(frozen=True)
class Holder:
    """The process that has a run; `boot` tells machines of one name apart, `token` sittings of one process."""

    host: str
    boot: str
    pid: int
    token: str

    @staticmethod
    def this_process() -> Holder:
        return Holder(socket.gethostname(), boot_id(), os.getpid(), secrets.token_hex(8))

    @staticmethod
    def read(file: Path) -> Holder | None:
        """The holder that `file` names, or None where it names none."""
        content = read_json(file) or {}
        try:
            return Holder(str(content["host"]), str(content["boot"]), int(content["pid"]), str(content["token"]))
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def is_here(self) -> bool:
        return self.boot == boot_id()

    @property
    def is_gone(self) -> bool:
        """Whether it is known, on this machine, that the process is no more."""
        return self.is_here and not _is_alive(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@cache
def boot_id() -> str:
    """What the kernel drew when it started: the same in all containers of a machine, another on another machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


class Hold:
    """A run that is held."""

    def __init__(self, folder: Path, holder: Holder) -> None:
        self.folder, self.holder = folder, holder

    def check(self) -> None:
        """Raise `RunHeld` when another process has taken the run over: then nothing more must be written."""
        now = Holder.read(self.folder / ".holder")
        if now is not None and now != self.holder:
            raise RunHeld(f"{self.folder} was taken over by {now}, which had not heard of this process for too long")


@contextmanager
def held(
    folder: Path,
    notify: Callable[[str], None] = lambda text: None,
    *,
    beat_sec: float = BEAT_SEC,
    dead_after_sec: float = DEAD_AFTER_SEC,
) -> Iterator[Hold]:
    """Hold the run in `folder`, which exists; `notify` is told in one line what is waited for, or taken over.

    Raises `RunHeld` with host and number of the process that has it; `OSError` where `folder` cannot be written.
    """
    holder, file = Holder.this_process(), folder / ".holder"
    with _kernel_lock(folder) as locked:
        _claim(file, holder, locked, dead_after_sec, notify)
        stop = threading.Event()
        heart = threading.Thread(target=_beat, args=(file, stop, beat_sec), name="upsample_lab heartbeat", daemon=True)
        heart.start()
        try:
            yield Hold(folder, holder)
        finally:
            stop.set()
            heart.join()
            if Holder.read(file) == holder:
                file.unlink(missing_ok=True)


def _beat(file: Path, stop: threading.Event, beat_sec: float) -> None:
    while not stop.wait(beat_sec):
        with suppress(OSError):  # a full or absent disk is told by the writer of what matters
            os.utime(file)


@contextmanager
def _kernel_lock(folder: Path) -> Iterator[bool]:
    """The kernel's lock; False where the file system knows none."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        yield _flock(descriptor, folder)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, folder: Path) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD_BY_ANOTHER:
            return False
        other = Holder.read(folder / ".holder")
        known = other is not None and not other.is_gone
        raise _refused(folder, str(other) if known else "another process, which is just starting") from None
    return True


def _refused(folder: Path, who: str) -> RunHeld:
    return RunHeld(f"{folder} is being worked on by {who}; wait for it, or stop it first")


def _claim(file: Path, holder: Holder, locked: bool, dead_after_sec: float, notify: Callable[[str], None]) -> None:
    """Put our name into `.holder`, which one process alone can do while it does not exist."""
    while not _create(file, holder):
        other = Holder.read(file)
        if other is None or not (other.is_gone or (other.is_here and locked)):  # the kernel knows its own processes
            _watch(file, other, dead_after_sec, notify)
            notify(f"{file.parent}: taken over from {other or 'a process without a name'}, whose heartbeat has stopped")
        with suppress(FileNotFoundError):
            os.replace(file, aside := temporary_beside(file))
            aside.unlink()


def _create(file: Path, holder: Holder) -> bool:
    """Make `file`, whole, unless it exists: a link to a finished file is the one step that fails for all but one."""
    temporary = temporary_beside(file)
    try:
        with temporary.open("x", encoding="utf-8") as out:
            json.dump(asdict(holder), out)
        try:
            os.link(temporary, file)
        except FileExistsError:
            return False
        except OSError:  # no links on this file system, so the kernel's lock must do
            if file.exists():
                return False
            os.replace(temporary, file)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _watch(file: Path, other: Holder | None, dead_after_sec: float, notify: Callable[[str], None]) -> None:
    """Return once the heart of another machine's process has stopped; raise `RunHeld` when it beats.

    Dates are compared with those that the file system gives, since clocks of machines differ.
    """
    try:
        last = file.stat().st_mtime_ns
        if (age_sec := _age_sec(file, last)) < dead_after_sec:
            notify(
                f"{file.parent} was held by {other or 'another machine'} {max(age_sec, 0):.0f} s ago; "
                f"watching for its heartbeat, at most {dead_after_sec:g} s"
            )
        while _age_sec(file, last) < dead_after_sec:
            time.sleep(min(POLL_SEC, dead_after_sec / 4))
            if file.stat().st_mtime_ns != last:
                raise _refused(file.parent, f"{other or 'another machine'}, whose heart beats")
    except FileNotFoundError:
        return  # it has ended meanwhile


def _age_sec(file: Path, mtime_ns: int) -> float:
    os.utime(file.with_name(".lock"))
    return (file.with_name(".lock").stat().st_mtime_ns - mtime_ns) / 1e9
