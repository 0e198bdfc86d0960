"""One setting: what it means, what it allows, where its value is, and how a mistake is told.

`options/` describes every setting with these words. This module imports no torch: help and configuration errors answer
at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import shlex
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from upsample_lab.configs import CONFIG_DIR as CONFIG_DIR


class ConfigError(ValueError):
    """A configuration that cannot be run, told in one line. Scripts end with its exit status."""

    exit_status: ClassVar[int] = 2


# ----------------------------------------------------------------------------------------------------------------------
# One field: its meaning, its range


@dataclass(frozen=True)
class Rule:
    """What a field means and allows.

    help       one line for the help page
    low, high  inclusive bounds; `above`, an exclusive lower bound; for lists they hold for each item
    choices    the allowed words
    pattern    a regular expression for the whole word, with `pattern_help` to say it in words
    odd        only odd numbers
    empty      whether a list may be empty
    identity   whether the value decides the result of a run (and so belongs to its digest)
    neutral    the value that does nothing: it stays out of the digest, so that runs from before the setting existed
               keep their names
    is_path    a path that the user types: `~` at its beginning is a home folder
    """

    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    pattern_help: str = ""
    odd: bool = False
    empty: bool = False
    identity: bool = True
    neutral: Any = MISSING
    is_path: bool = False


def setting(help: str, *, default: Any = MISSING, **rule: Any) -> Any:
    """A dataclass field that carries its `Rule`. A part of the package has no default here, but in `configs/`."""
    metadata = {"rule": Rule(help, **rule)}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


T = TypeVar("T", bound=type)
GROUPS: dict[str, dict[str, type]] = {}


def option(group: str, name: str):  # type: ignore[no-untyped-def]  # a decorator that keeps its argument's type
    """Register a dataclass as the schema of `group=name`.

    Its values and the line of the help page are those of `configs/<group>/<name>.yaml`; of a dataclass with a default
    for every field, as a plugin's is, they are these and its docstring.
    """

    def register(cls: T) -> T:
        GROUPS.setdefault(group, {})[name] = cls
        for stored in [f"{name}_schema", *([name] if not without_default(cls) else [])]:
            ConfigStore.instance().store(group=group, name=stored, node=cls, provider=cls.__module__)
        return cls

    return register


def without_default(cls: type) -> list[str]:
    """The fields of a dataclass that have none."""
    return [
        item.name
        for item in dataclasses.fields(cls)
        if item.default in (dataclasses.MISSING, MISSING) and item.default_factory is dataclasses.MISSING
    ]


# ----------------------------------------------------------------------------------------------------------------------
# Values


def choices(group: str) -> tuple[str, ...]:
    """The names that `group=` takes: the YAML files of its folder, and what plugins have registered."""
    return tuple(sorted({*_files(group), *GROUPS.get(group, {})}))


@cache
def _files(group: str) -> tuple[str, ...]:
    return tuple(path.stem for folder in config_dirs() for path in (folder / group).glob("*.yaml"))


@cache
def variants(group: str) -> tuple[str, ...]:
    """The names that `group=` takes besides: a choice with some of its values set, `deconv/k3` for `deconv/k3.yaml`."""
    found = {
        path.relative_to(folder / group).with_suffix("").as_posix()
        for folder in config_dirs()
        for path in (folder / group).glob("*/*.yaml")
    }
    return tuple(sorted(found))


OWN_CONFIG_DIRS: list[Path] = []


def config_dirs() -> list[Path]:
    """Where configurations are looked for: the package's own folder, then the user's."""
    return [CONFIG_DIR, *OWN_CONFIG_DIRS]


def add_config_dir(folder: str, asked_by: str) -> None:
    """Look for choices, variants and presets in a folder of the user's too, laid out as `configs/` is.

    Raises `ConfigError` where there is no such folder.
    """
    path = Path(folder).expanduser().absolute()
    if not folder or not path.is_dir():
        raise ConfigError(
            f"{asked_by}: {path if folder else 'a folder is needed'}{': no such folder' if folder else ''}"
        )
    if path not in OWN_CONFIG_DIRS and path != CONFIG_DIR:
        OWN_CONFIG_DIRS.append(path)
        _files.cache_clear()
        variants.cache_clear()


def option_values(group: str, name: str) -> dict[str, Any]:
    """The values of `group=name` (see `option`), for the library's own use where no configuration was composed."""
    schema = GROUPS.get(group, {}).get(name)
    if schema is not None and not without_default(schema):
        return dataclasses.asdict(schema())
    path = next((p for p in (folder / group / f"{name}.yaml" for folder in config_dirs()) if p.is_file()), None)
    if path is None:
        raise ConfigError(
            f"{group}={name}: unknown; choose one of {', '.join(choices(group))}{nearest(name, choices(group))}"
        )
    values = typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path), resolve=True))
    values.pop("defaults", None)
    return values


