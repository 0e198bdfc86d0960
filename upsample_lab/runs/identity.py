"""Which settings decide the result of a run, and the name that follows from them: the one place of this rule.

`deciding` reads plain values, so that a run's `config.yaml` is judged as the configuration that is about to be trained;
`compare` asks it as `training` does. No torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from upsample_lab.config import TrainConfig
from upsample_lab.options import RETIRED
from upsample_lab.options.task import DEFAULT_TASK
from upsample_lab.options.trainer import ExperimentOptions, RunOptions
from upsample_lab.settings import GROUPS, Rule, option_values, rule_of

DIGEST_LENGTH = 8
ATTEMPT = re.compile(r"(?P<name>.+-(?P<identity>seed\d+-[0-9a-f]{8}))(?:-(?P<attempt>\d+))?")
OPTIONS_LENGTH = 80  # characters of a name's options; a file system allows 255 bytes a name
UNSAFE = re.compile(r"[^A-Za-z0-9._+=]+")


# ----------------------------------------------------------------------------------------------------------------------
# What decides


def deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration that decide a run's result, nested as they are there, the seed among them.

    A folder of images is spelt as `canonical_path` has it.
    """
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if key in ("upsample", "conv") and not _has_upsampler(values["model"].get("name")):
            continue  # it has neither, so they decide nothing
        if key == "task" and value.get("name") == DEFAULT_TASK:
            continue
        if isinstance(value, Mapping):
            rules = _rules(key, str(value.get("name", "default")))
            inner = {name: each for name, each in value.items() if _decides(rules.get(name), each)}
            if "path" in inner:
                inner["path"] = canonical_path(str(value.get("root", "")), str(inner["path"]))
            kept |= {key: inner} if inner else {}
        elif _decides(_rules("", "").get(key), value):
            kept[key] = value
    return kept


