"""Where figures go: `metrics.jsonl`, the truth, and TensorBoard's event file, a view of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from upsample_lab.config import TrainConfig
from upsample_lab.training.files import write_text
from upsample_lab.training.run import identity

TRAIN_METRICS = ("train/loss", "optim/lr", "optim/grad_norm", "speed/images_per_sec")
ARTIFACTS = ("dc_phase_variation", "line_p2_db", "line_p4_db", "line_p8_db", "nearest_residual", "radial_corner_db")
QUALITY = ("loss", "psnr_db", "ssim", "phase_variance", "phase_p_value", *ARTIFACTS)
VAL_METRICS = (*(f"val/{name}" for name in QUALITY), *(f"constant/{name}" for name in ARTIFACTS))
TEST_METRICS = tuple(f"test/{name}" for name in QUALITY)
TIMES = ("speed/images_per_sec", "time_sec")  # the only values of metrics.jsonl that two equal runs may differ in
HPARAM_METRICS = ("test/psnr_db", "test/ssim", "test/phase_variance", "test/loss", "constant/dc_phase_variation")


class Tracker:
    """Reports of one run.

    `resume_step` is the step of the checkpoint that the run goes on from, or None at its start: what was reported
    after it is cut off `metrics.jsonl` and hidden in TensorBoard, since it will be reported again.
    """

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        self._file = folder / "metrics.jsonl"
        _keep_until(self._file, resume_step)
        self._lines = self._file.open("a", encoding="utf-8")
        purge_step = 0 if resume_step is None else resume_step + 1
        self._board = SummaryWriter(str(folder), purge_step=purge_step, max_queue=1000, flush_secs=10)

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
        self._lines.write(json.dumps(line, allow_nan=False) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture, uint8 `[H, W, 3]`."""
        self._board.add_image(name, pixels, step, dataformats="HWC")

    def begin(self, config: TrainConfig) -> None:
        """Settings for the hparams table, into this very run (`add_hparams` would start another beside it)."""
        experiment, session, _ = self._hparams(config)
        self._add(experiment, session)

    def end(self, config: TrainConfig) -> None:
        """That the session of the hparams table is over; its figures are the curves' last points."""
        *_, end = self._hparams(config)
        self._add(end)

    @staticmethod
    def _hparams(config: TrainConfig) -> tuple[Summary, Summary, Summary]:
        experiment, session, end = hparams(flat_settings(identity(config)), dict.fromkeys(HPARAM_METRICS, 0.0))
        return experiment, session, end

    def _add(self, *summaries: Summary) -> None:
        for summary in summaries:
            self._board._get_file_writer().add_summary(summary)


class SilentTracker(Tracker):
    """The tracker of a process that writes nothing."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def report(self, step: int, values: Mapping[str, float], *, time_sec: float) -> None:
        pass

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        pass

    def begin(self, config: TrainConfig) -> None:
        pass

    def end(self, config: TrainConfig) -> None:
        pass


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    """Nested settings as `group.key: value`, with lists as words."""
    flat: dict[str, int | float | str | bool] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, int | float | str) else str(value)
    return flat


def _finite(value: float) -> float | str:
    """JSON has no NaN or infinity; they are written as words, so that a line never becomes unreadable."""
    return float(value) if math.isfinite(value) else str(value)


def _keep_until(file: Path, step: int | None) -> None:
    """Cut everything after `step` (all of it for None), the figures on the test set, and a last line torn by a crash.

    The test set is the last thing that a run does; a run that goes on has not done it yet, or will do it again.
    """
    lines = read_metrics(file)
    kept = [line for line in lines if step is not None and line["step"] <= step and "test/loss" not in line]
    write_text(file, "".join(json.dumps(line) + "\n" for line in kept))  # at once: a kill here must lose no line


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The reports in `metrics.jsonl`; an unfinished last line, as a killed process leaves it, is passed over."""
    if not file.exists():
        return []
    lines = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
