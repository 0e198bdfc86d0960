"""How the runs were made: code, machines, packages, and the commands that repeat them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from upsample_lab.compare.result import Provenance, Run
from upsample_lab.compare.variants import Group


def provenance_of(groups: Sequence[Group], seeds: Sequence[int], compare_command: str) -> Provenance:
    runs = [run for group in groups for run in group.runs if run.seed in seeds]
    data = _part(runs[0], "data")
    notes = dict.fromkeys(str(note) for run in runs for note in _part(run, "data").get("notes", ()))
    gits = [_part(run, "git") for run in runs]
    return Provenance(
        commits=_distinct(git.get("commit") for git in gits),
        clean=all(git.get("clean") is True for git in gits),
        machines=_distinct(_machine(run) for run in runs),
        packages=_packages(runs),
        command=repeating_command(groups, seeds),
        compare_command=compare_command,
        data=_data_name(runs[0], str(data.get("name", ""))),
        data_note="; ".join(notes),
    )


def repeating_command(groups: Sequence[Group], seeds: Sequence[int]) -> str:
    """A line a variant, each a sweep over the seeds, from the commands that the runs kept.

    Not the name of a preset, even where the experiment is called like one: its settings can have been overridden.
    """
    return "\n".join(filter(None, (_sweep(group.runs[0], seeds) for group in groups)))


def _sweep(run: Run, seeds: Sequence[int]) -> str:
    try:
        words = shlex.split(str(run.capsule.get("command", "")))
    except ValueError:
        return ""
    if len(words) < 2:
        return ""
    settings = [word for word in words[2:] if word != "-m" and not word.startswith("seed=")]
    return shlex.join([*words[:2], "-m", *settings, f"seed={','.join(map(str, seeds))}"])


def _data_name(run: Run, name: str) -> str:
    """The dataset's name; that of an image folder says which one."""
    settings = run.config.get("data")
    path = settings.get("path") if isinstance(settings, Mapping) else None
    return f"the image folder {PurePath(path).name}" if name == "image_folder" and isinstance(path, str) else name


def _machine(run: Run) -> str:
    machine = _part(run, "machine")
    device = machine.get("gpu") or f"{machine.get('processor')}, {machine.get('cpu_count')} cores"
    return f"{device} ({machine.get('device')})" if machine else "unknown"


def _packages(runs: Sequence[Run]) -> Mapping[str, str]:
    names = dict.fromkeys(name for run in runs for name in _part(run, "packages"))
    return {name: ", ".join(_distinct(_part(run, "packages").get(name) for run in runs)) for name in names}


def _part(run: Run, name: str) -> Mapping[str, Any]:
    part = run.capsule.get(name)
    return part if isinstance(part, Mapping) else {}


def _distinct(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value is not None))
