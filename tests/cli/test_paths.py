"""Paths as users type them, and commands as they are pasted: both survive a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from upsample_lab.cli.job import command
from upsample_lab.compose import command_words, compose_grid, compose_one
from upsample_lab.runs.identity import digest
from upsample_lab.settings import ConfigError, leaves, rule_of

TYPED = {
    "train": ["output_root", "data.root"],
    "diagnose": ["weights", "run", "output_root"],
    "passport": ["output_root"],
    "evaluate": ["run", "data_root"],
    "compare": ["output_root", "out", "experiment"],
    "export": ["run", "out"],
    "explain": ["output"],
}
REQUIRED = {"evaluate": ["run=x"], "compare": ["experiment=x"], "export": ["run=x"]}
HARD = [
    "a b",
    "it's",
    "[x]",
    "x=y",
    "$HOME",
    "a,b",
    "-n",
    "null",
    "1e3",
    "12",
    "back\\slash",
    "(x)",
    "ü~",
    "x&y;z",
    '"q"',
]


@pytest.mark.parametrize(("script", "key"), [(script, key) for script, keys in TYPED.items() for key in keys])
def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, script: str, key: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = [word for word in REQUIRED.get(script, []) if not word.startswith(f"{key}=")]
    config = compose_one(script, [*given, f"{key}=~/x y"])
    found = {name: value for name, _, _, value in leaves(config)}
    assert found[key] == "/home/me/x y"
    if script == "train":
        assert command_words("train", config) == [f"{key}='/home/me/x y'"]
        second = compose_grid("train", [f"{key}=~/x", "seed=0,1"])[1]
        assert {name: value for name, _, _, value in leaves(second)}[key] == "/home/me/x"


def test_no_such_user_makes_no_folder() -> None:
    with pytest.raises(ConfigError, match=r"output_root=~nobody-here/x: there is no such user"):
        compose_one("train", ["output_root=~nobody-here/x"])


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("key", ["output_root", "data.root", "data.path"])
def test_a_printed_command_survives_a_shell(name: str, key: str) -> None:
    config = compose_one("train", ["data=image_folder", "data.path=pics"])
    setattr(config.data if "." in key else config, key.rpartition(".")[2], name)
    words = shlex.split(command(config))
    assert words[:2] == ["python", "scripts/train.py"]
    again = compose_one("train", words[2:])
    assert again == config
    assert digest(again) == digest(config)


def test_every_path_of_the_schema_is_marked() -> None:
    config = compose_one("train", ["data=image_folder", "data.path=pics"])
    marked = {key for key, cls, name, _ in leaves(config) if (rule := rule_of(cls, name)) and rule.is_path}
    assert marked == {"output_root", "data.root", "data.cache_dir"}
    assert Path("~").expanduser() != Path("~")
