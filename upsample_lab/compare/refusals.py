"""What makes a comparison unfair, refused with the reason and the way out, one line each."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from upsample_lab.compare.result import Run
from upsample_lab.compare.variants import Group, differing_keys
from upsample_lab.runs.identity import flat_deciding
from upsample_lab.runs.provenance import TRAINING_CODE
from upsample_lab.settings import ConfigError, pasted, show

TRAINING_PATHS = tuple(f"upsample_lab/{part}" for part in TRAINING_CODE)
FILES_NAMED = 3


def check_same_task(groups: Sequence[Group]) -> None:
    tasks = _first_with((run.task, run) for run in _runs(groups))
    if len(tasks) > 1:
        raise ConfigError(
            f"the runs are of different tasks ({', '.join(tasks)}); choose one, e.g. "
            + pasted("only", f"['task.name={next(iter(tasks))}']")
        )


def check_same_data(groups: Sequence[Group]) -> None:
    """One dataset, by name and by the digest of its pixels."""
    names = _first_with((str(_data(run).get("name")), run) for run in _runs(groups))
    if len(names) > 1:
        listed = ", ".join(names)
        raise ConfigError(
            f"the runs are on different datasets ({listed}); choose one, e.g. "
            + pasted("only", f"['data.name={next(iter(names))}']")
        )
    digests = _first_with((str(_data(run).get("digest")), run) for run in _runs(groups))
    if len(digests) > 1:
        (one, first), (other, second) = list(digests.items())[:2]
        raise ConfigError(
            f"the runs saw different images of {next(iter(names))} (digest {one} in {first.path.name}, {other} in "
            f"{second.path.name}); train the ones of the older images again"
        )


def check_same_settings(groups: Sequence[Group], vary: Sequence[str]) -> None:
    """No setting differs but those under comparison: `vary` has keys, or groups of keys."""
    decided = {group.name: flat_deciding(group.runs[0].config) for group in groups}
    for key in differing_keys(decided.values()):
        if not any(key == word or key.startswith(f"{word}.") for word in vary):
            values = _first_with((_shown(settings.get(key)), name) for name, settings in decided.items())
            listed = ", ".join(f"{value} in {name}" for value, name in list(values.items())[:3])
            quoted = f"['{key}={next(iter(values))}']"
            raise ConfigError(
                f"{key} differs ({listed}) and is not under comparison; choose one, e.g. "
                f"{pasted('only', quoted)}, or compare it: {pasted('vary', '[' + ','.join([*vary, key]) + ']')}"
            )


def check_same_steps(groups: Sequence[Group]) -> None:
    steps = _first_with((int(run.summary["steps"]), run) for run in _runs(groups))
    if len(steps) > 1:
        listed = ", ".join(f"{count} in {run.path.name}" for count, run in list(steps.items())[:3])
        raise ConfigError(f"the runs trained for different numbers of steps ({listed}); train all for the same")


def common_seeds(groups: Sequence[Group], allow_unpaired: bool) -> tuple[tuple[int, ...], list[str]]:
    """The seeds that every variant has, and a line about those that are not used.

    Raises `ConfigError` where some variant lacks a seed that another has, unless that is allowed; and where no seed is
    common to all.
    """
    seeds = {group.name: {run.seed for run in group.runs} for group in groups}
    every = set().union(*seeds.values())
    common = set.intersection(*seeds.values())
    if every != common and not allow_unpaired:
        missing = {name: sorted(every - own) for name, own in seeds.items() if own != every}
        listed = "; ".join(f"{name} lacks {_seed_list(lacks)}" for name, lacks in list(missing.items())[:4])
        more = f"; and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise ConfigError(
            f"seeds are not paired: {listed}{more}; train those, or use the common ones: "
            + pasted("allow", "[unpaired]")
        )
    if not common:
        raise ConfigError(f"no seed is common to all {len(groups)} variants, so nothing can be paired")
    notes = [] if every == common else [f"only the {len(common)} seeds common to all variants are used"]
    return tuple(sorted(common)), notes


def _seed_list(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else "seeds " + ", ".join(map(str, seeds))


# ----------------------------------------------------------------------------------------------------------------------
# Code


def check_same_code(groups: Sequence[Group], allow: bool, repository: Path) -> list[str]:
    """The same training code in all runs; returns a caveat where other code was allowed. Raises `ConfigError`."""
    runs = _first_with((_code_key(run), run) for run in _runs(groups))
    versions = list(runs.values())
    for other in versions[1:]:
        reason = code_difference(versions[0], other, repository)
        if reason is None:
            continue
        if not allow:
            raise ConfigError(
                f"{versions[0].path.name} and {other.path.name} come from different training code: {reason}; train "
                "the older ones again, or compare all the same: " + pasted("allow", "[code]")
            )
        return [f"The runs come from different training code, which was allowed: {reason}."]
    return []


def code_difference(one: Run, other: Run, repository: Path) -> str | None:
    """Why the training code of two runs is not the same, or None where it is.

    Where both kept the digests of their source files these decide. A file that only one of them has cannot matter to
    the other, as long as every file that both have is the same: a new upsampler makes old runs no less comparable.
    Otherwise git decides: commits, and uncommitted changes.
    """
    first, second = one.capsule.get("code"), other.capsule.get("code")
    if isinstance(first, dict) and isinstance(second, dict):
        changed = sorted(file for file in first.keys() & second.keys() if first[file] != second[file])
        return f"{_file_list(changed)} changed" if changed else None
    a, b = _git(one), _git(other)
    if not a.get("commit") or not b.get("commit"):
        return "a commit is unknown"
    dirty_a, dirty_b = (_touching(git.get("files", [])) for git in (a, b))
    if a.get("diff") != b.get("diff") and (dirty_a or dirty_b):
        return f"uncommitted changes in {_file_list(sorted({*dirty_a, *dirty_b}))}"
    if a["commit"] == b["commit"]:
        return None
    between_commits = changed_between(a["commit"], b["commit"], repository)
    between = f"between the commits {a['commit'][:8]} and {b['commit'][:8]}"
    if between_commits is None:
        return f"git cannot tell what changed {between}"
    return f"{_file_list(between_commits)} changed {between}" if between_commits else None


def changed_between(one: str, other: str, repository: Path) -> list[str] | None:
    """Files that touch training and differ between two commits, added ones left aside; None where git cannot tell."""
    words = [
        "git",
        "-C",
        str(repository),
        "diff",
        "--name-only",
        "--diff-filter=adr",
        one,
        other,
        "--",
        *TRAINING_PATHS,
    ]
    if not all(name.isalnum() for name in (one, other)):
        return None
    try:
        answer = subprocess.run(words, capture_output=True, timeout=30, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.splitlines()


def _touching(files: Iterable[str]) -> list[str]:
    return [file for file in files if any(file == path or file.startswith(f"{path}/") for path in TRAINING_PATHS)]


def _code_key(run: Run) -> str:
    """What stands for a run's code, so that equal ones are compared once."""
    code = run.capsule.get("code")
    if isinstance(code, dict):
        return repr(sorted(code.items()))
    git = _git(run)
    return f"{git.get('commit')} {git.get('diff')}" if git.get("commit") else f"unknown {run.path}"


# ----------------------------------------------------------------------------------------------------------------------
# Small helpers


def _git(run: Run) -> dict[str, Any]:
    git = run.capsule.get("git")
    return git if isinstance(git, dict) else {}


def _data(run: Run) -> dict[str, Any]:
    data = run.capsule.get("data")
    return data if isinstance(data, dict) else {}


def _runs(groups: Sequence[Group]) -> Iterable[Run]:
    return (run for group in groups for run in group.runs)


def _first_with(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """For each key the first value that comes with it."""
    found: defaultdict[Any, Any] = defaultdict()
    for key, value in pairs:
        found.setdefault(key, value)
    return dict(found)


def _file_list(files: Sequence[str]) -> str:
    more = f" and {len(files) - FILES_NAMED} more files" if len(files) > FILES_NAMED else ""
    return ", ".join(files[:FILES_NAMED]) + more


def _shown(value: Any) -> str:
    return show(list(value)) if isinstance(value, tuple) else "null" if value is None else show(value)
