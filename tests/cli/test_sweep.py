"""Presets, variants and launchers: what they mean, and what is told where they cannot be had. Imports no torch."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins

from upsample_lab import launchers
from upsample_lab.cli.sweep import StoppingWorkers, fixed_places
from upsample_lab.compose import compose_grid, compose_one, compose_unchecked, hydra_settings, is_sweep
from upsample_lab.launchers import PLUGINS, check_installed, check_reachable, in_process
from upsample_lab.runs.identity import run_name
from upsample_lab.settings import CONFIG_DIR, ConfigError, choices, option_values, variants

STUDIES = ("mnist_upsamplers", "cifar_upsamplers", "image_folder_upsamplers")
RUNS = {**dict.fromkeys(STUDIES, 45), "kernel_size": 35, "init_over_training": 15, "glyphs_smoke": 9}


def grid_of(preset: str, *words: str) -> list[Any]:
    path = ("data.path=pictures",) if preset == "image_folder_upsamplers" else ()
    return compose_grid("train", [f"experiment={preset}", *path, *words])


@pytest.mark.parametrize("preset", sorted(set(choices("experiment")) - {"default"}))
def test_a_preset_is_a_sweep_of_different_runs_in_a_folder_of_its_name(preset: str) -> None:
    assert is_sweep("train", [f"experiment={preset}"])
    grid = grid_of(preset)
    assert len({run_name(config) for config in grid}) == len(grid) == RUNS[preset]
    assert {config.experiment.name for config in grid} == {preset}


@pytest.mark.parametrize("preset", STUDIES)
def test_a_study_pairs_every_layer_with_every_seed(preset: str) -> None:
    seeds: dict[str, list[int]] = {}
    for config in grid_of(preset):
        seeds.setdefault(str(config.upsample), []).append(config.seed)
    assert len(seeds) == 9
    assert set(map(tuple, seeds.values())) == {(0, 1, 2, 3, 4)}


def test_the_command_line_wins_over_a_preset() -> None:
    grid = grid_of("mnist_upsamplers", "seed=7", "upsample=nearest,unpool", "trainer.epochs=1", "data.fallback=null")
    assert [(config.upsample.name, config.seed, config.trainer.epochs) for config in grid] == [
        ("nearest", 7, 1),
        ("unpool", 7, 1),
    ]


def test_the_kernel_study_has_each_kernel() -> None:
    assert sorted({config.upsample.kernel_size for config in grid_of("kernel_size")}) == list(range(2, 9))


@pytest.mark.parametrize("variant", variants("upsample"))
def test_a_variant_is_its_layer_with_other_values(variant: str) -> None:
    layer = variant.partition("/")[0]
    varied = compose_one("train", [f"upsample={variant}"])
    plain = option_values("upsample", layer)
    changed = {key: value for key, value in vars(varied.upsample).items() if plain[key] != value}
    assert changed
    assert varied.upsample.name == layer
    spelt_out = [f"upsample={layer}", *(f"upsample.{key}={value}" for key, value in changed.items())]
    assert run_name(varied) == run_name(compose_one("train", spelt_out))


def test_an_unknown_variant_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"upsample=deconv/k9: must be one of .*did you mean deconv/k3\?"):
        compose_one("train", ["upsample=deconv/k9"])


# ----------------------------------------------------------------------------------------------------------------------
# Launchers


OURS = sorted(path.stem for path in (CONFIG_DIR / "hydra" / "launcher").glob("*.yaml"))


def test_our_launchers_have_names_of_their_own() -> None:
    assert set(OURS) == {"parallel", "slurm", "ray_cluster"}
    assert set(OURS) <= set(PLUGINS["hydra/launcher"])


@pytest.mark.parametrize("name", OURS)
def test_a_launcher_composes_where_its_extra_is_installed(name: str) -> None:
    pytest.importorskip(f"hydra_plugins.{PLUGINS['hydra/launcher'][name].module}", reason="needs its extra")
    launcher = hydra_settings("train", [f"hydra/launcher={name}"]).launcher
    assert not in_process(launcher)
    assert Plugins.instance().is_in_toplevel_plugins_module(launcher._target_)


def test_without_a_launcher_runs_stay_in_this_process() -> None:
    assert in_process(hydra_settings("train", []).launcher)


@pytest.mark.parametrize("name", OURS)
def test_a_missing_extra_is_one_line_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = PLUGINS["hydra/launcher"][name]
    monkeypatch.setitem(sys.modules, f"hydra_plugins.{plugin.module}", None)  # how Python marks what is not there
    extra = plugin.extra
    with pytest.raises(ConfigError, match=rf"hydra/launcher={name}: needs hydra-.*pip install -e '\.\[{extra}\]'"):
        compose_unchecked("train", [f"hydra/launcher={name}"])


def test_a_sweeper_that_searches_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"hydra/sweeper=optuna: sweeps here are grids.*docs/sweeps\.md"):
        compose_grid("train", ["hydra/sweeper=optuna"])


def test_other_choices_need_nothing() -> None:
    check_installed("hydra/launcher", "basic")
    check_installed("hydra/output", "default")


SLURM: Any = {"_target_": "x.SlurmLauncher"}


@pytest.fixture
def sinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a `sinfo` would be found: there is no other on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "sinfo"


def answer(sinfo: Path, script: str) -> None:
    sinfo.write_text(f"#!/bin/sh\n{script}\n")
    sinfo.chmod(0o755)


def test_no_slurm_is_told(sinfo: Path) -> None:
    with pytest.raises(ConfigError, match="sinfo is not on the PATH"):
        check_reachable(SLURM)


def test_a_slurm_that_does_not_answer_is_told(sinfo: Path) -> None:
    answer(sinfo, "echo 'slurm_load_partitions: Unable to contact' >&2; exit 1")
    with pytest.raises(ConfigError, match=r"does not answer \(slurm_load_partitions: Unable to contact\)"):
        check_reachable(SLURM)


def test_a_slurm_that_is_silent_is_told(sinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(sinfo, "while :; do :; done")
    monkeypatch.setattr(launchers, "ANSWER_TIMEOUT_SEC", 0.01)
    with pytest.raises(ConfigError, match=r"has not answered for 0\.01 s"):
        check_reachable(SLURM)


def test_a_slurm_that_answers_is_taken(sinfo: Path) -> None:
    answer(sinfo, "echo all")
    check_reachable(SLURM)


def ray_at(address: str | None) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.create({"_target_": "x.RayLauncher", "ray": {"init": {"address": address}}})


def test_a_ray_head_that_is_not_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but listened on by nobody
        with pytest.raises(ConfigError, match=r"address=127\.0\.0\.1:\d+: no Ray head answers there"):
            check_reachable(ray_at(f"127.0.0.1:{taken.getsockname()[1]}"))
        taken.listen()
        check_reachable(ray_at(f"ray://127.0.0.1:{taken.getsockname()[1]}"))
    check_reachable(ray_at(None))


def test_folders_are_fixed_for_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = compose_grid("train", ["data=mnist", "data.root=images", "output_root='meine Laufe, alle'", "seed=0,1"])
    words = fixed_places(grid)
    again = compose_grid("train", ["seed=0,1", *words])
    assert {config.output_root for config in again} == {str(tmp_path / "meine Laufe, alle")}
    assert {config.data.root for config in again} == {str(tmp_path / "images")}
    assert [run_name(config) for config in again] == [run_name(config) for config in grid]
    assert [word.partition("=")[0] for word in fixed_places(compose_grid("train", ["data=glyphs"]))] == ["output_root"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_a_sweep_with_its_status(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop, StoppingWorkers():
        os.kill(os.getpid(), number)
    assert stop.value.code == 128 + number
    assert signal.getsignal(number) is before
