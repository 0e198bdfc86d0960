"""What a word of a command line can become: commands, groups, choices, keys, values, and plugins' parts among them.

A shell asks at every press of TAB. So `configs/` is read as it lies there, without Hydra, and plugins are read without
being imported: neither torch nor anybody's code is waited for. Only what a key allows is asked of the schema.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from upsample_lab.configs import CONFIG_DIR
from upsample_lab.plugin_source import WrittenPart, with_neighbours, written_parts

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FIRST_WORDS = {"explain": ("plan",), "completion": ("bash", "zsh")}
FLAGS = {"train": ("--multirun", "--cfg", "--config-dir=")}


def candidates(words: Sequence[str], commands: Iterable[str]) -> list[str]:
    """Whole words that the last one, perhaps empty, may become; `words` are those after the program's name."""
    *before, word = words or [""]
    if not before:
        return _starting(word, [*commands, "--help", "--version"])
    command, *given = before
    if word.startswith("-"):
        return _starting(word, ["--help", "--version", *FLAGS.get(command, ())])
    found = [] if given else list(_first_words(command))
    name = "explain_plan" if (command, *given[:1]) == ("explain", "plan") else command
    if (CONFIG_DIR / f"{name}.yaml").is_file():
        line = CommandLine(name, given)
        key, equals, value = word.partition("=")
        done, comma, _ = value.rpartition(",")
        if equals:
            found += [f"{key}={done}{comma}{each}" for each in line.values_of(key, value[len(done + comma) :])]
        else:
            found += [f"{each}=" for each in (*line.chosen, *line.keys)]
    return _starting(word, found)


class CommandLine:
    """The words of a command before the cursor, and what they choose.

    chosen  by group, its choice: from the words, or the default
    keys    by key, dotted, its value in `configs/`; None where that is not known, as of a plugin's option
    """

    def __init__(self, name: str, given: Sequence[str]) -> None:
        self.name, self.given = name, dict(word.split("=", 1) for word in given if "=" in word)
        self.folders = [CONFIG_DIR, *(Path(self.given[flag]) for flag in ("--config-dir", "-cd") if flag in self.given)]
        self.parts = {(part.kind, part.name): part for part in _own_parts(self.given.get("plugins", ""))}
        document = _read(CONFIG_DIR / f"{name}.yaml")
        defaults = [entry for entry in document.pop("defaults", []) if isinstance(entry, dict)]
        document.pop("hydra", None)
        self.chosen: dict[str, str] = {
            group: str(self.given.get(group) or choice).split(",")[0]
            for entry in defaults
            for group, choice in entry.items()
            if not group.startswith("override ")
        }
        self.keys: dict[str, Any] = {}
        for group, choice in self.chosen.items():
            self.keys |= self._options(group, choice)
        self.keys |= _flat(document)

    def values_of(self, key: str, begun: str) -> list[str]:
        """The values that a group or a key may take; of a path, those that begin so."""
        if key in self.chosen:
            own = [name for kind, name in self.parts if kind == key]
            every = ["all"] if (self.name, key) == ("passport", "upsample") else []
            return [*sorted({*self._choices(key), *own}), *every]
        if key == "plugins":
            return [f"[{path.stem}]" for path in sorted(Path.cwd().glob("*.py"))]
        if (self.name, key) == ("compare", "experiment"):
            return sorted(path.name for path in Path(self.given.get("output_root", "outputs")).glob("*/"))
        group, _, name = key.partition(".")
        if (part := self.parts.get((group, self.chosen.get(group, "")))) and name in part.options:
            return list(part.options[name])
        return self._allowed(key, begun)

    def _options(self, group: str, choice: str) -> dict[str, Any]:
        """The keys of a choice; of a variant, `deconv/k3`, those of what it varies; of a plugin's part, its own."""
        if (group, choice) in self.parts:
            shared = set.intersection(*(set(self._options(group, each)) for each in self._choices(group, False)))
            own = {f"{group}.{name}": None for name in self.parts[group, choice].options}
            return own | dict.fromkeys(sorted(shared))
        files = [folder / group / f"{choice}.yaml" for folder in self.folders]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            return {}
        document, base = _read(file), choice.rpartition("/")[0]
        for word in ("defaults", "hydra", "name"):
            document.pop(word, None)
        is_whole = file.read_text(encoding="utf-8").startswith("# @package _global_")
        return (self._options(group, base) if base else {}) | _flat(document, "" if is_whole else f"{group}.")

    def _choices(self, group: str, with_variants: bool = True) -> list[str]:
        patterns = ("*.yaml", "*/*.yaml") if with_variants else ("*.yaml",)
        folders = [folder / group for folder in self.folders]
        found = [(folder, path) for folder in folders for pattern in patterns for path in folder.glob(pattern)]
        return [path.relative_to(folder).with_suffix("").as_posix() for folder, path in found]

    def _allowed(self, key: str, begun: str) -> list[str]:
        """What the schema allows, else the value in `configs/`."""
        import upsample_lab.config  # noqa: F401  # registers all schemas
        from upsample_lab.settings import value_words

        chosen = {group: choice.partition("/")[0] for group, choice in self.chosen.items()}
        words = value_words(self.name, key, chosen)
        if words is None:
            return list(_paths(begun))
        value = self.keys.get(key)
        return list(words) or ([] if value is None or isinstance(value, list) else [str(value)])


def _first_words(command: str) -> Sequence[str]:
    if command == "benchmark":
        from upsample_lab.cli.commands.benchmark import SUITES

        return (*SUITES, "all")
    return FIRST_WORDS.get(command, ())


def _starting(word: str, found: Iterable[str]) -> list[str]:
    return [each for each in dict.fromkeys(found) if each.startswith(word)]


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    document = yaml.load(_text(path), LOADER)
    return document if isinstance(document, dict) else {}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _own_parts(named: str) -> Iterator[WrittenPart]:
    """Those of the plugins that the words, the environment, and installed packages name; a broken one has none."""
    modules = [*named.strip("[]'\"").split(","), *os.environ.get("UPSAMPLE_LAB_PLUGINS", "").split(",")]
    modules += [entry.module for entry in metadata.entry_points(group="upsample_lab.plugins")]
    for module in filter(None, (module.strip(" '\"") for module in modules)):
        for file in _files_of(module):
            try:
                yield from written_parts(file)
            except (SyntaxError, ValueError, OSError):
                continue


def _files_of(module: str) -> Iterator[Path]:
    for folder in map(Path, dict.fromkeys(["", *sys.path])):
        package, file = folder / module.partition(".")[0], folder / f"{module.replace('.', '/')}.py"
        if (package / "__init__.py").is_file():
            yield from sorted(package.rglob("*.py"))
            return
        if file.is_file():
            yield from with_neighbours(file)
            return


def _paths(begun: str) -> Iterator[str]:
    """What lies on the disk and begins so; folders end in a slash."""
    folder, slash, _ = begun.rpartition("/")
    for path in sorted(Path(f"{folder}{slash}" or ".").expanduser().glob("[!.]*")):
        yield f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}"
