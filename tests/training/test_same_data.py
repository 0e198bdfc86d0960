"""A run is about its images: other ones under its name are refused in one line, whether it is complete or begun."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import load_script
from upsample_lab.cli.app import run as run_command
from upsample_lab.cli.main import guarded
from upsample_lab.compose import compose_one
from upsample_lab.runs.directory import run_path

SMALL = ["model.widths=[4]", "model.latent_channels=2", "trainer.batch_size=8", "trainer.epochs=1", "trainer.threads=1"]


def pictures(folder: Path, first: int = 0, count: int = 24) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        value = 5 * (first + index) % 256
        Image.new("L", (8, 8), value).save(folder / f"{index:02}.bmp")  # of one size, whatever the grey
    return folder


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Path]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*words: str, path: str = "pics") -> tuple[int, Path]:
        data = ["data=image_folder", "data.image_size=8", "data.channels=1", f"data.path={path}"]
        every = [*data, *SMALL, f"output_root={tmp_path / 'out'}", *words]
        status = guarded(lambda: load_script("train").main(every))
        settings = [word for word in every if word not in ("-m", "run.mode=fresh")]
        return status, run_path(compose_one("train", settings))

    return call


def as_interrupted(run: Path) -> None:
    """The run as a signal leaves it after a checkpoint."""
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name[0] != "."}


@pytest.mark.parametrize("state", ["complete", "interrupted", "sweep"])
@pytest.mark.parametrize("change", ["another root", "replaced", "same size and date"])
def test_other_images_are_refused(
    tmp_path: Path, train: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str], state: str, change: str
) -> None:
    pics, root = pictures(tmp_path / "A" / "pics"), tmp_path / "A"
    status, run = train(f"data.root={root}")
    assert status == 0
    if state == "interrupted":
        as_interrupted(run)
    dates = {path.name: path.stat() for path in pics.iterdir()}
    if change == "another root":
        root = tmp_path / "B"
        pictures(root / "pics", first=7)
    else:
        pictures(pics, first=7)
    for path in (root / "pics").iterdir() if change != "replaced" else ():
        os.utime(path, ns=(dates[path.name].st_atime_ns, dates[path.name].st_mtime_ns))
        assert path.stat().st_size == dates[path.name].st_size
    before = contents(run)
    capsys.readouterr()
    words = ["-m", "seed=0"] if state == "sweep" else []
    status, same = train(*words, f"data.root={root}")
    told = capsys.readouterr()
    assert (status, same) == (2, run)
    error = [line for line in told.err.splitlines() if line.startswith("error: ")]
    digest = json.loads(before["capsule.json"])["data"]["digest"]
    assert len(error) == 1
    assert f"digest {digest} then" in error[0]
    assert "run.mode=fresh" in error[0]
    assert contents(run) == before, "left as it is"
    status, fresh = train("run.mode=fresh", f"data.root={root}")
    assert (status, fresh.name) == (0, f"{run.name}-2")


@pytest.mark.parametrize("state", ["complete", "interrupted"])
def test_the_same_images_elsewhere_are_the_same_run(
    tmp_path: Path, train: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str], state: str
) -> None:
    pictures(tmp_path / "A" / "pics")
    _, run = train(f"data.root={tmp_path / 'A'}")
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    summary = (run / "summary.json").read_bytes()
    if state == "interrupted":
        as_interrupted(run)
    for path in ("pics", "pics/", "./pics", str(tmp_path / "B" / "pics")):
        assert train(f"data.root={tmp_path / 'B'}", path=path) == (0, run)
    assert [path.name for path in run.parent.iterdir()] == [run.name]
    if state == "complete":
        assert (run / "summary.json").read_bytes() == summary


@pytest.mark.parametrize("state", ["complete", "interrupted"])
def test_a_run_without_a_digest_goes_on_with_a_line(
    tmp_path: Path, train: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str], state: str
) -> None:
    pictures(tmp_path / "pics")
    _, run = train(f"data.root={tmp_path}")
    capsule = json.loads((run / "capsule.json").read_text())
    del capsule["data"]["digest"], capsule["data"]["files"]
    (run / "capsule.json").write_text(json.dumps(capsule))
    if state == "interrupted":
        as_interrupted(run)
    capsys.readouterr()
    assert train(f"data.root={tmp_path}") == (0, run)
    assert "kept no digest of its images" in capsys.readouterr().err


def test_a_complete_run_whose_images_are_gone_is_answered_with_a_line(
    tmp_path: Path, train: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    pics = pictures(tmp_path / "pics")
    _, run = train(f"data.root={tmp_path}")
    shutil.rmtree(pics)
    assert train(f"data.root={tmp_path}") == (0, run)
    assert "cannot be compared" in capsys.readouterr().err


def test_an_evaluation_on_other_images_says_so(
    tmp_path: Path, train: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    pics = pictures(tmp_path / "pics")
    _, run = train(f"data.root={tmp_path}")
    evaluate = [f"run={run}"]
    assert run_command("evaluate", evaluate) == 0
    assert "not the images" not in capsys.readouterr().err
    pictures(pics, first=7)
    assert run_command("evaluate", evaluate) == 0
    assert "not the images that it was trained on" in capsys.readouterr().err
