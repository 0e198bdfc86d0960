"""Where figures go: `metrics.jsonl`, the truth, and TensorBoard's event file, a view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image, scalar

from upsample_lab.config import TrainConfig
from upsample_lab.runs.journal import Journal
from upsample_lab.training.dashboard import hparams_columns, hparams_row, layout
from upsample_lab.training.events import PREFIX, EventFile, tags_at

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
HEADLINES = ("test/psnr_db", "test/ssim", "uniform/pattern_rms_levels", "test/flat_pattern_rms_levels", "test/loss")
HPARAM_METRICS = tuple(dict.fromkeys((*HEADLINES, *TEST_METRICS, *ARTIFACTS)))  # all final; TensorBoard ticks five


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
