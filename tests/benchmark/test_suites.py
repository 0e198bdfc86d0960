"""Every suite runs and says what it measured; no test looks at a time."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from upsample_lab.benchmark import epoch, sweep, worker
from upsample_lab.benchmark.train import Way, folds, ways
from upsample_lab.cli.app import run

WITHIN_A_PROCESS = {  # suite: what makes it small
    "train": ["--quick", "--upsamplers", "nearest"],
    "conv": ["--quick"],
    "fold": ["--quick"],
    "options": ["--quick"],
}


@pytest.mark.run
@pytest.mark.parametrize("suite", WITHIN_A_PROCESS)
def test_a_quick_run_measures_all_of_it(suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "table.json", tmp_path / "table.md"]
    words = [suite, *WITHIN_A_PROCESS[suite], "--json", str(files[0]), "--markdown", str(files[1])]
    assert run("benchmark", words) == 0
    table = json.loads(files[0].read_text())
    assert files[1].read_text().strip() in capsys.readouterr().out
    for row in table["rows"]:
        assert all(value > 0 for value in row.values() if isinstance(value, float))


def test_every_way_is_measured_once() -> None:
    found = ways(["deconv", "nearest"], ["fp32", "bf16"])
    assert len(found) == len(set(found))
    for upsample in ("deconv", "nearest"):
        for dtype in ("fp32", "bf16"):
            for conv in ("tutorial", "tutorial, raw tensors"):
                assert Way(upsample, conv, "", dtype) in found
            for conv in ("native", "custom"):
                assert {way.fold for way in found if way[:2] + way[3:] == (upsample, conv, dtype)} == set(
                    folds(upsample)
                )


def test_half_precision_alone_still_has_its_base() -> None:
    assert Way("nearest", "tutorial", "", "fp32") in ways(["nearest"], ["bf16"])


class Still:
    """A worker that makes no steps: `seconds_a_step` and memory are given."""

    def __init__(self, image_count: int, threads: int | None, words: object) -> None:
        self.seconds_a_step = 0.01 if threads == 2 else 0.015
        self.image_count, self.steps = image_count, 0

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait_until_ready(self) -> None: ...

    def tell(self, steps: int) -> None:
        self.steps = steps

    def answer(self) -> worker.Answer:
        return worker.Answer(self.steps * self.seconds_a_step, 300 + self.image_count * 784 / 2**20)


def test_epochs_in_proportion_lie_on_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "Worker", Still)
    table = epoch.run(argparse.Namespace(quick=False, images=[1000, 2000, 4000], repeats=2))
    assert [goal.value for goal in table.goals] == pytest.approx([0, 0], abs=1e-9)
    assert [row["memory beyond the images, MiB"] for row in table.rows] == [300, 300, 300]


def test_a_pair_counts_the_images_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "Worker", Still)
    table = sweep.run(argparse.Namespace(quick=False, repeats=2, steps=10, convs=["native"]))
    alone, wide = table.goals
    assert alone.value == pytest.approx(2)
    assert wide.value == pytest.approx(2 * 0.01 / 0.015)


def test_an_epoch_is_the_sum_of_its_parts() -> None:
    parts = [worker.Answer(seconds, peak) for seconds, peak in [(1, 5), (2, 7), (3, 6), (4, 8), (5, 9)]]
    assert epoch.epochs_of(parts, 2) == [worker.Answer(3, 7), worker.Answer(7, 8)]


@pytest.mark.process
def test_a_worker_makes_steps_and_ends() -> None:
    words = ("trainer.batch_size=4", "trainer.device=cpu", "model.widths=[4]")
    with worker.Worker(16, 1, words) as process:
        process.wait_until_ready()
        process.tell(2)
        answer = process.answer()
    assert answer.seconds > 0
    assert answer.peak_mib > 50


@pytest.mark.process
def test_a_worker_that_cannot_start_is_told() -> None:
    with worker.Worker(16, 1, ("upsample=decnv",)) as process, pytest.raises(RuntimeError, match="status 1"):
        process.wait_until_ready()
