"""`upsample-lab`, `python -m upsample_lab` and scripts/: one table of commands, each shown as the user called it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib import import_module

import pytest
import torch

import upsample_lab
from tests.conftest import ROOT, SCRIPTS
from upsample_lab.called import COMMAND, ENVIRONMENT, FORMS, MODULE, SCRIPT, call, program
from upsample_lab.cli.app import COMMANDS, main
from upsample_lab.cli.main import as_called


@pytest.fixture(autouse=True)
def form(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` notes in the environment how it was called; put back afterwards."""
    monkeypatch.setenv(ENVIRONMENT, SCRIPT)


def python(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, *(["-c", code] if code else []), *words]
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=False)


def test_without_a_command_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["-h"], ["--help"]):
        assert main(words) == 0
        page = capsys.readouterr().out
        for name, about in COMMANDS.items():
            assert f"  upsample-lab {name} " in page
            assert about in page


def test_an_unknown_command_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "upsample=deconv"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: trian: must be one of {', '.join(COMMANDS)}; did you mean train?"
    assert main(["upsample=deconv"]) == 2


@pytest.mark.parametrize("words", [["--version"], ["train", "--version"], ["passport", "upsample=all", "--version"]])
def test_the_version_stands_once(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"upsample_lab {upsample_lab.__version__}\n"
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("completion",)])
def test_help_shows_the_command_as_it_was_called(form: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main([command, "--help"], form)
    except SystemExit as stopped:  # argparse's
        status = int(stopped.code or 0)
    page = capsys.readouterr().out
    assert status == 0
    assert form.format(command) in page
    for other in FORMS:
        assert other == form or other.format(command) not in page.replace("python -m upsample_lab", "-m")


def test_every_command_has_a_script_that_only_calls_it() -> None:
    for name in COMMANDS.keys() - {"completion"}:
        text = (SCRIPTS / f"{name}.py").read_text()
        assert text.endswith(f'if __name__ == "__main__":\n    raise SystemExit(script("{name}"))\n'), name
        assert len(text.splitlines()) <= 6


def test_hints_show_the_command_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        COMMAND: ("upsample-lab train", "-m upsample_lab train"),
        MODULE: ("python -m upsample_lab train", "-m upsample_lab train"),
        SCRIPT: ("python scripts/train.py", "scripts/train.py"),
    }
    for form, words in expected.items():
        monkeypatch.setenv(ENVIRONMENT, form)
        assert (call("train"), program("train")) == words
    monkeypatch.setenv(ENVIRONMENT, "rm -rf {}")
    assert call("train") == "python scripts/train.py"


def test_examples_stand_in_columns_whatever_the_call() -> None:
    text = as_called("What it does.\n\n  {call} a=1  one\n  torchrun {program} a=1 b=2  two\n  {call} alone", "train")
    assert text.splitlines()[2:] == [
        "  python scripts/train.py a=1        one",
        "  torchrun scripts/train.py a=1 b=2  two",
        "  python scripts/train.py alone",
    ]


@pytest.mark.process
def test_help_and_errors_need_no_torch() -> None:
    watched = "import sys; from upsample_lab.cli.app import main; s = main(sys.argv[1:]); assert {0} not in sys.modules"
    for words in (["--help"], ["--version"], ["trian"]):
        assert python(*words, code=watched.format("'hydra'")).stderr.count("\n") == (words == ["trian"])
    for command in COMMANDS.keys() - {"completion", "benchmark"}:
        done = python(command, "--help", code=watched.format("'torch'"))
        assert done.returncode == 0, done.stderr
        assert "AssertionError" not in done.stderr, command
    assert python("-m", "upsample_lab", "trian").returncode == 2


# ----------------------------------------------------------------------------------------------------------------------
# The package's face


@pytest.mark.process
def test_importing_the_package_imports_nothing() -> None:
    code = "import sys, upsample_lab; dir(upsample_lab); assert not {'torch', 'numpy', 'hydra'} & set(sys.modules)"
    done = python(code=code)
    assert done.returncode == 0, done.stderr


def test_the_face_hands_on_what_users_need() -> None:
    face = upsample_lab._HANDED_ON
    assert set(face) <= set(dir(upsample_lab))
    for name, module in face.items():
        owner = import_module(f"upsample_lab.{module}")
        assert getattr(upsample_lab, name) in (getattr(owner, name), owner)
        assert callable(getattr(upsample_lab, name))
    typed = inspect.getsource(upsample_lab).partition("if TYPE_CHECKING:")[2].partition("__version__")[0]
    assert {line.split()[-1] for line in typed.splitlines() if line.strip()} == set(face)
    with pytest.raises(AttributeError, match="has no attribute 'build_upsampel'"):
        upsample_lab.build_upsampel  # noqa: B018


@pytest.mark.process
@pytest.mark.parametrize("first", ["import upsample_lab", "import upsample_lab.passport.measure, upsample_lab.resize"])
def test_resize_and_passport_are_functions_whatever_was_imported_before(first: str) -> None:
    """They are modules too, and keep being it for who imports from them."""
    code = f"""
{first}
import torch
from upsample_lab import passport, resize
import upsample_lab.resize as module
from upsample_lab.passport import lint, passport as function
assert resize(torch.ones(1, 1, 2, 2), 2).shape == (1, 1, 4, 4)
assert upsample_lab.resize(torch.ones(1, 1, 2, 2), 3).shape == module.resize(torch.ones(1, 1, 2, 2), 3).shape
assert upsample_lab.passport(torch.nn.Upsample(scale_factor=2), 1, 2, size=16, cost=False).subject.scale == 2
"""
    done = python(code=code)
    assert done.returncode == 0, done.stderr


def test_a_finished_run_is_a_model(finished_run: object) -> None:
    model, config = upsample_lab.load_run(finished_run)
    assert not model.training
    with torch.no_grad():
        assert model(torch.rand(2, 1, 28, 28)).shape == (2, 1, 28, 28)
    assert config.data.name == "glyphs"
    assert config.output_root


def test_a_folder_that_is_no_run_is_told(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="a run directory is one that python scripts"):
        upsample_lab.load_run(tmp_path)
