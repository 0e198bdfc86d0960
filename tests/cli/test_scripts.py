"""Scripts as users call them: help and errors answer at once, without torch, with the right exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from upsample_lab.cli.main import wait_for_less

ROOT = Path(__file__).parents[2]
SCRIPTS = ("train", "evaluate")

# Runs a script, then says on stderr whether torch was imported on the way.
WATCHED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("torch imported" if "torch" in sys.modules else "no torch", file=sys.stderr)
"""


def call(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WATCHED, str(ROOT / "scripts" / f"{script}.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "30000"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
    ids=str,
)
def test_threads_wait_for_less_unless_told_how_to(given: dict[str, str], expected: dict[str, str]) -> None:
    wait_for_less(given)
    assert given == expected


@pytest.mark.process
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_answers_without_torch(tmp_path: Path, script: str, flag: str) -> None:
    answer = call(tmp_path, script, flag)
    assert answer.returncode == 0
    assert f"python scripts/{script}.py" in answer.stdout
    assert answer.stderr == "no torch\n"


@pytest.mark.process
def test_help_lists_every_group_and_choice(tmp_path: Path) -> None:
    from upsample_lab.compose import groups_of
    from upsample_lab.settings import choices

    page = call(tmp_path, "train", "--help").stdout
    for group in groups_of("train"):
        assert f"  {group}=" in page
        for choice in choices(group):
            assert f" {choice} " in page or f" {choice}\n" in page
    for key in ("optim.lr=", "trainer.epochs=", "seed=", "output_root=", "run.mode="):
        assert key in page


@pytest.mark.process
def test_help_shows_the_keys_of_the_chosen_option(tmp_path: Path) -> None:
    assert "optim.momentum=" in call(tmp_path, "train", "optim=sgd", "--help").stdout


@pytest.mark.process
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("train", ["upsample=decnv"]),
        ("train", ["optim.lr=abc"]),
        ("train", ["-m", "upsample=deconv,decnv"]),
        ("train", ["seed=0,1"]),
        ("evaluate", []),
        ("evaluate", ["images=tset", "run=."]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "nothing",
)
def test_mistakes_end_in_one_line(tmp_path: Path, script: str, words: list[str]) -> None:
    answer = call(tmp_path, script, *words)
    assert answer.returncode == 2
    assert answer.stdout == ""
    message, torch_line = answer.stderr.splitlines()
    assert message.startswith("error: ")
    assert torch_line == "no torch"
    assert list(tmp_path.iterdir()) == [], "something was left behind"


@pytest.mark.process
def test_a_run_directory_that_is_none(tmp_path: Path) -> None:
    answer = call(tmp_path, "evaluate", f"run={tmp_path}")
    assert answer.returncode == 2
    assert "config.yaml: no such file" in answer.stderr.splitlines()[0]


@pytest.mark.process
def test_a_sweep_in_a_process_of_its_own(tmp_path: Path) -> None:
    words = [*TINY, "trainer.max_steps=1", "upsample=deconv,nearest", "seed=0,1", "output_root=meine Läufe"]
    answer = call(tmp_path, "train", "-m", *words)
    assert answer.returncode == 0, answer.stderr
    assert "4 of 4 runs complete" in answer.stdout
    assert "Traceback" not in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["meine Läufe"]
    folder = tmp_path / "meine Läufe" / "default"
    files = [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("events.out.")]
    assert files == ["multirun.yaml"], "no log of Hydra's"


@pytest.mark.process
def test_configuration_can_be_printed(tmp_path: Path) -> None:
    answer = call(tmp_path, "train", "upsample=nearest", "--cfg", "job")
    assert answer.returncode == 0
    assert "name: nearest" in answer.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_a_mistake_in_a_printed_configuration_is_told_the_same_way(tmp_path: Path) -> None:
    answer = call(tmp_path, "train", "upsample=decnv", "--cfg", "job")
    assert answer.returncode == 2
    assert "did you mean deconv?" in answer.stderr.splitlines()[0]
