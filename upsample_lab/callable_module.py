"""Modules that can be called as the function of their name: `upsample_lab.resize`, and `upsample_lab.passport`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """It is the module for whoever imports from it, and its function of the same name for whoever calls it."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*arguments, **named)


def make_callable(name: str) -> None:
    """Let the module of that name be called; it says so itself, as its last line, with its `__name__`."""
    sys.modules[name].__class__ = CallableModule
