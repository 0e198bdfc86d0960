"""Stopping on request: the first signal lets the step in hand end and the state be saved, the second stops at once.

Asked by Ctrl-C (SIGINT), by an operator or a scheduler (SIGTERM), or by a scheduler ahead of a time limit (SIGUSR2, as
in Slurm's `--signal=USR2@60`).
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name))


class Interrupted(Exception):
    """The run was asked to stop, and its state is saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number

    @property
    def exit_status(self) -> int:
        """What a shell reports of a process that this signal ended: 130 Ctrl-C, 143 SIGTERM, 140 SIGUSR2 (Linux)."""
        return 128 + self.signal_number


class StopRequest:
    """`with StopRequest() as stop:` — `stop.check()` raises `Interrupted` once a signal has arrived."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS if self._is_ours(number)}
        return self

    @staticmethod
    def _is_ours(number: int) -> bool:
        """A signal that is ignored stays so, and a launcher that listens for SIGUSR2 itself, as submitit does, may."""
        handler = signal.getsignal(number)
        return handler != signal.SIG_IGN and (number in (signal.SIGINT, signal.SIGTERM) or handler == signal.SIG_DFL)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        for each, handler in self._previous.items():
            signal.signal(each, handler)  # type: ignore[arg-type]  # a second signal acts as if we were not here

    @property
    def requested(self) -> bool:
        return self.signal_number is not None

    def check(self) -> None:
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)
