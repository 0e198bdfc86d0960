"""A run's identity and directory: what decides the name, and what stands in the way of writing there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upsample_lab.cli.compose import compose_one
from upsample_lab.settings import ConfigError
from upsample_lab.training.lock import RunHeld
from upsample_lab.training.run import RunDirectory, attempts, digest, run_name, run_path

DECIDES = [
    "upsample=nearest",
    "upsample.kernel_size=3",
    "data=glyphs",
    "data.limit=512",
    "model.widths=[8,16]",
    "conv=native",
    "optim.lr=0.1",
    "trainer.epochs=4",
    "trainer.batch_size=64",
    "trainer.precision=bf16",
    "seed=1",
]
DOES_NOT_DECIDE = [
    "output_root=/elsewhere",
    "experiment.name=other",
    "run.mode=fresh",
    "data.root=/elsewhere",
    "data.fallback=null",
    "trainer.device=cpu",
    "trainer.log_every_steps=7",
    "trainer.checkpoint_every_sec=1",
    "trainer.checkpoint_every_steps=5",
    "trainer.deterministic=true",
]


@pytest.mark.parametrize("word", DECIDES)
def test_digest_follows_what_decides_the_result(word: str) -> None:
    assert digest(compose_one("train", [word])) != digest(compose_one("train", []))


@pytest.mark.parametrize("word", DOES_NOT_DECIDE)
def test_digest_ignores_what_does_not(word: str) -> None:
    assert digest(compose_one("train", [word])) == digest(compose_one("train", []))


def test_a_fully_connected_model_has_no_upsampler_to_tell_apart() -> None:
    deconv, nearest = (compose_one("train", ["model=mlp", f"upsample={name}"]) for name in ("deconv", "nearest"))
    assert run_name(deconv) == run_name(nearest)
    assert run_name(deconv).startswith("mnist-mlp-seed0-")


def test_name_has_the_agreed_form() -> None:
    name = run_name(compose_one("train", ["upsample=nearest", "data=glyphs", "seed=7"]))
    assert name.startswith("glyphs-nearest-seed7-")
    assert len(name.rpartition("-")[2]) == 8


def test_a_fresh_start_stands_beside_the_old_one(tmp_path: Path) -> None:
    auto = compose_one("train", [f"output_root={tmp_path}"])
    fresh = compose_one("train", [f"output_root={tmp_path}", "run.mode=fresh"])
    assert run_path(fresh) == run_path(auto)
    first = run_path(auto)
    first.mkdir(parents=True)
    second = run_path(fresh)
    assert second.name == f"{first.name}-2"
    second.mkdir()
    assert run_path(auto) == second, "the newest one counts"
    assert attempts(auto) == [first, second]


def test_status_of_nothing_is_no_state(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path).status() == {"state": None}
    (tmp_path / "status.json").write_text('{"state": "comp')
    assert RunDirectory(tmp_path).status() == {"state": None}


def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.locked():
        run.set_status("running")
        code = (
            "import sys; from pathlib import Path; from upsample_lab.training.run import RunDirectory\n"
            "with RunDirectory(Path(sys.argv[1])).locked(): pass"
        )
        answer = subprocess.run(
            [sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=False
        )
        pid = run.status()["pid"]
    assert answer.returncode != 0
    assert f"RunHeld: {run.path} is being worked on by process {pid} on" in answer.stderr.splitlines()[-1]
    with run.locked():
        pass


def test_a_held_run_is_a_configuration_error_of_its_own() -> None:
    assert issubclass(RunHeld, ConfigError)


def test_an_unwritable_output_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="output_root: cannot write"),
        RunDirectory(tmp_path / "file" / "run").locked(),
    ):
        pass
