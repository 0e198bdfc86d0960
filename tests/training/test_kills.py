"""SIGKILL and full disks at any moment: the run goes on, and ends in the same bits as if nothing had happened."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.runs.test_checkpoint import TENSORS
from tests.training.results import result
from tests.training.sittings import Moments, SittingServer, watch
from upsample_lab.runs import checkpoint

pytestmark = pytest.mark.process

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
KILLS, FULL_DISKS = 20, 4


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's view of a run, but for speeds: every point of every curve."""
    board = EventAccumulator(str(run), size_guidance={"scalars": 0})
    board.Reload()
    tags = [tag for tag in board.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in tags}


class Disturbed:
    """Sittings of one short run, each in a folder of its own choice; and what an undisturbed one ends in."""

    def __init__(self, server: SittingServer, folder: Path) -> None:
        self.server, self.log = server, folder / "log"
        status, self.moments = self.sit(folder / "whole")
        assert status == 0, self.printed()
        (self.whole,) = (folder / "whole" / "default").iterdir()
        self.expected: Any = result(self.whole), curves(self.whole)

    def sit(self, root: Path, moment: int = -1, fault: str = "kill") -> tuple[int, int]:
        return self.server.sit([*SHORT, f"output_root={root}"], self.log, moment, fault)

    def printed(self) -> str:
        return self.log.read_text()

    def check(self, root: Path) -> None:
        """Let the run in `root` end, and compare."""
        assert self.sit(root)[0] == 0, self.printed()
        run = root / "default" / self.whole.name
        assert (result(run), curves(run)) == self.expected
        assert not [path for path in run.rglob(".*") if path.name != ".lock"], "something was left behind"


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    with SittingServer() as server:
        yield Disturbed(server, tmp_path_factory.mktemp("disturbed"))


def test_twenty_kills_at_random_moments_change_no_bit(disturbed: Disturbed, tmp_path: Path) -> None:
    """Also in the middle of writing a checkpoint, a line or an event, and between the renames that put one in place."""
    dice, kills = random.Random(0), 0
    while kills < KILLS:
        root = tmp_path / f"after {kills} kills"
        while kills < KILLS and disturbed.sit(root, dice.randint(1, disturbed.moments))[0] == -9:
            kills += 1
        disturbed.check(root)


def test_a_disk_that_fills_up_at_a_random_moment_costs_nothing(disturbed: Disturbed, tmp_path: Path) -> None:
    dice = random.Random(1)
    for number in range(FULL_DISKS):
        root = tmp_path / str(number)
        status, _ = disturbed.sit(root, dice.randint(1, disturbed.moments - 20), "full")
        assert status in (1, 2), "2 where the directory could not be made"
        assert "No space left on device" in disturbed.printed()
        assert "Traceback" not in disturbed.printed()
        disturbed.check(root)


def test_a_kill_at_each_moment_of_saving_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    for moment in range(1, 100):
        folder = tmp_path / str(moment)
        for step in (1, 2):
            checkpoint.save_last(folder, TENSORS, {"step": step})
        child = os.fork()
        if child == 0:
            watch(Moments(moment, "kill", os.open(os.devnull, os.O_WRONLY)), str(tmp_path))
            checkpoint.save_last(folder, TENSORS, {"step": 3})
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        saved = checkpoint.load_last(folder)
        assert saved is not None
        assert saved[1]["step"] in ((2, 3) if status else (3,))
        assert saved[2] == [], "nothing is damaged"
        if status == 0:
            break
    assert moment > 8, "there are more moments than that"
