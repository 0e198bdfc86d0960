"""Parts from outside the package: an upsampler, a model, a dataset, a task or a metric, in a file anywhere.

    from upsample_lab.registry import register

    @dataclass
    class MineOptions:
        sharpness: float = 1.0

    @register("upsample", "mine", options=MineOptions)
    class Mine(Upsampler): ...

A module with such lines is a plugin. It is imported when it is named: by `plugins=[my_module]` on a command line, by
the environment's `UPSAMPLE_LAB_PLUGINS` (names between commas), or as an entry point `upsample_lab.plugins` of an
installed package. Its parts then stand beside the package's own, in help, errors, sweeps, passports and comparisons.
This module imports no torch, so built-in parts answer at once.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from upsample_lab.options.own import OWN_OPTIONS, adopt_option
from upsample_lab.plugin_source import with_neighbours
from upsample_lab.settings import ConfigError, choices, nearest

ENTRY_POINTS = "upsample_lab.plugins"
ENVIRONMENT = "UPSAMPLE_LAB_PLUGINS"
NAME = r"[a-z][a-z0-9_]{0,39}"
MODULE_NAME = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
KINDS = (*OWN_OPTIONS, "metric")

TASK_FACTS = ("best", "evaluators")  # what a task's class says of itself, beside its methods

Registered = TypeVar("Registered", bound=Callable[..., Any])


@dataclass(frozen=True)
class Part:
    """One registered part: what it is, its name, its class or function, and the module that it came from."""

    kind: str
    name: str
    make: Callable[..., Any]
    module: str
    facts: dict[str, Any]


PARTS: dict[str, dict[str, Part]] = {kind: {} for kind in KINDS}
_loaded: dict[str, ModuleType] = {}


def register(
    kind: str, name: str, *, options: type | None = None, help: str | None = None, **facts: Any
) -> Callable[[Registered], Registered]:
    """Decorate a class, or a metric's function, so that `kind=name` chooses it.

    upsample  a subclass of `upsample_lab.upsamplers.Upsampler`; made as
              `cls(in_channels, out_channels, scale, **options)`
    task      a subclass of `upsample_lab.tasks.Task`; made as `cls(setting, **options)`
    model     a subclass of `upsample_lab.models.Autoencoder`; made as `cls(image_shape, **options)`
    data      a class with `image_size` and `channels`, made as `cls(**options)`; its `images()` returns the training
              and the test images, uint8 `[N, C, H, W]`, tensors or arrays
    metric    a function of `(output, target)`, both `[N, C, H, W]` in 0…1, to one number an image, `[N]`; the set's
              figure is their mean, `val/<name>` and `test/<name>`

    A constructor also gets those of `algorithms`, `make_upsampler` (models) and `seed` that it has arguments for.

    Args:
        kind: upsample, model, data, task or metric.
        name: small letters, digits and `_`; not the name of another part.
        options: a plain dataclass with defaults, the part's options on the command line; None for none. A field may be
            `settings.setting("its meaning", default=3, low=1)`, for the help page and the check of its value.
        help: the line of the help page; None for the first line of the docstring.
        facts: of a metric: `title`, `unit`, `better` ("higher" or "lower"), `digits`, `smallest_of_interest`.

    Raises:
        ConfigError: an unknown kind, a name that is malformed or taken, options without defaults, a class that lacks
            what its kind must define.
    """
    if kind not in KINDS:
        raise ConfigError(f"register({kind!r}, …): must be one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"register({kind!r}, {name!r}): a name has small letters, digits and _, and starts with a letter"
        )

    def decorate(make: Registered) -> Registered:
        known = PARTS[kind].get(name)
        if known is not None and (known.module, known.make.__name__) != (make.__module__, make.__name__):
            raise ConfigError(f"register({kind!r}, {name!r}): {known.module} has registered that name already")
        if known is None and kind != "metric" and name in choices(kind):
            raise ConfigError(
                f"register({kind!r}, {name!r}): {kind}={name} is a part of the package; take another name"
            )
        needed = TASK_FACTS if kind == "task" else ()
        lacking = [fact for fact in needed if not hasattr(make, fact)]
        if lacking := [*lacking, *sorted(getattr(make, "__abstractmethods__", ()))]:
            raise ConfigError(f"register({kind!r}, {name!r}): its class must define {', '.join(lacking)}")
        if kind in OWN_OPTIONS:
            about = help or (inspect.getdoc(make) or "a part of the user's own").splitlines()[0]
            constants = {fact: getattr(make, fact) for fact in ("image_size", "channels") if hasattr(make, fact)}
            adopt_option(kind, name, options, about, make.__module__, constants)
        PARTS[kind][name] = Part(kind, name, make, make.__module__, facts)
        return make

    return decorate


def made(part: Part, *arguments: Any, options: Any, **context: Any) -> Any:
    """A part's object: its class called with `arguments`, its options, and what of `context` it has arguments for.

    Options that the package adds (a model's `widths`) are passed only to a class that has arguments for them.
    Raises `ConfigError` where the class does not take its own options, or wants an argument that nobody gives.
    """
    signature = inspect.signature(part.make)
    parameters = signature.parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    values = {item.name: getattr(options, item.name) for item in dataclasses.fields(options)}
    del values["name"]
    own = type(options).own_names
    passed = {key: value for key, value in values.items() if key in own or takes_all or key in parameters}
    passed |= {key: value for key, value in context.items() if key in parameters}
    try:
        signature.bind(*arguments, **passed)
    except TypeError as error:
        raise ConfigError(
            f"{part.kind}={part.name}: {part.module}.{part.make.__name__} and its options: {error}"
        ) from None
    return part.make(*arguments, **passed)


# ----------------------------------------------------------------------------------------------------------------------
# Loading


def load_plugins(words: Sequence[str] = ()) -> None:
    """Import the plugins of installed packages, of the environment, and of a `plugins=[…]` among the words.

    Raises `ConfigError`, with the line of the user's file, where one cannot be imported.
    """
    _load_installed()
    for name in named_in_environment():
        load_plugin(name, f"{ENVIRONMENT}={name}")
    for name in _named_in(words):
        load_plugin(name, f"plugins=[{name}]")


@cache
def _load_installed() -> None:
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        load_plugin(entry.module, f"the entry point {entry.name}")


def named_in_environment() -> list[str]:
    """The plugins that `UPSAMPLE_LAB_PLUGINS` names."""
    return [name.strip() for name in os.environ.get(ENVIRONMENT, "").split(",") if name.strip()]


def _named_in(words: Sequence[str]) -> list[str]:
    """The names in the last `plugins=[a,b]` of a command line."""
    given = [word.partition("=")[2].strip() for word in words if word.startswith("plugins=")]
    if not given:
        return []
    inside = given[-1].removeprefix("[").removesuffix("]")
    return [name.strip().strip("'\"") for name in inside.split(",") if name.strip()]


def load_plugin(name: str, asked_by: str) -> ModuleType:
    """Import one plugin, from the path or the working directory. Raises `ConfigError` with one line."""
    if name in _loaded:
        return _loaded[name]
    if name.endswith(".py") or not re.fullmatch(MODULE_NAME, name):
        raise ConfigError(f"{asked_by}: must be the name of a module, not of a file, such as my_lab")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:  # a console script's path lacks the working directory
        sys.path.insert(0, here)
        inherited = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, inherited]))  # for a sweep's workers
    try:
        module = importlib.import_module(name)
    except ConfigError as error:
        raise ConfigError(f"{asked_by}: {error}") from None
    except ModuleNotFoundError as error:
        if error.name == name or name.startswith(f"{error.name}."):
            raise ConfigError(f"{asked_by}: no such module on the path or in {here}") from None
        raise _broken(asked_by, error) from error
    except Exception as error:
        raise _broken(asked_by, error) from error
    _loaded[name] = module
    return module


def _broken(asked_by: str, error: BaseException) -> ConfigError:
    """What a plugin raised while it was imported, with the line of the user's file that raised it."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and "importlib" not in f.filename
    ]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    if isinstance(error, SyntaxError):
        place = f" at {Path(error.filename or '?').name}:{error.lineno}"
    return ConfigError(f"{asked_by}: raised{place}: {type(error).__name__}: {' '.join(str(error).split())}")


def plugin_files() -> dict[str, Path]:
    """The source files of the modules that registered parts, by `plugin/<file's name within its package>`.

    They are part of the code that decides a training. Of a package every file counts, of a module it and the modules
    beside it that it imports.
    """
    files: dict[str, Path] = {}
    for module in sorted({part.module for parts in PARTS.values() for part in parts.values()}):
        files |= _sources(module)
    return files


def _sources(name: str) -> dict[str, Path]:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return {}
    root_name = name.partition(".")[0]
    root = sys.modules.get(root_name, module)
    if getattr(root, "__path__", None):
        folder = Path(next(iter(root.__path__)))
        return {f"plugin/{p.relative_to(folder.parent).as_posix()}": p for p in sorted(folder.rglob("*.py"))}
    return {f"plugin/{path.name}": path for path in with_neighbours(Path(file))}
