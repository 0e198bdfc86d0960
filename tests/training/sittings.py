"""Sittings of a training that end by SIGKILL at a chosen moment, each in a process of its own.

Starting Python and torch takes seconds, so one server imports everything once and forks a child for each sitting. The
child counts moments, which are all the places where a kill could leave something half done: before each step, before
each file is opened for writing, renamed, linked, removed or synced, and in the middle of writing each checkpoint, line
and event, of which half is then on the disk. At the moment asked for it kills itself; or, as another fault, the disk is
full from that moment on.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
NEVER = -1


class SittingServer:
    """`sit(words, kill_at)` runs the training script; returns its exit status and the moments that it passed."""

    def __enter__(self) -> SittingServer:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.sittings"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def sit(self, words: list[str], log: Path, moment: int = NEVER, fault: str = "kill") -> tuple[int, int]:
        """Status -9 where the kill came; what the script printed is in `log`. The fault is `kill` or `full`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([words, str(log), moment, fault]), file=self._process.stdin, flush=True)
        status, moments = json.loads(self._process.stdout.readline())
        return status, moments


class Moments:
    """Counts, in a pipe that the parent reads, and brings the fault about."""

    def __init__(self, chosen: int, fault: str, pipe: int) -> None:
        self.chosen, self.fault, self.pipe, self.count = chosen, fault, pipe, 0

    def has_come(self) -> bool:
        """Pass a moment; whether the fault happens at it."""
        self.count += 1
        os.write(self.pipe, b".")
        return self.count == self.chosen or (self.fault == "full" and self.count > self.chosen > 0)

    def strike(self) -> None:
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the disk of this test")

    def pass_one(self) -> None:
        if self.has_come():
            self.strike()


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(moments: Moments, folder: str) -> None:
    """Let every moment of this process pass by `moments`; `folder` holds the files that matter."""
    from upsample_lab.runs import checkpoint
    from upsample_lab.runs.files import Appending
    from upsample_lab.training.state import Training

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        changes = event in ("os.rename", "os.mkdir", "os.link")
        if ((opens or changes) and str(arguments[0]).startswith(folder)) or (
            event == "os.remove" and moments.fault == "kill"
        ):
            moments.pass_one()

    def before(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            moments.pass_one()
            return original(*arguments)

        setattr(owner, name, watched)

    def halfway(owner: Any, name: str, write: Any) -> None:
        original = getattr(owner, name)

        def watched(target: Any, *arguments: Any) -> Any:
            if moments.has_come():
                write(original, target, *arguments)
                moments.strike()
            return original(target, *arguments)

        setattr(owner, name, watched)

    def half_a_record(original: Any, file: Appending, record: bytes) -> None:
        original(file, record[: len(record) // 2])

    def half_a_checkpoint(original: Any, path: Path, *arguments: Any) -> None:
        original(path, *arguments)
        os.truncate(path, path.stat().st_size // 2)

    sys.addaudithook(audit)
    before(os, "fsync")
    if moments.fault == "kill":
        before(Training, "step")
    halfway(Appending, "write", half_a_record)
    halfway(checkpoint, "_write", half_a_checkpoint)


def serve() -> None:
    """Answer each line `[words, log, moment, fault]` with `[status, moments]`."""
    import torch  # noqa: F401  # imported once, for all children
    from PIL import Image

    from tests.conftest import load_script
    from upsample_lab.cli import job  # noqa: F401
    from upsample_lab.cli.main import guarded
    from upsample_lab.compose import compose_one
    from upsample_lab.data.glyphs import make_glyphs
    from upsample_lab.runs import provenance  # noqa: F401
    from upsample_lab.training import loop, session, space  # noqa: F401

    main = load_script("train").main
    compose_one("train", ["data=glyphs"])  # so that no child looks for Hydra's plugins again
    Image.init()
    make_glyphs(1, 0, 0)  # so that no child draws the digits' masters again
    for line in sys.stdin:
        words, log, moment, fault = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
                os.dup2(os.open(os.devnull if number == 0 else log, mode | os.O_CREAT | os.O_TRUNC, 0o600), number)
            folder = next(word.partition("=")[2] for word in words if word.startswith("output_root="))
            watch(Moments(moment, fault, writing), folder)
            os._exit(guarded(partial(main, words)))
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            moments = len(pipe.read())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([status, moments]), flush=True)


if __name__ == "__main__":
    serve()
