"""The options of parts of the user's own: a plain dataclass with defaults becomes a schema with values."""

from __future__ import annotations

import dataclasses
import sys
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from upsample_lab.options.data import DataOptions
from upsample_lab.options.model import ModelOptions
from upsample_lab.options.task import TaskOptions
from upsample_lab.options.upsample import UpsampleOptions
from upsample_lab.settings import ConfigError, option, without_default

OWN_OPTIONS: dict[str, tuple[type, dict[str, Any]]] = {
    "task": (TaskOptions, {}),
    "upsample": (UpsampleOptions, {}),
    "data": (DataOptions, {"limit": None, "validation_count": 256}),
    "model": (
        ModelOptions,
        {"widths": [32, 64], "latent_channels": 4, "scale": 2, "activation": "relu", "output": "sigmoid"},
    ),
}
"""What the options of a group have in common, and the values that a part of the user's own starts from."""


@dataclass
class NoOptions:
    """The options of a part that has none."""


def adopt_option(
    group: str, name: str, options: type | None, help: str, module: str, constants: dict[str, Any]
) -> None:
    """Make a plain dataclass with defaults the options of `group=name`, as `option` does: with what those of the group
    have in common, and `help` for its docstring.

    Raises `ConfigError` where it is no dataclass, or a field has no default.
    """
    base, values = OWN_OPTIONS[group]
    own = NoOptions if options is None else options
    if not (isinstance(own, type) and dataclasses.is_dataclass(own)):
        raise ConfigError(f"register({group!r}, {name!r}): options must be a dataclass, got {options!r}")
    if missing := without_default(own):
        raise ConfigError(f"register({group!r}, {name!r}): the option {missing[0]} has no default")
    own_names = frozenset(item.name for item in dataclasses.fields(own))
    if group == "data" and not {"image_size", "channels"} <= {*own_names, *constants}:
        raise ConfigError(f"register('data', {name!r}): its class or its options must say image_size and channels")
    body: dict[str, Any] = {
        "__module__": module,
        "__doc__": help,
        "__annotations__": {"name": "str"},
        "name": name,
        "own_names": own_names,
    }
    body |= {key: value for key, value in constants.items() if key not in own_names}
    for item in dataclasses.fields(base):
        if item.name in values and item.name not in own_names:
            body["__annotations__"][item.name] = item.type
            body[item.name] = field(default_factory=partial(deepcopy, values[item.name]), metadata=item.metadata)
    bases = (own,) if issubclass(own, base) else (own, base)
    derived: type = dataclass(type(f"_{group}_{name}", bases, body))
    setattr(sys.modules[module], derived.__name__, derived)  # so that a sweep's workers can unpickle it
    option(group, name)(derived)
