"""The command line: what it prints, where it writes, how it refuses, and that help and refusals load no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upsample_lab.cli.app import run

REPOSITORY = Path(__file__).parents[2]


def test_text_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert run("explain", ["input_size=5", "stride=2"]) == 0
    path = tmp_path / "outputs" / "explain" / "i5-k3-s2-p0.txt"
    printed = capsys.readouterr().out
    assert path.read_text(encoding="utf-8") in printed
    assert printed.splitlines()[-1] == str(path.relative_to(tmp_path))


@pytest.mark.parametrize(("to", "start"), [("png", b"\x89PNG"), ("gif", b"GIF89a"), ("html", b"<!doctype html>")])
def test_files_are_written_where_asked(to: str, start: bytes, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "new" / f"derivation.{to}"
    assert run("explain", ["input_size=2", "kernel_size=2", f"to={to}", f"output={path}"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes().startswith(start)


def test_plan_is_printed(capsys: pytest.CaptureFixture) -> None:
    assert run("explain", ["plan", "image_size=28", "stages=3", "scale=2"]) == 0
    assert capsys.readouterr().out.startswith("Encoder: 28 → 14 → 7 → 4")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["input_siz=4"], "input_siz=4: no such key; did you mean input_size?"),
        (["kernel_size=0"], "kernel_size=0: must be an integer from 1 to 6"),
        (["kernel_size=big"], "kernel_size=big: must be an integer"),
        (["stride=1.5"], "stride=1.5: must be an integer"),
        (["to=pgn"], "to=pgn: must be one of text, png, gif, html; did you mean png?"),
        (["input_size=11"], "input_size=11: must be an integer from 1 to 10"),
        (["input_size=9", "to=gif"], "input_size=9: to=gif draws inputs of up to 8 pixels"),
        (["input_size=2", "kernel_size=5"], "kernel_size=5 must not exceed the padded input"),
        (["to=png", "output=a.gif"], "output=a.gif: must end in .png, since to=png"),
        (["output=/dev/null/a.txt"], "output=/dev/null/a.txt: cannot be written"),
        (["pln"], "pln: the only word without '=' is plan, and it comes first; did you mean plan?"),
        (["plan", "stages=0"], "stages=0: must be an integer from 1 to 16"),
        (["plan", "image_sise=3"], "image_sise=3: no such key; did you mean image_size?"),
        (["plan", "image_size=1", "encoder_kernel_size=5"], "kernel_size=5 with dilation=1 spans 5 pixels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_ends_in_one_line_and_status_2(words: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert run("explain", words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["plan", "--help"], 0),
        (["kernel_size=99"], 2),
        (["input_size=2", "kernel_size=5"], 2),
        ([], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_answers_without_torch(words: list[str], status: int, tmp_path: Path) -> None:
    program = (
        "import sys; from upsample_lab.cli.app import run; status = run('explain', sys.argv[1:]); "
        "assert 'torch' not in sys.modules, 'torch was imported'; raise SystemExit(status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == status, result.stderr


@pytest.mark.process
def test_script_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/explain.py", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for word in ("input_size=4", "kernel_size=3", "stride=1", "padding=0", "to=text", "output=null", "plan"):
        assert word in result.stdout
