"""From the words of a command line to a checked configuration, or one line that says what is wrong.

Hydra composes; this module reads the words first, so that every mistake is told in the project's own terms: the key,
the value, what is allowed, and the nearest match. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from upsample_lab.config import check_values
from upsample_lab.launchers import check_installed
from upsample_lab.registry import load_plugins, named_in_environment
from upsample_lab.settings import (
    CONFIG_DIR,
    GROUPS,
    OWN_CONFIG_DIRS,
    ConfigError,
    add_config_dir,
    allowed_text,
    choices,
    expand_paths,
    nearest,
    rule_of,
    takes_truth,
    variants,
)

PLAIN_TEXT = r"""[^,=\\'"$()\[\]{}]+"""  # nothing that means something in Hydra's grammar

NOT_A_WORD = re.compile(r"null|true|false|[+-]?(nan|inf|[\d._]+(e[+-]?\d+)?)", re.IGNORECASE)
"""What Hydra reads as something else where it is not in quotes."""


@dataclass(frozen=True)
class Words:
    """A command line taken apart: the chosen options of groups, the values of keys, and what is meant for Hydra."""

    groups: dict[str, str]
    values: dict[str, Override]
    hydra: tuple[str, ...]


def compose_one(config_name: str, words: Sequence[str]) -> Any:
    """One configuration, composed and checked, as an instance of the schema's dataclass. Raises `ConfigError`."""
    return _checked(compose_unchecked(config_name, words))


def compose_unchecked(config_name: str, words: Sequence[str]) -> DictConfig:
    """The same before its values are checked as a whole: a required key may still be missing. Raises `ConfigError`."""
    words = prepared(words)
    overrides = [_parse(word, config_name) for word in words]
    for override in overrides:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values; add -m (--multirun) to run each of them")
    return _build(config_name, _take_apart(config_name, overrides))


def compose_grid(config_name: str, words: Sequence[str]) -> list[Any]:
    """Every configuration of a sweep, checked, in the order of Hydra's sweeper. Raises `ConfigError`."""
    words = prepared(words)
    overrides = {o.get_key_element(): o for o in [_parse(word, config_name) for word in words]}
    points = _points(config_name, overrides)
    shared = _shared_by_some(config_name, overrides, points)
    return [_checked(_build(config_name, point, shared)) for point in points]


def _points(config_name: str, overrides: Mapping[str, Override]) -> list[Words]:
    sweep = {**_preset_sweep(config_name, list(overrides.values())), **overrides}
    axes = [list(_axis(override, config_name)) for override in sweep.values()]
    return [_take_apart(config_name, point) for point in itertools.product(*axes)]


def _shared_by_some(config_name: str, typed: Iterable[str], points: Sequence[Words]) -> frozenset[str]:
    """The typed keys that some of a sweep's points have and others lack, and that decide no result: those that have
    them heed them. `upsample=deconv,nearest upsample.fold=never` says how nearest is computed."""
    chosen = {(tuple(point.groups.items()), point.hydra) for point in points}
    bases = [_base(config_name, groups, hydra) for groups, hydra in chosen]
    found = set()
    for key in typed:
        having = [schema for base in bases if (schema := _schema_with(base, key)) is not None]
        rules = [rule_of(schema, key.rpartition(".")[2]) for schema in having]
        if 0 < len(having) < len(bases) and all(rule is not None and not rule.identity for rule in rules):
            found.add(key)
    return frozenset(found)


def is_sweep(config_name: str, words: Sequence[str]) -> bool:
    """Whether the words choose a preset that sweeps by itself (`hydra.mode: MULTIRUN` in its file)."""
    mode = hydra_settings(config_name, words).mode
    return mode is not None and mode.name == "MULTIRUN"


@cache
def groups_of(config_name: str) -> tuple[str, ...]:
    """The groups in the defaults list of `configs/<config_name>.yaml`."""
    defaults = OmegaConf.select(OmegaConf.load(CONFIG_DIR / f"{config_name}.yaml"), "defaults") or []
    names = (str(next(iter(entry))) for entry in defaults if isinstance(entry, DictConfig))
    return tuple(name for name in names if not name.startswith("override "))


def command_words(config_name: str, config: Any) -> list[str]:
    """The shortest command line, but for presets, that composes to `config`: what differs from the defaults."""
    default = compose_one(config_name, [])
    choices_made = {
        group: getattr(config, group).name
        for group in groups_of(config_name)
        if group != "experiment" and hasattr(getattr(config, group), "name")
    }
    groups = {group: name for group, name in choices_made.items() if name != getattr(default, group).name}
    base = _values(_base(config_name, tuple(groups.items())))
    changed = {key: value for key, value in _values(OmegaConf.structured(config)).items() if base.get(key) != value}
    return [f"{key}={value}" for key, value in groups.items()] + [
        f"{key}={value_word(value)}" for key, value in changed.items()
    ]


def hydra_settings(config_name: str, words: Sequence[str]) -> DictConfig:
    """Hydra's own settings, such as the launcher's, with these words. Raises `ConfigError`."""
    words = prepared(words)
    points = _first_points([_parse(word, config_name) for word in words], config_name)
    return _base(config_name, tuple(points.groups.items()), points.hydra).hydra


def _values(config: DictConfig) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in leaf_keys(config):
        value = OmegaConf.select(config, key)
        values[key] = OmegaConf.to_container(value) if isinstance(value, ListConfig) else value
    return values


def value_word(value: Any) -> str:
    """A value as the command line takes it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ",".join(map(value_word, value)) + "]"
    if isinstance(value, str) and not (re.fullmatch(r"[\w./:@-]*", value) and not NOT_A_WORD.fullmatch(value)):
        # Hydra reads a backslash as such, but for those right before a quote.
        escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
        return f"'{escaped}'"
    return str(value)


# ----------------------------------------------------------------------------------------------------------------------
# Words

CONFIG_DIR_FLAGS = ("--config-dir", "-cd")


def prepared(words: Sequence[str]) -> list[str]:
    """The words without the flags that name a folder of the user's own configurations, which is looked into from now
    on, as are plugins. Raises `ConfigError` where either cannot be found."""
    load_plugins(words)
    kept: list[str] = []
    waiting = iter(words)
    for word in waiting:
        flag, equals, value = word.partition("=")
        if flag in CONFIG_DIR_FLAGS:
            folder = value if equals else next(waiting, "")
            add_config_dir(folder, f"{flag} {folder}".rstrip())
        elif flag == "hydra.searchpath":
            for folder in (part.strip("'\" ") for part in value.strip("[]'\"").split(",")):
                if folder.startswith("pkg:"):
                    raise ConfigError(f"{word}: must be folders, such as [file://my_configs]; {folder} is a package")
                add_config_dir(folder.removeprefix("file://"), word)
        else:
            kept.append(word)
    return kept


def own_config_words() -> list[str]:
    """What tells Hydra of the user's own configurations."""
    own = [f"'file://{folder}'" for folder in OWN_CONFIG_DIRS]
    return [f"hydra.searchpath=[{','.join(own)}]"] if own else []


def _parse(word: str, config_name: str) -> Override:
    if word.startswith("-"):
        raise ConfigError(f"{word}: unknown flag; settings are given as key=value, see --help")
    if "=" not in word and not word.startswith("~"):
        hint = nearest(word, [*groups_of(config_name), *leaf_keys(_base(config_name, ()))])
        raise ConfigError(f"{word}: settings are given as key=value{hint}")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        pass
    try:
        return OverridesParser.create().parse_override(_quoted(word))
    except HydraException:
        raise ConfigError(
            f"{word}: cannot be read as key=value; quote values with special characters: 'key=\"value\"'"
        ) from None


def _quoted(word: str) -> str:
    """`key=value` with the value in quotes where it is plain text: Hydra's grammar knows no letters beyond ASCII."""
    key, _, value = word.partition("=")
    return f"{key}='{value}'" if re.fullmatch(PLAIN_TEXT, value) else word


def quoted_words(config_name: str, words: Sequence[str]) -> list[str]:
    """The words of a sweep as Hydra's own parser reads them: with `++` a key that not every point has.

    Raises `ConfigError`.
    """
    overrides = {o.get_key_element(): o for o in [_parse(word, config_name) for word in prepared(words)]}
    shared = _shared_by_some(config_name, overrides, _points(config_name, overrides))
    return [f"{'++' if key in shared else ''}{override.input_line}" for key, override in overrides.items()]


def _axis(override: Override, config_name: str) -> Iterator[Override]:
    if not override.is_sweep_override():
        yield override
    elif override.is_discrete_sweep():
        for value in override.sweep_string_iterator():
            yield _parse(f"{override.get_key_element()}={value}", config_name)
    else:
        raise ConfigError(f"{override.input_line}: an interval has no list of values; use range(...) or choice(...)")


def _preset_sweep(config_name: str, overrides: Sequence[Override]) -> dict[str, Override]:
    """The sweep that the chosen preset carries in `hydra.sweeper.params`."""
    base = _base(config_name, tuple(_first_points(overrides, config_name).groups.items()))
    params = OmegaConf.select(base, "hydra.sweeper.params") or {}
    parsed = [_parse(f"{key}={value}", config_name) for key, value in params.items()]
    return {override.get_key_element(): override for override in parsed}


def _first_points(overrides: Sequence[Override], config_name: str) -> Words:
    return _take_apart(config_name, [next(_axis(override, config_name)) for override in overrides])


def _take_apart(config_name: str, overrides: Sequence[Override]) -> Words:
    groups: dict[str, str] = {}
    values: dict[str, Override] = {}
    for_hydra: list[str] = []
    for override in overrides:
        key, line = override.key_or_group, override.input_line or ""
        if key == "hydra" or key.startswith(("hydra.", "hydra/")):
            check_installed(key, override.value())
            for_hydra.append(line)
        elif override.is_add() or override.is_force_add() or override.is_delete() or override.package is not None:
            raise ConfigError(f"{line}: keys cannot be added, removed or renamed; use plain key=value, see --help")
        elif key in groups_of(config_name):
            groups[key] = _choice(key, override.value())
        else:
            values[key] = override
    return Words(groups, values, tuple(for_hydra))


def _choice(group: str, value: Any) -> str:
    allowed = (*choices(group), *variants(group))
    if str(value) not in allowed:
        raise ConfigError(f"{group}={value}: must be one of {', '.join(allowed)}{nearest(str(value), allowed)}")
    return str(value)


# ----------------------------------------------------------------------------------------------------------------------
# Composition


def leaf_keys(config: DictConfig) -> list[str]:
    """Every key that takes a value, dotted: `optim.lr`."""
    keys: list[str] = []
    for name in map(str, config):
        node = config._get_node(name)
        if isinstance(node, DictConfig) and name != "hydra":
            keys += [f"{name}.{key}" for key in leaf_keys(node)]
        elif name != "hydra":
            keys.append(name)
    return keys


@contextmanager
def _hydra_set_aside() -> Iterator[None]:
    """Make room for a composition inside a job of a sweep, where Hydra is initialised already and allows no second."""
    hydra = GlobalHydra.instance()
    outer, hydra.hydra = hydra.hydra, None
    try:
        yield
    finally:
        hydra.hydra = outer


def _base(config_name: str, groups: tuple[tuple[str, str], ...], hydra_words: tuple[str, ...] = ()) -> DictConfig:
    """The configuration with its groups chosen and no value changed, Hydra's own node included."""
    return _composed(
        config_name, (*own_config_words(), *hydra_words, *(f"{group}={choice}" for group, choice in groups))
    )


@cache
def _composed(config_name: str, words: tuple[str, ...]) -> DictConfig:
    try:
        with _hydra_set_aside(), initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR)):
            return compose(config_name, overrides=list(words), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).partition("Config search path")[0]
        raise ConfigError(f"{' '.join(words)}: {' '.join(reason.split())}") from None


