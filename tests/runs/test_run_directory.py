"""A run's identity and directory: what decides the name, and what stands in the way of writing there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upsample_lab.compose import compose_one
from upsample_lab.runs.directory import RunDirectory, attempts, run_path
from upsample_lab.runs.identity import digest, option_word, run_name
from upsample_lab.runs.lock import RunHeld
from upsample_lab.settings import ConfigError

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
    "trainer.validate_every_steps=20",  # more validations to choose the best checkpoint from
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
    "trainer.validate_every_steps=null",  # and so of runs from before there was this setting
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


@pytest.mark.process
def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.locked():
        run.set_status("running")
        code = (
            "import sys; from pathlib import Path; from upsample_lab.runs.directory import RunDirectory\n"
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


# ----------------------------------------------------------------------------------------------------------------------
# Names

GOLDEN = [  # as they were before a name told its options; the digest must never change
    ("", "mnist-deconv-seed0-c90d2ab8"),
    ("upsample=nearest", "mnist-nearest-seed0-f36a5900"),
    ("upsample=bilinear seed=3", "mnist-bilinear-seed3-08f2a6ae"),
    ("upsample=bicubic data=cifar10", "cifar10-bicubic-seed0-e7ad2ab8"),
    ("upsample=kaiser", "mnist-kaiser-seed0-f9983ac8"),
    ("upsample=fourier", "mnist-fourier-seed0-458931a2"),
    ("upsample=bilinear_additive", "mnist-bilinear_additive-seed0-16da8e18"),
    ("upsample=blur_deconv", "mnist-blur_deconv-seed0-cfb0d1f1"),
    ("upsample=pixel_shuffle", "mnist-pixel_shuffle-seed0-f7fcde55"),
    ("upsample=blur_pixel_shuffle", "mnist-blur_pixel_shuffle-seed0-f4a1d50d"),
    ("upsample=unpool", "mnist-unpool-seed0-ec3c50d4"),
    ("upsample=carafe", "mnist-carafe-seed0-950033cd"),
    ("upsample=dysample", "mnist-dysample-seed0-e3604d72"),
    ("model=mlp", "mnist-mlp-seed0-51412384"),
    ("model=mlp upsample=nearest", "mnist-mlp-seed0-51412384"),
    ("model=medium data=fashion_mnist", "fashion_mnist-deconv-seed0-e1aba1f6"),
    ("data=glyphs conv=native optim=sgd", "glyphs-deconv-seed0-72f26d7d"),
    ("upsample=deconv/k3", "mnist-deconv-seed0-3c561d77"),
    ("upsample=deconv/bilinear", "mnist-deconv-seed0-7688b968"),
    ("upsample.phase_equal=true", "mnist-deconv-seed0-840cb97d"),
    ("upsample=pixel_shuffle/random", "mnist-pixel_shuffle-seed0-da548616"),
    ("upsample=pixel_shuffle upsample.tie_bias=false", "mnist-pixel_shuffle-seed0-05faf355"),
    ("upsample=nearest upsample.order=conv_first", "mnist-nearest-seed0-f1fa81da"),
    ("upsample=dysample upsample.scope=dynamic upsample.groups=2", "mnist-dysample-seed0-2bfe23d0"),
    ("data=image_folder data.path=pics", "image_folder-deconv-seed0-c4bbd7ac"),
    ("data=image_folder data.path=/pictures/all data.image_size=64", "image_folder-deconv-seed0-3bb9dfe7"),
    ("trainer.epochs=7 data.limit=512", "mnist-deconv-seed0-4a0a19ff"),
]


@pytest.mark.parametrize(("words", "name"), GOLDEN)
def test_digests_stay_and_a_name_tells_the_options(tmp_path: Path, words: str, name: str) -> None:
    config = compose_one("train", [*words.split(), f"output_root={tmp_path}"])
    new = run_name(config)
    assert new.rpartition("-seed")[2] == name.rpartition("-seed")[2]
    assert (new == name) == (words not in WITH_OPTIONS)
    assert new.rpartition("-seed")[0] == name.rpartition("-seed")[0] + WITH_OPTIONS.get(words, "")
    old = tmp_path / "default" / name
    old.mkdir(parents=True)
    assert run_path(config) == old, "a directory under the older form of the name is the same run"
    fresh = compose_one("train", [*words.split(), f"output_root={tmp_path}", "run.mode=fresh"])
    assert run_path(fresh) == old.with_name(f"{name}-2")


WITH_OPTIONS = {
    "upsample=deconv/k3": "-k3",
    "upsample=deconv/bilinear": "-init_bilinear",
    "upsample.phase_equal=true": "-phase_equal",
    "upsample=pixel_shuffle/random": "-init_random",
    "upsample=pixel_shuffle upsample.tie_bias=false": "-no_tie_bias",
    "upsample=nearest upsample.order=conv_first": "-order_conv_first",
    "upsample=dysample upsample.scope=dynamic upsample.groups=2": "-groups_2-scope_dynamic",
}


def test_attempts_under_both_forms_of_a_name_are_one_series(tmp_path: Path) -> None:
    config = compose_one("train", ["upsample=deconv/k3", f"output_root={tmp_path}"])
    new = run_path(config)
    for name in ("mnist-deconv-seed0-3c561d77", "mnist-deconv-seed0-3c561d77-2", f"{new.name}-3", f"{new.name}-11"):
        (new.parent / name).mkdir(parents=True)
    assert [path.name.rpartition("3c561d77")[2] for path in attempts(config)] == ["", "-2", "-3", "-11"]
    assert run_path(config) == new.with_name(f"{new.name}-11")


def test_every_option_fits_a_name() -> None:
    words = ["upsample=carafe", "upsample.kernel_size=9", "upsample.encoder_kernel_size=9"]
    name = run_name(compose_one("train", [*words, "upsample.compressed_channels=1024"]))
    assert "-k9-encoder_kernel_size_9-compressed_channels_1024-seed0-" in name
    assert option_word("note", "a/b c\n~$é") == "note_a_b_c_"


@pytest.mark.parametrize(
    "spelling", ["pics", "pics/", "./pics", "x/../pics", "{root}/pics", "{root}/./pics/", "{link}/pics"]
)
def test_every_spelling_of_a_folder_is_one_run(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "root" / "pics").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "root")
    path = spelling.format(root=tmp_path / "root", link=tmp_path / "link")
    words = ["data=image_folder", f"data.root={tmp_path / 'root'}"]
    assert digest(compose_one("train", [*words, f"data.path={path}"])) == "c4bbd7ac", "as of `pics` before"


def test_a_folder_has_one_run_whatever_the_root(tmp_path: Path) -> None:
    words = ["data=image_folder", f"output_root={tmp_path / 'out'}"]
    absolute = compose_one("train", [*words, "data.root=/elsewhere", f"data.path={tmp_path}/pics"])
    run_path(absolute).mkdir(parents=True)
    relative = compose_one("train", [*words, f"data.root={tmp_path}", "data.path=pics"])
    assert run_path(relative) == run_path(absolute)
