"""What a user installs: the package as a wheel, in an environment of its own, with parts of the user's in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_plugins import MINE as PLUGIN
from upsample_lab import __version__

pytestmark = [pytest.mark.process, pytest.mark.wheel]

MINE = PLUGIN
for name in ("tent", "one_stage", "squares"):
    MINE = MINE.replace(f'"{name}"', '"mine"')
OWN = ("plugins=[mine]", "upsample=mine", "model=mine", "data=mine", "trainer.max_steps=3")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `env/`, where the wheel is installed, and `lab/`, where the user's file is.

    What the package depends on comes from this environment, by its path alone: torch is two gigabytes.
    """
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(place), str(ROOT)], check=True)
    (wheel,) = place.glob("upsample_lab-*.whl")
    venv.create(place / "env", symlinks=True)
    (installed,) = (place / "env" / "lib").glob("python*/site-packages")
    dependencies = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (installed / "dependencies.pth").write_text("\n".join(dependencies))
    python = str(place / "env" / "bin" / "python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (place / "lab").mkdir()
    (place / "lab" / "mine.py").write_text(MINE)
    return place


@pytest.fixture
def command(place: Path) -> Command:
    """Run a program of the environment from the user's folder; the checkout is not on the path."""
    own = ("PYTHONPATH", "PYTHONHOME")
    environment = {key: value for key, value in os.environ.items() if key not in own and "UPSAMPLE_LAB" not in key}

    def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
        call = [str(place / "env" / "bin" / program), *words]
        return subprocess.run(
            call, cwd=place / "lab", env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    return run


def test_the_package_is_the_wheels(place: Path, command: Command) -> None:
    code = "import sys, upsample_lab; print(upsample_lab.__file__, upsample_lab.__version__, 'torch' in sys.modules)"
    found = command("python", "-c", code)
    assert found.stdout.split()[1:] == [__version__, "False"], found.stderr
    assert Path(found.stdout.split()[0]).is_relative_to(place / "env")
    assert command("upsample-lab", "--version").stdout == f"upsample_lab {__version__}\n"
    assert command("python", "-m", "upsample_lab", "--version").stdout == f"upsample_lab {__version__}\n"


def test_own_parts_are_trained_swept_compared_and_measured(place: Path, command: Command) -> None:
    trained = command("upsample-lab", "train", *OWN)
    assert trained.returncode == 0, trained.stderr
    (run,) = (place / "lab" / "outputs" / "default").glob("mine-mine-seed0-*")
    assert '"command": "upsample-lab train ' in (run / "capsule.json").read_text()

    launcher = ["hydra/launcher=parallel"] if find_spec("hydra_plugins.hydra_joblib_launcher") else []
    swept = command("upsample-lab", "train", "-m", *OWN, "upsample=mine,nearest", "seed=0,1", *launcher)
    assert swept.returncode == 0, swept.stderr
    assert "4 runs: 1 complete, 3 to train" in swept.stdout
    assert "4 of 4 runs complete" in swept.stdout

    compared = command("upsample-lab", "compare", "experiment=default", "plugins=[mine]", "latency=false")
    assert compared.returncode == 0, compared.stderr
    page = (place / "lab" / "outputs" / "default" / "report" / "report.html").read_text()
    assert "upsample-lab compare experiment=default" in page

    measured = command("upsample-lab", "passport", "plugins=[mine]", "upsample=mine,nearest", "size=16", "cost=false")
    assert measured.returncode == 0, measured.stderr
    own = command("upsample-lab", "passport", "plugins=[mine]", f"run={run}", "cost=false")
    assert own.returncode == 0, own.stderr
    evaluated = command("upsample-lab", "evaluate", "plugins=[mine]", f"run={run}")
    assert evaluated.returncode == 0, evaluated.stderr


def test_own_parts_are_in_the_help_and_in_the_nearest_matches(command: Command) -> None:
    page = command("upsample-lab", "train", "plugins=[mine]", "upsample=mine", "--help").stdout
    assert "upsample-lab train upsample=deconv " in page
    assert "* mine" in page
    assert "upsample.sharpness=1.0" in page
    wrong = command("upsample-lab", "train", "plugins=[mine]", "upsample=mien")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean mine?" in wrong.stderr
