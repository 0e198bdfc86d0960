"""Tasks of the user's own, each in a file of its own: everything else takes them as it takes the package's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from upsample_lab.runs.journal import TIMES, read_reports

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "tasks.md"
TINY = (
    "plugins=[toy_tasks]", "data=glyphs", "data.train_count=96", "data.test_count=32", "data.validation_count=16",
    "model.widths=[4,8]", "trainer.batch_size=16", "trainer.max_steps=12", "trainer.log_every_steps=3",
    "trainer.validate_every_steps=5", "trainer.checkpoint_every_steps=4", "trainer.device=cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package knows nothing of, with the example of the page and a task with two players."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (example,) = re.findall(r"```python\n(# my_tasks.py.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (folder / "my_tasks.py").write_text(example)
    shutil.copy(Path(__file__).with_name("toy_tasks.py"), folder)
    return folder


def run(folder: Path, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, where nothing is registered yet."""
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / f"{script}.py"), *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True, text=True,
    )  # fmt: skip


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_it_trains_and_is_judged_by_its_own_figure(elsewhere: Path) -> None:
    done = run(elsewhere, "train", "task=negative", *TINY, "experiment.name=alone")
    assert done.returncode == 0, done.stderr
    path = only(elsewhere / "outputs" / "alone")
    assert path.name.startswith("glyphs-negative-deconv-seed0-")
    summary, reports = json.loads((path / "summary.json").read_text()), read_reports(path)
    assert summary["task"] == "negative"
    validated = {line["step"]: line["val/mae"] for line in reports if "val/mae" in line}
    assert summary["val/mae"] == min(validated.values()), "less is better"
    assert validated[summary["best_step"]] == summary["val/mae"]
    assert {key for key in summary if key.startswith("test/")} == {"test/mae"}
    assert "mean absolute error" in done.stdout.replace("\n", " ")
    assert "validation: mean absolute error" in done.stderr
    assert len(list((path / "reconstructions").glob("*.png"))) == len(validated)


def test_two_players_resume_to_the_bit_after_a_kill(elsewhere: Path) -> None:
    words = ("task=duel", *TINY)
    whole = run(elsewhere, "train", *words, "experiment.name=whole")
    assert whole.returncode == 0, whole.stderr
    killed = run(elsewhere, "train", *words, "experiment.name=killed", STOP_AT="9")
    assert killed.returncode == -9
    resumed = run(elsewhere, "train", *words, "experiment.name=killed")
    assert "resuming at step 8 of 12" in resumed.stderr
    first, second = only(elsewhere / "outputs" / "whole"), only(elsewhere / "outputs" / "killed")
    for name in ("last", "best"):
        one, other = (load_file(path / "checkpoints" / f"{name}.safetensors") for path in (first, second))
        assert one.keys() == other.keys()
        assert all(one[key].equal(other[key]) for key in one)
    assert any(key.startswith("player.judge.optimizer.") for key in load_file(first / "checkpoints/last.safetensors"))
    lines = [
        [{key: value for key, value in line.items() if key not in TIMES} for line in read_reports(path)]
        for path in (first, second)
    ]
    assert lines[0] == lines[1]
    assert any("train/judge_loss" in line for line in lines[0])


def test_a_sweep_of_it_is_compared(elsewhere: Path) -> None:
    swept = run(
        elsewhere, "train", "-m", "task=negative", *TINY, "upsample=deconv,nearest", "seed=0,1", "experiment.name=swept"
    )
    assert swept.returncode == 0, swept.stderr
    assert "4 of 4 runs complete" in swept.stdout
    compared = run(elsewhere, "compare", "plugins=[toy_tasks]", "experiment=swept", "latency=false")
    assert compared.returncode == 0, compared.stderr
    assert "mean absolute error" in compared.stdout
    assert "left out" not in compared.stdout + compared.stderr
    report = (elsewhere / "outputs" / "swept" / "report" / "report.md").read_text()
    assert "mean absolute error" in report
    assert "PSNR" not in report
    unknown = run(elsewhere, "compare", "experiment=swept", "latency=false")
    assert unknown.returncode == 2
    assert "negative" in unknown.stderr
    assert "plugins=" in unknown.stderr
    assert unknown.stderr.count("\n") == 1


def test_a_class_that_lacks_something_is_refused_in_one_line(elsewhere: Path) -> None:
    (elsewhere / "half.py").write_text(
        "from upsample_lab.registry import register\nfrom upsample_lab.tasks import Task\n\n\n"
        "@register('task', 'half')\nclass Half(Task):\n    def batch(self, step): ...\n"
    )
    wrong = run(elsewhere, "train", "plugins=[half]", "task=half")
    assert wrong.returncode == 2
    assert "register('task', 'half'): its class must define best, evaluators, losses" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_it_is_in_help_and_nearest_matches(elsewhere: Path) -> None:
    help_page = run(elsewhere, "train", "plugins=[toy_tasks]", "--help").stdout
    assert "an image goes in, and its negative is wanted" in help_page
    wrong = run(elsewhere, "train", "plugins=[toy_tasks]", "task=negativ")
    assert wrong.returncode == 2
    assert "negative" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