def flat_deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same by dotted key, lists as tuples, without the seed: what tells variants from each other."""
    flat: dict[str, Any] = {}
    for key, value in deciding(values).items():
        flat |= {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, Mapping) else {key: value}
    flat.pop("seed", None)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in flat.items()}


def _has_upsampler(model: Any) -> bool:
    """Whether a model has one; of a plugin that is not at hand it is taken for granted."""
    schema = GROUPS["model"].get(str(model))
    return schema is None or bool(schema.has_upsampler)  # type: ignore[attr-defined]


def _decides(rule: Rule | None, value: Any) -> bool:
    return rule is None or (rule.identity and value != rule.neutral)


@cache
def _rules(group: str, choice: str) -> Mapping[str, Rule]:
    """The rules of the settings of a group's choice, by name; the group "" is the configuration's top level."""
    single: dict[str, type] = {"": TrainConfig, "experiment": ExperimentOptions, "run": RunOptions}
    schema = single.get(group) or GROUPS.get(group, {}).get(choice)
    rules = {name: Rule("no setting any more", identity=False) for name in RETIRED.get(group, ())}
    if schema is not None:
        named = ((item.name, rule_of(schema, item.name)) for item in dataclasses.fields(schema))
        rules |= {name: rule for name, rule in named if rule is not None}
    return rules


def identity(config: TrainConfig) -> dict[str, Any]:
    """What decides the result of a run, as plain values."""
    return deciding(dataclasses.asdict(config))


def canonical_path(root: str, path: str) -> str:
    """One spelling for all of a folder's: below `root` the way from there, else the absolute path.

    So `pics`, `pics/`, `./pics` and the absolute path are one folder, and the same data under another root, as on
    another machine, is the same run. Links are left alone where the spelling lies below `root`; a path that leads there
    by links only is spelt as what it leads to.
    """
    if "\0" in root + path:
        return path  # no folder's; whoever opens it says so
    home = os.path.abspath(os.path.expanduser(root))
    folder = os.path.normpath(os.path.join(home, os.path.expanduser(path)))
    for base, target in ((home, folder), (os.path.realpath(home), os.path.realpath(folder))):
        if Path(target).is_relative_to(base):
            return Path(target).relative_to(base).as_posix()
    return folder


def digest(config: TrainConfig) -> str:
    """The first 8 hex digits of the SHA-256 of the identity."""
    return _digest_of(identity(config))


def _digest_of(values: Mapping[str, Any]) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]


def known_digests(config: TrainConfig) -> set[str]:
    """The digest, and those that the same run has where its folder of images was spelt otherwise.

    As it was typed, for runs made before spellings were one; absolute, for runs made from another `data.root`.
    """
    values, data = identity(config), config.data
    known = {_digest_of(values)}
    if "path" in values["data"]:
        typed = str(data.path)  # type: ignore[attr-defined]
        absolute = os.path.abspath(os.path.join(os.path.expanduser(data.root), os.path.expanduser(typed)))  # type: ignore[attr-defined]
        known |= {_digest_of({**values, "data": {**values["data"], "path": path}}) for path in (typed, absolute)}
    return known


# ----------------------------------------------------------------------------------------------------------------------
# Names


def layer_of(values: Mapping[str, Any]) -> str:
    """What a run is about, for names and tables: the upsampler, or the model where it has none."""
    model, upsample = str(values["model"].get("name")), values.get("upsample")
    if not _has_upsampler(model) or not isinstance(upsample, Mapping):
        return model
    return str(upsample.get("name"))


def run_name(config: TrainConfig) -> str:
    """`<data>[-<task>]-<upsampler>[-<its options that are not the defaults>]-seed<k>-<digest>`.

    Its letters are those that a file may have. The options are words for the reader, at most `OPTIONS_LENGTH`
    characters of them; the digest alone tells runs apart, so that a directory of the same seed and digest under another
    name is the same run (`attempts_in`).
    """
    task = [] if config.task.name == DEFAULT_TASK else [config.task.name]
    parts = [config.data.name, *task, layer_of(dataclasses.asdict(config)), *_options(config)]
    return f"{'-'.join(parts)}-seed{config.seed}-{digest(config)}"


def _options(config: TrainConfig) -> list[str]:
    if not config.model.has_upsampler:
        return []
    defaults = option_values("upsample", config.upsample.name)
    rules = _rules("upsample", config.upsample.name)
    words: list[str] = []
    for key, value in dataclasses.asdict(config.upsample).items():
        if key == "name" or value == defaults.get(key) or not _decides(rules.get(key), value):
            continue
        word = option_word(key, value)
        if len("-".join([*words, word])) > OPTIONS_LENGTH:
            break
        words.append(word)
    return words


def option_word(key: str, value: Any) -> str:
    """An option in a name: `k3`, `phase_equal`, `no_tie_bias`, `init_bilinear`, `groups_2`."""
    if key == "kernel_size":
        return f"k{value}"
    if isinstance(value, bool):
        return key if value else f"no_{key}"
    text = "_".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return UNSAFE.sub("_", f"{key}_{text}")


# ----------------------------------------------------------------------------------------------------------------------
# Directories


def attempts_in(folder: Path, config: TrainConfig) -> list[Path]:
    """The directories of this identity, oldest first: `<name>`, then `<name>-2`, `<name>-3` … of fresh starts.

    Seed and digest decide, whatever form the rest of the name has: it was shorter once.
    """
    wanted = {f"seed{config.seed}-{known}" for known in known_digests(config)}
    current = run_name(config)
    found: list[tuple[int, bool, str]] = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for entry in entries:
        match = ATTEMPT.fullmatch(entry.name)
        if match and match["identity"] in wanted and entry.is_dir():
            found.append((int(match["attempt"] or 1), match["name"] == current, entry.name))
    return [folder / name for *_, name in sorted(found)]


def next_attempt(existing: list[Path]) -> Path:
    """The directory of a fresh start beside the newest of those that exist, under the same name."""
    match = ATTEMPT.fullmatch(existing[-1].name)
    assert match is not None
    return existing[-1].with_name(f"{match['name']}-{int(match['attempt'] or 1) + 1}")