# ----------------------------------------------------------------------------------------------------------------------
# Words


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean X?` for the closest of the allowed words, or nothing when none is close."""
    close = difflib.get_close_matches(str(word), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def rule_of(cls: type, name: str) -> Rule | None:
    """The rule of a dataclass's field, or None where it has none."""
    for item in dataclasses.fields(cls):
        if item.name == name:
            return item.metadata.get("rule")
    return None


def allowed_text(cls: type, name: str) -> str:
    """What a field allows, in words: `an integer from 2 to 8`."""
    rule = rule_of(cls, name) or Rule("")
    hint = typing.get_type_hints(cls)[name]
    optional = _is_optional(hint)
    base = _strip_optional(hint)
    if rule.choices:
        text = "one of " + ", ".join(rule.choices)
    elif rule.pattern:
        text = rule.pattern_help
    else:
        text = _type_text(base, rule) + _range_text(rule)
    return text + (" or null" if optional else "")


def value_words(schema: str, key: str, chosen: Mapping[str, str]) -> tuple[str, ...] | None:
    """The words that a key allows, empty where they are too many to list, None for a path; `chosen`, by group."""
    cls: Any = OmegaConf.get_type(ConfigStore.instance().load(f"{schema}_schema.yaml").node)
    *parents, name = key.split(".")
    for parent in parents:
        known = GROUPS.get(parent, {}).get(chosen.get(parent, ""))
        cls = known or typing.get_type_hints(cls).get(parent) if isinstance(cls, type) else None
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)) or (rule := rule_of(cls, name)) is None:
        return ()
    if rule.is_path:
        return None
    words = ("true", "false") if takes_truth(cls, name) else rule.choices
    return (*words, "null") if _is_optional(typing.get_type_hints(cls)[name]) else words


def takes_truth(cls: type, name: str) -> bool:
    """Whether a field is true or false."""
    return typing.get_type_hints(cls)[name] is bool


def _is_optional(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def _strip_optional(hint: Any) -> Any:
    if not _is_optional(hint):
        return hint
    return next(part for part in typing.get_args(hint) if part is not type(None))


def _type_text(hint: Any, rule: Rule) -> str:
    if typing.get_origin(hint) is list:
        item = {int: "integers", float: "numbers", str: "words"}[typing.get_args(hint)[0]]
        return f"a list of at least one, such as [32,64], of {item}" if item == "integers" else f"a list of {item}"
    if hint is int and rule.odd:
        return "an odd integer"
    return {int: "an integer", float: "a number", str: "a word", bool: "true or false"}.get(hint, "a group of settings")


def _range_text(rule: Rule) -> str:
    if rule.low is not None and rule.high is not None:
        return f" from {rule.low:g} to {rule.high:g}" if rule.high < 1e6 else f" from {rule.low:g} to {int(rule.high)}"
    if rule.above is not None and rule.high is not None:
        return f" above {rule.above:g} and at most {rule.high:g}"
    if rule.above is not None:
        return f" above {rule.above:g}"
    if rule.low is not None:
        return f" from {rule.low:g} up"
    return ""


# ----------------------------------------------------------------------------------------------------------------------
# Checks


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, type, str, Any]]:
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", type(node), item.name, value


def expand_paths(config: Any) -> None:
    """Put the home folder for `~` in every path of a configuration. Raises `ConfigError` where there is none.

    `data.path` is left as it was typed: the data resolve it, and the run's identity knows all its spellings.
    """
    for item in dataclasses.fields(config):
        value, rule = getattr(config, item.name), rule_of(type(config), item.name)
        if dataclasses.is_dataclass(value):
            expand_paths(value)
        elif rule is not None and rule.is_path and isinstance(value, str):
            expanded = os.path.expanduser(value)
            if value.startswith("~") and expanded == value:
                raise ConfigError(f"{item.name}={value}: there is no such user; a folder of that name is ./{value}")
            setattr(config, item.name, expanded)


def pasted(key: str, value: str) -> str:
    """`key=value` for the reader to paste: brackets and spaces, which a shell would read, are quoted."""
    return shlex.quote(f"{key}={value}")


def check_leaf(key: str, cls: type, name: str, value: Any) -> None:
    rule = rule_of(cls, name)
    if rule is None or value is None:
        return
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    ok = (len(items) > 0 or rule.empty) and all(_within(rule, item) for item in items)
    if not ok:
        hint = nearest(str(value), rule.choices)
        raise ConfigError(f"{key}={show(value)}: must be {allowed_text(cls, name)}{hint}")


def _within(rule: Rule, value: Any) -> bool:
    if rule.choices:
        return str(value) in rule.choices
    if rule.pattern is not None:
        return re.fullmatch(rule.pattern, str(value)) is not None
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, str | bool):
        return value != ""
    if not isinstance(value, int | float):
        return False
    return (
        (not rule.odd or value % 2 == 1)
        and (rule.low is None or value >= rule.low)
        and (rule.high is None or value <= rule.high)
        and (rule.above is None or value > rule.above)
    )


def show(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(str, value)) + "]"
    return "''" if value == "" else str(value)
