"""Where figures go: `metrics.jsonl`, the truth, and TensorBoard's event file, a view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image, scalar

from upsample_lab.config import TrainConfig
from upsample_lab.runs.journal import Journal
from upsample_lab.training.dashboard import hparams_columns, hparams_row, layout, task_of
from upsample_lab.training.events import PREFIX, EventFile, tags_at


class Tracker:
    """Reports of one run: into its journal, and as points on TensorBoard's curves.

    `resume_step` is the step of the checkpoint that the run goes on from, or None at its start: what was reported
    after it is taken out of both. `trained` is whether that step is the last one, so that figures on the test set may
    be in TensorBoard already, at that very step: after one kill, or after several, of which the last came before the
    journal had them again.
    """

    def __init__(self, folder: Path, resume_step: int | None = None, *, trained: bool = False) -> None:
        self._journal = Journal(folder, resume_step)
        self.repaired = self._journal.repaired
        self._shown = tags_at(folder, resume_step or 0, "test/") if trained else set()
        self._board = EventFile(folder, purge_step=0 if resume_step is None else resume_step + 1)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._board.close()

    def report(self, step: int, values: Mapping[str, float], *, time_sec: float) -> None:
        self._journal.write(step, values, time_sec=time_sec)
        for name, value in values.items():
            if name not in self._shown:  # figures on the test set, which TensorBoard has from before a kill
                self._board.add(scalar(name, value), step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture, uint8 `[H, W, 3]`."""
        self._board.add(image(name, pixels, dataformats="HWC"), step)

    def sync(self) -> None:
        """Make the reports survive a power cut; to be called before a checkpoint that lets a run go on after them."""
        self._journal.sync()
        self._board.sync()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """The page of charts, and the settings for the hparams table."""
        columns, start, _ = hparams_row(settings)
        self._add(layout(task_of(settings)), columns, start)

    def end(self, settings: Mapping[str, Any]) -> None:
        """That the session of the hparams table is over; its figures are the curves' last points."""
        *_, end = hparams_row(settings)
        self._add(end)

    def _add(self, *summaries: Summary) -> None:
        for summary in summaries:
            self._board.add(summary)


def write_columns(folder: Path, configs: Sequence[TrainConfig]) -> None:
    """The columns of the table of runs, into the folder above the runs, where TensorBoard finds them before theirs."""
    older = list(folder.glob(f"{PREFIX}*"))
    columns = EventFile(folder, purge_step=0)
    columns.add(hparams_columns(configs))
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

    def begin(self, settings: Mapping[str, Any]) -> None:
        pass

    def end(self, settings: Mapping[str, Any]) -> None:
        pass
