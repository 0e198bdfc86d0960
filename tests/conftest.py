"""What several tests share: the scripts as modules, and a training small enough for every test."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from upsample_lab.cli.app import COMMANDS

# A shell ignores SIGINT for what it starts in the background, and a run leaves an ignored signal ignored: tests that
# send Ctrl-C, also to processes of their own, want it heeded whatever started them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Several processes share the cores, here by design: threads that wait for each other are to give way at once. Read when
# PyTorch is loaded, which is later.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"

TINY = (
    "data=glyphs",
    "data.train_count=200",
    "data.test_count=32",
    "data.validation_count=32",
    "model.widths=[4,8]",
    "trainer.batch_size=16",
    "trainer.epochs=2",
    "trainer.log_every_steps=4",
    "trainer.reconstruction_count=2",
)


def load_script(name: str) -> ModuleType:
    """`scripts/<name>.py` as a module, or the command's own module where the script only calls it."""
    if name in COMMANDS:
        return importlib.import_module(f"upsample_lab.cli.commands.{name}")
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., int]:
    """`train("key=value", …)`: the script's command line with a tiny training, into this test's own folder."""
    from upsample_lab.cli.main import guarded

    main = load_script("train").main

    def run(*words: str) -> int:
        return guarded(lambda: main([*TINY, f"output_root={tmp_path / 'out'}", *words]))

    return run