def _build(config_name: str, words: Words, shared: Container[str] = ()) -> DictConfig:
    """The configuration of the words; of the keys `shared` by some points of a sweep alone, those that it has."""
    config = deepcopy(_base(config_name, tuple(words.groups.items()), words.hydra))
    with open_dict(config):
        del config["hydra"]
    for key, override in words.values.items():
        if key not in shared or _schema_with(config, key) is not None:
            _assign(config, config_name, override)
    if "plugins" in config and (named := named_in_environment()):
        config.plugins = list(dict.fromkeys([*named, *config.plugins]))
    return config


def _checked(config: DictConfig) -> Any:
    try:
        result = OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: must be given, as {error.full_key}=VALUE") from None
    except OmegaConfBaseException as error:
        raise ConfigError(" ".join(str(error).split())) from None
    expand_paths(result)
    check_values(result)
    return result


def _assign(config: DictConfig, config_name: str, override: Override) -> None:
    key, line = override.key_or_group, override.input_line
    parent_key, _, name = key.rpartition(".")
    schema = _schema_with(config, key)
    if schema is None:
        raise ConfigError(f"{line}: {_no_such_key(key, config, config_name)}")
    parent = _select(config, parent_key)
    if isinstance(parent._get_node(name), DictConfig):
        inside = ", ".join(f"{key}.{leaf}" for leaf in leaf_keys(parent[name]))
        raise ConfigError(f"{line}: {key} is a group of settings, not a value; its keys are {inside}")
    if name == "name" and parent_key in groups_of(config_name) and parent_key != "experiment":
        raise ConfigError(
            f"{line}: the name follows from the choice; write {parent_key}={override.get_value_element_as_str()}"
        )
    value = override.value()
    try:
        if takes_truth(schema, name) and not isinstance(value, bool):
            raise ValidationError("OmegaConf would take any number for a truth value")
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException:
        raise ConfigError(f"{line}: must be {allowed_text(schema, name)}") from None


