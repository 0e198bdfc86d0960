"""TensorBoard's event file, written in step with the training instead of by a thread of its own.

`torch.utils.tensorboard.SummaryWriter` writes from a thread: what waits in its queue is lost when the process is
killed, and a full disk ends in a traceback of that thread. Here an event is in the file when `add` has returned, and an
error is raised where it happens.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from upsample_lab.runs.files import Appending

PREFIX = "events.out.tfevents."


class EventFile:
    """A new event file in `folder`; what older files hold from `purge_step` on is hidden by TensorBoard."""

    def __init__(self, folder: Path, purge_step: int) -> None:
        name = f"{PREFIX}{_second(folder):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = Appending(folder / name)
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), step=purge_step, file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, summary: Summary, step: int = 0) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())


def _second(folder: Path) -> int:
    """The time in the file's name. TensorBoard reads files in the order of their names, so it is later than any."""
    stamps = [re.match(r"\d+", path.name.removeprefix(PREFIX)) for path in folder.glob(f"{PREFIX}*")]
    return max([int(time.time()), *(int(found[0]) + 1 for found in stamps if found)])


def tags_at(folder: Path, step: int, prefix: str) -> set[str]:
    """The names beginning with `prefix` that the event files of `folder` have at `step`."""
    return {
        value.tag
        for path in sorted(folder.glob(f"{PREFIX}*"))
        for event in _events(path)
        if event.step == step
        for value in event.summary.value
        if value.tag.startswith(prefix)
    }


def _events(path: Path) -> Iterator[Event]:
    """The whole events of a file; one that a kill left unfinished ends it."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    yield from EventFileLoader(str(path)).Load()
