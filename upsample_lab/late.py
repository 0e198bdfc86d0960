"""What is bound late: modules that are called as their function, and what a room asks of those above it."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """It is the module for whoever imports from it, and its function of the same name for whoever calls it."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*arguments, **named)


def make_callable(name: str) -> None:
    """Let the module of that name be called; it says so itself, as its last line, with its `__name__`."""
    sys.modules[name].__class__ = CallableModule


def from_above(module: str) -> Any:
    """A module of the package by its name, for a room that it stands above: what is measured offers its own figure.

    Found when it is asked for, as it brings matplotlib, which not everybody wants.
    """
    return import_module(f"upsample_lab.{module}")
