"""Many runs by one command: the whole grid is checked first, then Hydra's sweeper and launcher run it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra

from upsample_lab.cli.compose import compose_unchecked
from upsample_lab.settings import CONFIG_DIR

MULTIRUN_FLAGS = ("-m", "--multirun")
INFORMATIONAL_FLAGS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "--version")


def informs(config_name: str, words: Sequence[str]) -> bool:
    """Whether the words ask Hydra for information, such as `--cfg job`, and not for a run.

    Settings among them are checked first, so that a mistake is told as it always is. Raises `ConfigError`.
    """
    if not any(word.split("=")[0] in INFORMATIONAL_FLAGS for word in words):
        return False
    compose_unchecked(config_name, [word for word in words if "=" in word and not word.startswith("-")])
    return True


def launch(config_name: str, task: Callable[[Any], Any], words: Sequence[str], *, multirun: bool) -> None:
    """Hand the command line to Hydra: its sweeper, whichever launcher is chosen, its own informational flags."""
    flags = ["--multirun"] if multirun else []
    arguments, sys.argv = sys.argv, [sys.argv[0], *flags, *words]
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)(task)()
    finally:
        sys.argv = arguments
