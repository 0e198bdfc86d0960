"""Tab completion: what a word can become, and that a fresh bash and a fresh zsh offer it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_plugins import MINE
from upsample_lab.cli.app import COMMANDS, run
from upsample_lab.cli.candidates import candidates
from upsample_lab.compose import compose_one, groups_of, leaf_keys
from upsample_lab.settings import choices, variants

CASES: dict[str, tuple[list[str], list[str]]] = {
    "a command": (["tra"], ["train"]),
    "a group": (
        ["train", "upsample"],
        ["upsample=", "upsample.kernel_size=", "upsample.init=", "upsample.phase_equal="],
    ),
    "a choice": (["train", "upsample=dec"], ["upsample=deconv", "upsample=deconv/bilinear", "upsample=deconv/k3"]),
    "the next of a sweep": (["train", "-m", "upsample=deconv,nea"], ["upsample=deconv,nearest"]),
    "keys of what was chosen": (["train", "optim=sgd", "optim.mom"], ["optim.momentum="]),
    "keys of a variant": (["train", "upsample=deconv/k3", "upsample.k"], ["upsample.kernel_size="]),
    "words": (["train", "trainer.loss="], ["trainer.loss=mse", "trainer.loss=l1", "trainer.loss=bce"]),
    "a switch": (["passport", "cost="], ["cost=true", "cost=false"]),
    "words or null": (["compare", "allow="], ["allow=code", "allow=unpaired", "allow=null"]),
    "a number, as it is": (["train", "optim.warmup"], ["optim.warmup_fraction="]),
    "a nested setting": (["train", "run.mode=f"], ["run.mode=fresh"]),
    "a preset": (["train", "experiment=glyphs"], ["experiment=glyphs_smoke"]),
    "all upsamplers": (["passport", "upsample=al"], ["upsample=all"]),
    "explain's only word": (["explain", "pl"], ["plan"]),
    "its settings": (["explain", "plan", "stag"], ["stages="]),
    "a suite": (["benchmark", "st"], ["startup"]),
    "a shell": (["completion", "z"], ["zsh"]),
    "a plugin": (["train", "plugins="], ["plugins=[mine]"]),
    "its upsampler": (["train", "plugins=[mine]", "upsample=te"], ["upsample=tent"]),
    "its options": (["train", "plugins=[mine]", "upsample=tent", "upsample.sh"], ["upsample.sharpness="]),
    "its model": (["train", "plugins=[mine]", "model=o"], ["model=one_stage"]),
    "its dataset": (["train", "plugins=[mine]", "data=s"], ["data=squares"]),
    "a run": (["evaluate", "run=outputs/default/"], ["run=outputs/default/glyphs-deconv-seed0-12345678/"]),
    "an experiment": (["compare", "experiment="], ["experiment=default"]),
    "no such command": (["trian", "x"], []),
    "no such group": (["train", "upsampel=d"], []),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plugin, which must not be imported, and a run."""
    (tmp_path / "mine.py").write_text(MINE + "\nraise RuntimeError('imported by TAB')\n")
    (tmp_path / "outputs" / "default" / "glyphs-deconv-seed0-12345678").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "expected"), CASES.values(), ids=CASES)
def test_a_word_becomes(place: Path, words: list[str], expected: list[str]) -> None:
    assert candidates(words, COMMANDS) == expected


@pytest.mark.parametrize("command", ["train", "passport", "evaluate", "compare"])
def test_every_group_choice_and_key_is_offered(place: Path, command: str) -> None:
    """From the files alone as from the composed configuration."""
    required = {"evaluate": ["run=x"], "compare": ["experiment=x"]}.get(command, [])
    from omegaconf import OmegaConf

    offered = candidates([command, ""], COMMANDS)
    keys = leaf_keys(OmegaConf.structured(compose_one(command, required)))
    named = {f"{group}.name" for group in groups_of(command) if group != "experiment"}
    assert {f"{key}=" for key in keys if key not in named} <= set(offered)
    for group in groups_of(command):
        offered = candidates([command, f"{group}="], COMMANDS)
        assert {f"{group}={choice}" for choice in (*choices(group), *variants(group))} <= set(offered)


def test_another_shell_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", ["fish"]) == 2
    assert capsys.readouterr().err == "error: completion fish: must be one of bash, zsh\n"


@pytest.fixture
def program(place: Path) -> Path:
    """`upsample-lab` as pip would write it, and a note for each time that it imported torch."""
    path = place / "bin" / "upsample-lab"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from upsample_lab.cli.app import main\nstatus = main()\n"
        f"if 'torch' in sys.modules: open({str(place / 'torch')!r}, 'w')\nsys.exit(status)\n"
    )
    path.chmod(0o755)
    return path


ON_SCREEN: dict[str, list[str]] = {
    "upsample-lab expl": ["explain"],
    "upsample-lab train upsample=deconv/": ["deconv/bilinear", "deconv/k3"],
    "upsample-lab train plugins=[mine] upsample=te": ["tent"],
    "upsample-lab train trainer.loss=b": ["bce"],
    "upsample-lab passport run=outputs/default/": ["outputs/default/glyphs-deconv-seed0-12345678/"],
}


@pytest.mark.process
@pytest.mark.parametrize("line", ON_SCREEN)
def test_a_fresh_bash_offers_it(place: Path, program: Path, line: str) -> None:
    """Calls the completer as bash does at TAB, with the words as bash has split them: also at `=`."""
    code = """
source <(upsample-lab completion bash)
compopt() { :; }
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
$(complete -p upsample-lab | grep -o ' -F [^ ]*' | cut -c5-)
printf '%s\\n' "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    call = ["bash", "--norc", "-c", code, "bash", line]
    done = subprocess.run(call, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ON_SCREEN[line], done.stderr
    assert not (place / "torch").exists()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize("line", ON_SCREEN)
def test_a_fresh_zsh_offers_it(place: Path, program: Path, line: str) -> None:
    """The function is called as zsh does at TAB; `compadd`, which only a line editor has, says what it was given."""
    code = """
compdef() { :; }
source <(upsample-lab completion zsh)
compadd() { while [[ $1 != -- ]]; do shift; done; shift; (( $# )) && print -l -- "$@" }
words=(${(z)1}) CURRENT=${#${(z)1}}
_upsample_lab
"""
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    call = ["zsh", "-f", "-c", code, "zsh", line]
    done = subprocess.run(call, cwd=place, env=environment, capture_output=True, text=True, check=False)
    key = line.split()[-1].partition("=")
    expected = [f"{key[0]}{key[1]}{each}" if key[1] else each for each in ON_SCREEN[line]]
    assert done.stdout.split() == expected, done.stderr
    assert not (place / "torch").exists()
