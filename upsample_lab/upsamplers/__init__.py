"""Upsamplers, one a file: `[N, C_in, H, W] -> [N, C_out, s·H, s·W]`.

A module of this folder whose name has no leading underscore holds one upsampler, and its name is the upsampler's:
adding one to the package takes that file, a dataclass of its options in `upsample_lab/options/upsample.py`, and
`configs/upsample/<name>.yaml`. One of your own needs neither: see `upsample_lab/registry.py`.
"""

from __future__ import annotations

import dataclasses
import importlib
import operator
import pkgutil
import typing
from collections.abc import Callable
from typing import Any

from upsample_lab.options.upsample import upsample_options
from upsample_lab.registry import PARTS, made
from upsample_lab.settings import ConfigError
from upsample_lab.upsamplers._fold import Foldable
from upsample_lab.upsamplers.base import Algorithms, Upsampler

__all__ = ["UPSAMPLERS", "Algorithms", "Upsampler", "build_upsampler", "upsampler_class"]


def _discover() -> dict[str, type[Upsampler]]:
    found = {}
    for module_info in pkgutil.iter_modules(__path__):
        name = module_info.name
        if name.startswith("_") or name in ("base", "table"):
            continue
        module = importlib.import_module(f"{__name__}.{name}")
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Upsampler) and value.__module__ == module.__name__
        ]
        if len(classes) != 1:
            raise ImportError(f"{module.__name__} must define one upsampler, and defines {len(classes)}")
        found[name] = classes[0]
    return dict(sorted(found.items()))


UPSAMPLERS: dict[str, type[Upsampler]] = _discover()


def build_upsampler(
    name: str,
    in_channels: int,
    out_channels: int,
    scale: int = 2,
    *,
    algorithms: Algorithms | None = None,
    **options: Any,
) -> Upsampler:
    """The upsampler of that name, for `[N, C_in, H, W] -> [N, C_out, s·H, s·W]`.

    options     as in `configs/upsample/<name>.yaml`, where those that are not given come from
    algorithms  of its convolutions; None for `conv.DEFAULT_ALGORITHM`

    Raises ValueError, with one line, for an unknown name, an unknown option, a value that is out of range, or channels
    or a scale that the upsampler cannot have.
    """
    chosen = upsample_options(name, options)
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "scale": scale}
    lowest = {"in_channels": 1, "out_channels": 1, "scale": 2}
    checked = {argument: _integer(argument, value, lowest[argument]) for argument, value in sizes.items()}
    chosen.check_stage(**checked)
    if name in PARTS["upsample"]:
        upsampler = _own(name, chosen, algorithms=algorithms or Algorithms(), **checked)
    else:
        make: Callable[..., Upsampler] = UPSAMPLERS[name]
        values = dataclasses.asdict(chosen)
        del values["name"]
        fold = values.pop("fold", "never")  # says how, not what: no constructor needs to know
        upsampler = make(**checked, algorithms=algorithms or Algorithms(), **values)
        if isinstance(upsampler, Foldable):
            upsampler.fold = fold
    return upsampler


def upsampler_class(name: str) -> type[Upsampler]:
    """The class of an upsampler of the package or of a plugin."""
    own = PARTS["upsample"].get(name)
    return UPSAMPLERS[name] if own is None else typing.cast("type[Upsampler]", own.make)


def _own(name: str, options: Any, *, algorithms: Algorithms, **sizes: int) -> Upsampler:
    made_of = made(PARTS["upsample"][name], *sizes.values(), options=options, algorithms=algorithms)
    if not isinstance(made_of, Upsampler):
        raise ConfigError(f"upsample={name}: must be a subclass of upsample_lab.upsamplers.Upsampler")
    return made_of


def _integer(argument: str, value: Any, lowest: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < lowest:
        raise ConfigError(f"{argument}={value}: must be an integer from {lowest} up")
    return number
