"""`scripts/passport.py`: what it writes, and how it answers mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from upsample_lab.cli.commands.passport import folder_name, run
from upsample_lab.compose import compose_grid, compose_one
from upsample_lab.passport.configured import measure, title
from upsample_lab.passport.table import COMPARISON_COLUMNS, comparison_rows, count, macs_words
from upsample_lab.settings import ConfigError

SCRIPT = Path(__file__).parents[2] / "scripts" / "passport.py"
SMALL = ["size=16", "in_channels=4", "out_channels=4", "device=cpu"]
FILES = ("passport.png", "passport.html", "passport.json")


def run_script(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)


@pytest.mark.run
def test_one_passport(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "upsample=deconv", "upsample.kernel_size=3", f"output_root={tmp_path}"]
    assert run(compose_grid("passport", words), command=" ".join(["python", "scripts/passport.py", *words])) == 0
    (folder,) = (tmp_path / "passports").iterdir()
    assert folder.name == "deconv-kernel_size=3-in_channels=4-out_channels=4-size=16"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    printed = capsys.readouterr().out
    assert "deconv kernel_size=3: x2, 4 -> 4 channels" in printed
    assert printed.splitlines()[-3:] == [str(folder / name) for name in FILES]
    assert json.loads((folder / "passport.json").read_text())["subject"]["name"] == "deconv kernel_size=3"
    assert "upsample.kernel_size=3" in (folder / "passport.html").read_text()


@pytest.mark.run
def test_without_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(compose_grid("passport", [*SMALL, "upsample=nearest", "cost=false", f"output_root={tmp_path}"])) == 0
    (folder,) = (tmp_path / "passports").iterdir()
    assert json.loads((folder / "passport.json").read_text())["cost"] is None
    assert "cost on this device" not in capsys.readouterr().out


def test_a_comparison_tells_what_a_layer_costs_by_definition_and_as_it_is_run() -> None:
    (config,) = compose_grid("passport", ["size=16", "upsample=nearest", "device=cpu"])
    measured = measure(config)
    row = dict(zip(COMPARISON_COLUMNS, comparison_rows([measured])[0][1:], strict=True))
    assert row["MACs/px"] == "2,304"
    assert row["as run"] == count(measured.cost.macs_per_pixel) != "2,304"
    assert macs_words(measured.cost) == ["2,304 MACs/px", f"{row['as run']} as run"]


@pytest.mark.run
def test_a_comparison_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = compose_grid("passport", [*SMALL, "upsample=nearest,deconv", f"output_root={tmp_path}"])
    assert run(configs) == 0
    (folder,) = (tmp_path / "passports").iterdir()
    assert folder.name.startswith("nearest+deconv")
    assert [p["subject"]["name"] for p in json.loads((folder / "passport.json").read_text())] == ["nearest", "deconv"]
    assert "unequal-phase-gains" in capsys.readouterr().out


@pytest.mark.run
def test_the_whole_registry_leaves_out_what_cannot_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "size=16",
        "in_channels=3",
        "out_channels=2",
        "upsample=nearest,bilinear_additive",
        f"output_root={tmp_path}",
    ]
    assert run(compose_grid("passport", words), whole_registry=True) == 0
    error = capsys.readouterr().err
    assert re.fullmatch(r"left out: upsample=bilinear_additive: .*\b3\b.*multiple of.*2.*\n", error)
    assert [path.name for path in (tmp_path / "passports").iterdir()] == ["all-in_channels=3-out_channels=2-size=16"]
    with pytest.raises(ConfigError, match="upsample=bilinear_additive: "):
        run(compose_grid("passport", words))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made: Not a directory"):
        run(compose_grid("passport", [*SMALL, "upsample=nearest", f"output_root={tmp_path / 'file'}"]))


def test_a_device_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"device=cuda:63: not on this machine.*use device=auto"):
        run(compose_grid("passport", ["device=cuda:63"]))


NAMES = {
    "defaults": ([], "deconv", "deconv"),
    "an option": (["upsample.init=bilinear"], "deconv init=bilinear", "deconv-init=bilinear"),
    "settings": (["upsample=nearest", "scale=3", "seed=1"], "nearest", "nearest-scale=3-seed=1"),
    "algorithms": (["conv=native"], "deconv", "deconv-conv=native"),
    "where it goes": (["output_root=elsewhere", "device=cpu"], "deconv", "deconv"),
}


@pytest.mark.parametrize(("words", "shown", "folder"), NAMES.values(), ids=NAMES)
def test_names(words: list[str], shown: str, folder: str) -> None:
    config = compose_one("passport", words)
    assert title(config) == shown
    assert folder_name([config]) == folder


def test_long_names_end_in_a_digest() -> None:
    many = compose_grid("passport", ["upsample=deconv", "upsample.kernel_size=2,3,4,5,6,7,8"])
    assert len(folder_name(many)) == 80
    assert folder_name(many) != folder_name(many[:-1])


WRONG = {
    "unknown upsampler": ("upsample=bilinaer", "upsample=bilinaer: must be one of"),
    "unknown key": ("sise=16", "sise=16: no such key; did you mean size?"),
    "not a number": ("scale=two", "scale=two: must be an integer from 2 to 4"),
    "out of range": ("size=8", "size=8: must be an integer from 16 to 128"),
    "kernel of 0": ("upsample.kernel_size=0", "upsample.kernel_size=0: must be an integer from 2 to 8"),
    "device": ("device=gpu", "device=gpu: must be auto, cpu, cuda or cuda:<number>"),
}


@pytest.mark.parametrize(("word", "message"), WRONG.values(), ids=WRONG)
def test_mistakes_name_the_key_and_what_is_allowed(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_grid("passport", [word])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.process
def test_mistakes_end_with_status_2_and_no_torch() -> None:
    code = (
        "import sys, runpy; sys.argv[1:] = ['scale=9']; status = 0\n"
        "try: runpy.run_path(sys.argv[0] or 'x', run_name='__main__')\n"
        "except SystemExit as stop: status = stop.code\n"
        "assert 'torch' not in sys.modules; sys.exit(status)"
    ).replace("sys.argv[0] or 'x'", repr(str(SCRIPT)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: scale=9: must be an integer from 2 to 4\n"


@pytest.mark.process
def test_help_names_every_setting() -> None:
    done = run_script("--help")
    assert done.returncode == 0
    for word in ("upsample=all", "in_channels=16", "size=32", "output_root=outputs", "dysample"):
        assert word in done.stdout
