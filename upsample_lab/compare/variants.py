"""Runs that differ by their seed alone are a variant; its name says what sets it apart from the others."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upsample_lab.compare.result import Run
from upsample_lab.runs.identity import flat_deciding, layer_of
from upsample_lab.settings import ConfigError, nearest, show

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """A variant before it is judged."""

    name: str
    layer: str
    settings: Settings  # those in which the groups differ
    runs: tuple[Run, ...]  # by seed


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """The variants of the runs, by name. Raises `ConfigError` where a variant has a seed twice."""
    members: dict[str, list[Run]] = defaultdict(list)
    decided: dict[str, dict[str, Any]] = {}
    for run in runs:
        settings = flat_deciding(run.config)
        key = json.dumps(settings, sort_keys=True, default=str)
        members[key].append(run)
        decided[key] = settings
    differing = differing_keys(decided.values())
    layers = {key: layer_of(runs[0].config) for key, runs in members.items()}
    names = _names(decided, layers)
    groups = []
    for key, found in members.items():
        _check_seeds_once(names[key], found)
        settings = {name: decided[key].get(name) for name in differing}
        groups.append(Group(names[key], layers[key], settings, tuple(sorted(found, key=lambda run: run.seed))))
    return sorted(groups, key=lambda group: group.name)


def differing_keys(settings: Iterable[Settings]) -> list[str]:
    """The keys whose values are not the same everywhere, in the order of the configuration."""
    every = list(settings)
    keys = dict.fromkeys(key for one in every for key in one)
    missing = object()
    return [key for key in keys if any(one.get(key, missing) != every[0].get(key, missing) for one in every[1:])]


def select(groups: list[Group], words: Sequence[str]) -> list[Group]:
    """The groups that the words name: a variant, or all of an upsampler. Raises `ConfigError` for other words."""
    if not words:
        return groups
    known = list(dict.fromkeys([name for group in groups for name in (group.layer, group.name)]))
    for word in words:
        if word not in known:
            raise ConfigError(f"only={word}: no such variant; there are {', '.join(known)}{nearest(word, known)}")
    return group_runs([run for group in groups if {group.name, group.layer} & set(words) for run in group.runs])


def _check_seeds_once(name: str, runs: Sequence[Run]) -> None:
    by_seed: dict[int, list[str]] = defaultdict(list)
    for run in runs:
        by_seed[run.seed].append(run.path.name)
    for seed, names in by_seed.items():
        if len(names) > 1:
            raise ConfigError(f"{name} has seed {seed} twice: {' and '.join(sorted(names))}; move one of them away")


def _names(decided: Mapping[str, Settings], layers: Mapping[str, str]) -> dict[str, str]:
    """Unique names: the layer, and what tells it from the other variants with the same layer."""
    names = {}
    for layer in dict.fromkeys(layers.values()):
        keys = [key for key in decided if layers[key] == layer]
        differing = differing_keys(decided[key] for key in keys)
        short = {
            key: " ".join([layer, *filter(None, (_token(name, decided[key]) for name in differing))]) for key in keys
        }
        unique = len(set(short.values())) == len(keys)
        for key in keys:
            full = " ".join([layer, *(f"{name}={_value(decided[key].get(name))}" for name in differing)])
            names[key] = short[key] if unique else full
    return names


def _token(key: str, settings: Settings) -> str:
    """A setting in a name: `k3`, `icnr`, `phase_equal`, `epochs=5`; nothing for a switch that is off."""
    value, name = settings.get(key), key.rpartition(".")[2]
    if name == "kernel_size":
        return f"k{value}"
    if isinstance(value, bool):
        return name if value else ""
    if isinstance(value, str):
        return value
    return f"{name}={_value(value)}"


def _value(value: Any) -> str:
    return show(list(value)) if isinstance(value, tuple) else json.dumps(value) if value is None else str(value)
