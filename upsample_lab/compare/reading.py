"""From a folder of run directories to the complete runs in it, and a line for each that is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from upsample_lab.called import call
from upsample_lab.catalogue import facts_of, known_tasks
from upsample_lab.compare.result import Run
from upsample_lab.runs.identity import ATTEMPT
from upsample_lab.settings import ConfigError, nearest, pasted, show

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, where it is installed


@dataclass(frozen=True)
class Found:
    """The runs of an experiment; `left_out` has a line for each that is not used."""

    root: Path
    runs: tuple[Run, ...]
    left_out: tuple[str, ...]


class Unusable(Exception):
    """A run that cannot be compared, for the reason given."""


def find_experiment(experiment: str, output_root: Path) -> Path:
    """The folder of an experiment: of that name below `output_root`, or itself a path. Raises `ConfigError`."""
    named = output_root / experiment
    for folder in (named, Path(experiment)):
        if folder.is_dir():
            return folder
    known = sorted(folder.name for folder in _folders(output_root) if any(_run_folders(folder)))
    have = f"; there are {', '.join(known)}" if known else f"; {output_root} has no experiments"
    raise ConfigError(f"experiment={experiment}: no such folder as {named}{nearest(experiment, known) or have}")


def read_runs(root: Path) -> Found:
    """Every complete run in `root`, the newest attempt at each. Raises `ConfigError` where there is none at all."""
    runs: list[Run] = []
    left_out: list[str] = []
    folders = list(_run_folders(root))
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except Unusable as reason:
            left_out.append(f"{folder.name}: {reason}")
    if not folders:
        raise ConfigError(f"no runs found in {root}; {call('train')} {pasted('experiment.name', root.name)} makes some")
    if not runs:
        raise ConfigError(f"none of the {len(folders)} runs in {root} is complete ({left_out[0]})")
    newest = _newest_attempts(runs)
    left_out += [f"{run.path.name}: a newer attempt took its place" for run in runs if run not in newest]
    return Found(root, tuple(newest), tuple(sorted(left_out)))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _run_folders(root: Path) -> Iterator[Path]:
    return (folder for folder in _folders(root) if (folder / "status.json").is_file())


def _newest_attempts(runs: list[Run]) -> list[Run]:
    """Of `<name>`, `<name>-2`, `<name>-3` … the last that is complete, under whichever form of the name."""
    newest: dict[str, tuple[int, Run]] = {}
    for run in runs:
        match = ATTEMPT.fullmatch(run.path.name)
        name, attempt = (match["identity"], int(match["attempt"] or 1)) if match else (run.path.name, 1)
        if name not in newest or attempt > newest[name][0]:
            newest[name] = attempt, run
    return [run for _, run in newest.values()]


# ----------------------------------------------------------------------------------------------------------------------
# One run


def read_run(folder: Path) -> Run:
    """A complete run. Raises `Unusable` with the reason why it is none."""
    status = _json(folder / "status.json")
    if status.get("state") != "complete":
        reason = f" ({status['reason']})" if status.get("reason") else ""
        raise Unusable(f"{status.get('state') or 'no state'}{reason}")
    summary, capsule, config = _json(folder / "summary.json"), _json(folder / "capsule.json"), _config(folder)
    seed = config.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise Unusable(f"its config.yaml has the seed {show(seed)}")
    run = Run(folder, seed, config, summary, _without_diff(capsule))
    if run.task not in known_tasks():
        plugins = ",".join(map(str, config.get("plugins") or ["…"]))
        raise Unusable(f"its task {run.task} is neither the package's nor a plugin's at hand; add plugins=[{plugins}]")
    for key in ("steps", "parameters", facts_of(run.task).primary):
        if not _is_number(summary.get(key)):
            raise Unusable(f"its summary.json has no {key}")
    return run


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Unusable(f"it has no {path.name}") from None
    except (OSError, ValueError, RecursionError):
        raise Unusable(f"its {path.name} is damaged or half-written") from None
    if not isinstance(content, dict):
        raise Unusable(f"its {path.name} is not one of a run")
    return content


def _config(folder: Path) -> dict[str, Any]:
    try:
        content = yaml.load((folder / "config.yaml").read_bytes(), Loader=YAML_LOADER)  # a safe loader
    except FileNotFoundError:
        raise Unusable("it has no config.yaml") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        raise Unusable("its config.yaml is damaged") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(part), dict) for part in ("data", "model")):
        raise Unusable("its config.yaml is not the configuration of a run")
    return content


def _without_diff(capsule: dict[str, Any]) -> dict[str, Any]:
    """The capsule without the text of uncommitted changes, which may be a megabyte a run; its hash stays."""
    git = capsule.get("git")
    if not isinstance(git, dict):
        return capsule
    import hashlib

    diff = git.get("diff") or ""
    kept = {**git, "diff": hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else "", "files": changed_files(diff)}
    return {**capsule, "git": kept}


def changed_files(diff: str) -> list[str]:
    """The files that a diff of git's touches."""
    return sorted(set(re.findall(r"^diff --git a/(\S+) b/", diff, flags=re.MULTILINE)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


# ----------------------------------------------------------------------------------------------------------------------
# Runs of some settings


def keep_only(found: Found, settings: Mapping[str, str]) -> Found:
    """The runs whose settings have the given values. Raises `ConfigError` for unknown keys, and where none is left."""
    runs = list(found.runs)
    for key, wanted in settings.items():
        values = sorted({_text(_lookup(run.config, key)) for run in runs})
        runs = [run for run in runs if _text(_lookup(run.config, key)) == wanted]
        if not runs:
            raise ConfigError(
                f"only={key}={wanted}: no run has it; {key} is {', '.join(values)}{nearest(wanted, values)}"
            )
    return replace(found, runs=tuple(runs))


def _lookup(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _text(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else show(value)
