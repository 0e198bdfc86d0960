"""What several tests share: the tiers, the scripts as modules, a training small enough for every test."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from filelock import FileLock

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

TIERS = {
    "unit": "the rest: computes in this process, in a moment",
    "run": "trains, runs whole commands, compiles or exports, in this process",
    "process": "starts processes: kills, launchers, fresh interpreters",
    "browser": "looks at a page in a Chromium",
}
# Minutes each, two of them need root: only where they are asked for.
APART = "not (slurm or ray or broken_off or aot or wheel)"

TINY = (
    "data=glyphs",
    "data.train_count=200",
    "data.test_count=40",
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


def pytest_configure(config: pytest.Config) -> None:
    """Plain `pytest` runs the tier `unit`; named files and folders run whole, whatever their tier."""
    for tier, meaning in TIERS.items():
        config.addinivalue_line("markers", f"{tier}: {meaning}")
    if not config.option.markexpr:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.option.markexpr = APART if named else "unit"


def tiers_of(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()} & TIERS.keys()


def by_tier(names: Iterable[str], run: Collection[str]) -> list[Any]:
    """The rows of a table, of which those in `run` take too long for `unit`."""
    assert set(run) <= set(names)
    return [pytest.param(name, marks=pytest.mark.run if name in run else pytest.mark.unit) for name in names]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What names no tier is `run` where it trains by one of the fixtures below, else `unit`. Before marks choose."""
    for item in items:
        if not tiers_of(item):
            item.add_marker("run" if {"train", "finished_run"} & set(getattr(item, "fixturenames", ())) else "unit")
    several = [item.nodeid for item in items if len(tiers_of(item)) > 1]
    if several:
        raise pytest.UsageError(f"these tests have more than one tier: {', '.join(several)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Only `process` and `browser` may start interpreters, which take seconds."""
    WITHOUT_INTERPRETERS[:] = [item.nodeid] * bool({"unit", "run"} & tiers_of(item))
    try:
        return (yield)
    finally:
        WITHOUT_INTERPRETERS.clear()


WITHOUT_INTERPRETERS: list[str] = []


@sys.addaudithook
def refuse_interpreters(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and WITHOUT_INTERPRETERS and arguments[0] == sys.executable:
        raise RuntimeError(f"{WITHOUT_INTERPRETERS[0]} starts an interpreter: mark it `process`")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A complete run of the tiny training, made once for all tests of all workers. To look at: who writes copies it."""
    from upsample_lab.cli.main import guarded

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{shared}.lock"):  # who comes second finds it complete, and trains nothing
        assert guarded(lambda: load_script("train").main([*TINY, f"output_root={shared}"])) == 0
    (run,) = (path for path in (shared / "default").iterdir() if path.is_dir())
    before = written_at(run)
    yield run
    assert written_at(run) == before, "a test wrote into the run that all share"


def written_at(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