def _schema_with(config: DictConfig, key: str) -> type | None:
    """The dataclass that has this dotted key; None where the configuration has no such key."""
    parent_key, _, name = key.rpartition(".")
    parent = _select(config, parent_key)
    if not isinstance(parent, DictConfig) or name not in list(parent.keys()):
        return None
    return OmegaConf.get_type(parent)


def _select(config: DictConfig, key: str) -> Any:
    if not key:
        return config
    try:
        return OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None


def _no_such_key(key: str, config: DictConfig, config_name: str) -> str:
    """Which choices of its group have the key, or the closest key there is."""
    group, _, name = key.rpartition(".")
    schemas = GROUPS.get(group, {}).items()
    owners = sorted(choice for choice, schema in schemas if name in {item.name for item in fields(schema)})
    if owners:
        have = f"{', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
        return f"{group}={config[group].name} has no such setting; {have}"
    return f"no such key{_nearest_key(key, config, config_name)}"


def _nearest_key(key: str, config: DictConfig, config_name: str) -> str:
    """The closest key: by its last word (`lr` for `optim.lr`), then among its neighbours, then among all."""
    keys = [*leaf_keys(config), *groups_of(config_name)]
    prefix, _, name = key.rpartition(".")
    same_last_word = [known for known in keys if known.rpartition(".")[2] == name]
    if same_last_word:
        return f"; did you mean {same_last_word[0]}?"
    neighbours = {known.rpartition(".")[2]: known for known in keys if prefix and known.rpartition(".")[0] == prefix}
    close = difflib.get_close_matches(name, neighbours, n=1)
    if close:
        return f"; did you mean {neighbours[close[0]]}?"
    if neighbours:
        return f"; {prefix} has {', '.join(neighbours.values())}"
    return nearest(key, keys) or "; see --help for the list"
