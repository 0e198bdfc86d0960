"""What is worked out once for each size and kept: matrices, indices, taps."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch
from torch.utils._python_dispatch import _disable_current_modes

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by key, made at the first call; the oldest are forgotten first. From any thread, and after a fork.

    Tensors that are made while a tool is at work belong to it: who keeps tensors asks `under_a_mode` first.

    Args:
        most: how much is kept, at least one value.
        size: of a value, in the unit of `most`; None counts values.
    """

    def __init__(self, most: float, size: Callable[[Value], float] | None = None) -> None:
        self.most = most
        self._size = size
        self._values: dict[Hashable, Value] = {}
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):  # another thread may have held it when this one forked
            os.register_at_fork(after_in_child=self._lock._at_fork_reinit)  # type: ignore[attr-defined]

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of the key; `make()` where there is none, kept unless `torch.compile` traces the call."""
        if (kept := self._values.get(key)) is not None:
            return kept
        if torch.compiler.is_compiling():
            return make()
        # As at the top of a program: a value that is made in inference mode could not be trained through later, and one
        # that is made on the device "meta" has no numbers to move.
        with torch.inference_mode(False), _disable_current_modes(), torch.device("cpu"):
            made = make()
        with self._lock:
            self._values[key] = made
            while len(self._values) > 1 and self._total() > self.most:
                del self._values[next(iter(self._values))]
        return made

    def __len__(self) -> int:
        return len(self._values)

    def _total(self) -> float:
        return len(self._values) if self._size is None else sum(map(self._size, self._values.values()))
