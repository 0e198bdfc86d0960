"""SIGKILL at any moment: the run goes on, and ends in the same bits as if nothing had happened."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.results import result
from tests.training.sittings import SittingServer

SHORT = (
    "data=glyphs",
    "data.train_count=64",
    "data.test_count=16",
    "data.validation_count=8",
    "model.widths=[4]",
    "conv=native",
    "trainer.batch_size=8",
    "trainer.max_steps=14",
    "trainer.log_every_steps=2",
    "trainer.checkpoint_every_steps=3",
    "trainer.reconstruction_count=1",
)
KILLS = 20


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's view of a run, but for speeds: every point of every curve."""
    board = EventAccumulator(str(run), size_guidance={"scalars": 0})
    board.Reload()
    tags = [tag for tag in board.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in tags}


def test_twenty_kills_at_random_moments_change_no_bit(tmp_path: Path) -> None:
    """Also in the middle of writing a checkpoint, a line or an event, and between the renames that put one in place."""
    dice, statuses, attempt = random.Random(0), Counter[int](), 0
    with SittingServer() as server:

        def sit(root: Path, kill_at: int = -1) -> tuple[int, int]:
            return server.sit([*SHORT, f"output_root={root}"], tmp_path / "log", kill_at)

        status, moments = sit(tmp_path / "whole")
        assert status == 0, (tmp_path / "log").read_text()
        (whole,) = (tmp_path / "whole" / "default").iterdir()
        expected, expected_curves = result(whole), curves(whole)
        while statuses[-9] < KILLS:
            root = tmp_path / f"killed {attempt}"
            while statuses[-9] < KILLS and sit(root, dice.randint(1, moments))[0] == -9:
                statuses[-9] += 1
            assert sit(root)[0] == 0, (tmp_path / "log").read_text()
            run = root / "default" / whole.name
            assert result(run) == expected
            assert curves(run) == expected_curves
            assert not [path for path in run.rglob(".*") if path.name != ".lock"], "something was left behind"
            shutil.rmtree(root)
            attempt += 1
