"""`metrics.jsonl`, the truth of a run: one line a report, read and written at this one place. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from upsample_lab.runs.files import Appending, write_text

NAME = "metrics.jsonl"
TIMES = ("speed/images_per_sec", "time_sec")
"""The only values that two equal runs may differ in."""


class Journal:
    """The reports of one run, on the disk as soon as they are made.

    `resume_step` is the step of the checkpoint that the run goes on from, or None at its start: what was reported
    after it is cut off, since it will be reported again. `repaired` says in one line what could not be read, as a crash
    may leave its last line; empty where all could.
    """

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        file = folder / NAME
        lines, unreadable = _read_lines(file)
        _keep(file, lines, resume_step)
        self.repaired = "" if resume_step is None else _repair_note(file, len(lines), unreadable)
        self._lines = Appending(file)

    def write(self, step: int, values: Mapping[str, float], *, time_sec: float) -> None:
        figures = {name: _finite(value) for name, value in values.items()}
        line = {"step": step, "time_sec": round(time_sec, 3), **figures}
        self._lines.write((json.dumps(line, allow_nan=False) + "\n").encode())

    def sync(self) -> None:
        """Make the reports survive a power cut."""
        self._lines.sync()

    def close(self) -> None:
        self._lines.close()


def _finite(value: float) -> float | str:
    """JSON has no NaN or infinity; they are written as words, so that a line never becomes unreadable."""
    return float(value) if math.isfinite(value) else str(value)


def _keep(file: Path, lines: Sequence[Mapping[str, Any]], step: int | None) -> None:
    """Cut everything after `step` (all of it for None) and the figures on the test set, in one step.

    The test set is the last thing that a run does; a run that goes on has not done it yet, or will do it again.
    """
    kept = [line for line in lines if step is not None and line["step"] <= step and not _is_of_test(line)]
    write_text(file, "".join(json.dumps(line) + "\n" for line in kept))  # at once: a kill here must lose no line


def _is_of_test(line: Mapping[str, Any]) -> bool:
    return any(name.startswith("test/") for name in line)


def _repair_note(file: Path, readable_count: int, unreadable: Sequence[int]) -> str:
    if not unreadable:
        return ""
    which = ", ".join(map(str, unreadable[:5])) + (" …" if len(unreadable) > 5 else "")
    return f"{file}: line {which} of {readable_count + len(unreadable)} was torn or damaged and is taken out"


def read_reports(folder: Path) -> list[dict[str, Any]]:
    """The reports of the run in `folder`; what cannot be read, as an unfinished last line after a kill, is left out."""
    try:
        return _read_lines(folder / NAME)[0]
    except OSError:
        return []


def _read_lines(file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The reports, and the numbers of the lines that hold none."""
    if not file.is_file():
        return [], []
    reports, unreadable = [], []
    for number, text in enumerate(file.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        if not text:
            continue
        try:
            report = json.loads(text)
        except (ValueError, RecursionError):
            report = None
        if isinstance(report, dict) and type(report.get("step")) is int:
            reports.append(report)
        else:
            unreadable.append(number)
    return reports, unreadable
