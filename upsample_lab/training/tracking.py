"""Where figures go: `metrics.jsonl`, the truth, and TensorBoard's event file, a view of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image, scalar

from upsample_lab.config import TrainConfig
from upsample_lab.training.dashboard import hparams_columns, hparams_row, layout
from upsample_lab.training.events import PREFIX, EventFile, tags_at
from upsample_lab.training.files import Appending, write_text

TRAIN_METRICS = ("train/loss", "optim/lr", "optim/grad_norm", "speed/images_per_sec")
LINES = ("line_p2_db", "line_p4_db", "line_p8_db", "nearest_residual", "radial_corner_db")
PATTERN = ("pattern_rms_levels", "pattern_p2p_levels")  # those of the single periods depend on the model's stride
QUALITY = (
    *("loss", "psnr_db", "ssim", "phase_variance", "phase_p_value"),
    *(f"{where}_{name}" for where in ("residual", "flat") for name in PATTERN),
    *LINES,
)
ARTIFACTS = (*(f"uniform/{name}" for name in PATTERN), *(f"constant/{name}" for name in (*PATTERN, *LINES)))
VAL_METRICS = (*(f"val/{name}" for name in QUALITY), *ARTIFACTS)
TEST_METRICS = tuple(f"test/{name}" for name in QUALITY)
TIMES = ("speed/images_per_sec", "time_sec")  # the only values of metrics.jsonl that two equal runs may differ in
HEADLINES = ("test/psnr_db", "test/ssim", "uniform/pattern_rms_levels", "test/flat_pattern_rms_levels", "test/loss")
HPARAM_METRICS = tuple(dict.fromkeys((*HEADLINES, *TEST_METRICS, *ARTIFACTS)))  # all final; TensorBoard ticks five


class Tracker:
    """Reports of one run, on the disk as soon as they are made.

    `resume_step` is the step of the checkpoint that the run goes on from, or None at its start: what was reported
    after it is cut off `metrics.jsonl` and hidden in TensorBoard, since it will be reported again. `repaired` says in
    one line what could not be read of `metrics.jsonl`, as a crash may leave its last line; empty where all could.

    `trained` is whether that step is the last one, so that figures on the test set may be in TensorBoard already, at
    that very step: after one kill, or after several, of which the last came before `metrics.jsonl` had them again.
    """

    def __init__(self, folder: Path, resume_step: int | None = None, *, trained: bool = False) -> None:
        file = folder / "metrics.jsonl"
        lines, unreadable = _read_lines(file)
        _keep(file, lines, resume_step)
        self.repaired = "" if resume_step is None else _repair_note(file, len(lines), unreadable)
        self._shown = tags_at(folder, resume_step or 0, "test/") if trained else set()
        self._lines = Appending(file)
        self._board = EventFile(folder, purge_step=0 if resume_step is None else resume_step + 1)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._board.close()

    def report(self, step: int, values: Mapping[str, float], *, time_sec: float) -> None:
        """One line of `metrics.jsonl`, and a point on each curve."""
        line = {
            "step": step,
            "time_sec": round(time_sec, 3),
            **{name: _finite(value) for name, value in values.items()},
        }
        self._lines.write((json.dumps(line, allow_nan=False) + "\n").encode())
        for name, value in values.items():
            if name not in self._shown:  # figures on the test set, which TensorBoard has from before a kill
                self._board.add(scalar(name, value), step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture, uint8 `[H, W, 3]`."""
        self._board.add(image(name, pixels, dataformats="HWC"), step)

    def sync(self) -> None:
        """Make the reports survive a power cut; to be called before a checkpoint that lets a run go on after them."""
        self._lines.sync()
        self._board.sync()

    def begin(self, config: TrainConfig) -> None:
        """The page of charts, and the settings for the hparams table."""
        columns, start, _ = hparams_row(config, HPARAM_METRICS)
        self._add(layout(), columns, start)

    def end(self, config: TrainConfig) -> None:
        """That the session of the hparams table is over; its figures are the curves' last points."""
        *_, end = hparams_row(config, HPARAM_METRICS)
        self._add(end)

    def _add(self, *summaries: Summary) -> None:
        for summary in summaries:
            self._board.add(summary)


def write_columns(folder: Path, configs: Sequence[TrainConfig]) -> None:
    """The columns of the table of runs, into the folder above the runs, where TensorBoard finds them before theirs."""
    older = list(folder.glob(f"{PREFIX}*"))
    columns = EventFile(folder, purge_step=0)
    columns.add(hparams_columns(configs, HPARAM_METRICS))
    columns.close()
    for file in older:
        file.unlink(missing_ok=True)


class SilentTracker(Tracker):
    """The tracker of a process that writes nothing."""

    def __init__(self) -> None:
        self.repaired = ""

    def __exit__(self, *_: object) -> None:
        pass

    def report(self, step: int, values: Mapping[str, float], *, time_sec: float) -> None:
        pass

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        pass

    def sync(self) -> None:
        pass

    def begin(self, config: TrainConfig) -> None:
        pass

    def end(self, config: TrainConfig) -> None:
        pass


def _finite(value: float) -> float | str:
    """JSON has no NaN or infinity; they are written as words, so that a line never becomes unreadable."""
    return float(value) if math.isfinite(value) else str(value)


def _keep(file: Path, lines: Sequence[Mapping[str, Any]], step: int | None) -> None:
    """Cut everything after `step` (all of it for None) and the figures on the test set, in one step.

    The test set is the last thing that a run does; a run that goes on has not done it yet, or will do it again.
    """
    kept = [line for line in lines if step is not None and line["step"] <= step and "test/loss" not in line]
    write_text(file, "".join(json.dumps(line) + "\n" for line in kept))  # at once: a kill here must lose no line


def _repair_note(file: Path, readable_count: int, unreadable: Sequence[int]) -> str:
    if not unreadable:
        return ""
    which = ", ".join(map(str, unreadable[:5])) + (" …" if len(unreadable) > 5 else "")
    return f"{file}: line {which} of {readable_count + len(unreadable)} was torn or damaged and is taken out"


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The reports in `metrics.jsonl`; what cannot be read, as an unfinished last line after a kill, is passed over."""
    return _read_lines(file)[0]


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
