"""Who holds a run: one process, whatever became of the others; also where the kernel's lock does not reach."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from upsample_lab.compose import compose_one
from upsample_lab.runs import lock
from upsample_lab.runs.directory import RunDirectory, open_run, run_path
from upsample_lab.runs.lock import Holder, RunHeld, held
from upsample_lab.settings import ConfigError

ELSEWHERE = Holder("elsewhere", "another boot", 4242, "token")


def plant(folder: Path, holder: Holder, age_sec: float = 0.0) -> Path:
    """The file that a holder leaves behind, its last heartbeat some seconds ago."""
    file = folder / ".holder"
    file.write_text(json.dumps(asdict(holder)))
    then = time.time() - age_sec
    os.utime(file, (then, then))
    return file


def a_dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_holder_is_named_and_its_file_goes_with_it(tmp_path: Path) -> None:
    with held(tmp_path):
        with pytest.raises(RunHeld, match=f"by process {os.getpid()} on ") as caught, held(tmp_path):
            pass
        assert caught.value.exit_status == 3
        assert Holder.read(tmp_path / ".holder") is not None
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with held(tmp_path):
        pass


@pytest.mark.process
def test_the_actual_holder_is_named_not_a_dead_one(tmp_path: Path) -> None:
    """Between the lock and the first word of its holder, the file still names the process before."""
    with held(tmp_path):
        plant(tmp_path, replace(Holder.this_process(), pid=a_dead_process()))
        with pytest.raises(RunHeld, match="another process, which is just starting"), held(tmp_path):
            pass


@pytest.mark.process
def test_a_dead_process_of_this_machine_is_followed_at_once(tmp_path: Path) -> None:
    plant(tmp_path, replace(Holder.this_process(), pid=a_dead_process()))
    said: list[str] = []
    with held(tmp_path, said.append):
        pass
    assert said == [], "there is nothing to wait for"


@pytest.fixture
def no_kernel_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared file system that knows no locks, as NFS without its lock daemon."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)


def test_without_a_kernel_lock_a_live_process_of_this_machine_is_refused(tmp_path: Path, no_kernel_lock: None) -> None:
    with (
        held(tmp_path, beat_sec=0.02),
        pytest.raises(RunHeld, match=f"process {os.getpid()}"),
        held(tmp_path, dead_after_sec=1.0),
    ):
        pass


@pytest.mark.process
def test_without_a_kernel_lock_a_dead_process_of_this_machine_is_followed(tmp_path: Path, no_kernel_lock: None) -> None:
    plant(tmp_path, replace(Holder.this_process(), pid=a_dead_process()))
    with held(tmp_path):
        assert Holder.read(tmp_path / ".holder") is not None


def test_another_machine_whose_heart_beats_is_refused(tmp_path: Path) -> None:
    file, stop = plant(tmp_path, ELSEWHERE), threading.Event()
    heart = threading.Thread(target=lock._beat, args=(file, stop, 0.02))
    heart.start()
    try:
        with pytest.raises(RunHeld, match="process 4242 on elsewhere"), held(tmp_path, dead_after_sec=5.0):
            pass
    finally:
        stop.set()
        heart.join()
    assert Holder.read(file) == ELSEWHERE


@pytest.mark.parametrize("age_sec", [0.0, 1000.0])
def test_another_machine_whose_heart_has_stopped_is_followed(tmp_path: Path, age_sec: float) -> None:
    plant(tmp_path, ELSEWHERE, age_sec)
    said: list[str] = []
    with held(tmp_path, said.append, dead_after_sec=0.2):
        assert Holder.read(tmp_path / ".holder") != ELSEWHERE
    assert any("taken over from process 4242 on elsewhere" in line for line in said)
    assert len(said) == (1 if age_sec else 2), "who waits says so"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 1}', "\0\0", "[" * 100_000])
def test_a_damaged_holder_is_followed_too(tmp_path: Path, content: str) -> None:
    (tmp_path / ".holder").write_text(content)
    with held(tmp_path, dead_after_sec=0.05):
        assert Holder.read(tmp_path / ".holder") is not None


def test_who_was_taken_over_writes_nothing_more(tmp_path: Path) -> None:
    with held(tmp_path) as hold:
        hold.check()
        plant(tmp_path, ELSEWHERE)
        with pytest.raises(RunHeld, match="was taken over by process 4242 on elsewhere"):
            hold.check()
    assert Holder.read(tmp_path / ".holder") == ELSEWHERE, "nor does it remove what is not its own"


def test_the_heart_beats(tmp_path: Path) -> None:
    with held(tmp_path, beat_sec=0.01):
        file = tmp_path / ".holder"
        os.utime(file, (0, 0))
        for _ in range(500):
            if file.stat().st_mtime > 0:
                break
            threading.Event().wait(0.01)
        assert file.stat().st_mtime > 0
    assert not [thread for thread in threading.enumerate() if "heartbeat" in thread.name]


def test_one_of_many_at_once_gets_the_run(tmp_path: Path, no_kernel_lock: None) -> None:
    """Even where all that there is is the exclusive creation of a file."""
    start, outcomes = threading.Barrier(8), []

    def want() -> None:
        start.wait()
        holder = Holder.this_process()
        outcomes.append(lock._create(tmp_path / ".holder", holder))

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_fifty_runs_at_once_make_fifty_directories(tmp_path: Path) -> None:
    """Half of them fresh starts of one and the same run, which must not share a directory."""
    same = compose_one("train", [f"output_root={tmp_path}", "run.mode=fresh"])
    others = [compose_one("train", [f"output_root={tmp_path}", f"seed={seed}"]) for seed in range(1, 26)]
    start, paths, problems = threading.Barrier(50), [], []

    def begin(config: object) -> None:
        start.wait()
        try:
            with open_run(config).locked() as run:  # type: ignore[arg-type]
                run.set_status("running")
                paths.append(run.path)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=begin, args=(config,)) for config in [same] * 25 + others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(set(paths)) == 50
    assert len(list((tmp_path / "default").iterdir())) == 50


def test_ten_thousand_neighbours_cost_a_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is found by its name, of whatever form: the names of its neighbours are read, and nothing in them."""
    config = compose_one("train", [f"output_root={tmp_path}"])
    path = run_path(config)
    path.mkdir(parents=True)

    listed: list[Path] = []
    scandir = os.scandir

    def listing(folder: Path) -> Any:
        listed.append(Path(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", listing)
    assert run_path(config) == path
    assert open_run(config).status() == {"state": None}
    assert set(listed) == {path.parent}


@pytest.mark.parametrize("name", ["checkpoints", "metrics.jsonl", ".lock"])
def test_a_planted_link_is_not_written_through(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.mkdir() if name == "checkpoints" else target.write_text("precious")
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    (run.path / name).symlink_to(target)
    with pytest.raises(ConfigError, match=r"is a link, which no run makes"), run.locked():
        pass
    assert target.is_dir() or target.read_text() == "precious"


def test_a_link_out_of_the_output_root_is_refused(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "default").symlink_to(outside)
    with pytest.raises(ConfigError, match=r"experiment.name=default: .* leads out of"):
        open_run(compose_one("train", [f"output_root={root}"]))
    (tmp_path / "other name").symlink_to(root)
    (root / "default").unlink()
    open_run(compose_one("train", [f"output_root={tmp_path / 'other name'}"]))  # the root itself may be one


@pytest.mark.process
def test_the_name_of_a_process_that_was_killed_after_completion_is_cleared(
    train: Callable[..., int], tmp_path: Path
) -> None:
    """By the next command, which finds the run complete; the name of a living process stays."""
    assert train() == 0
    (run,) = (path for path in (tmp_path / "out" / "default").iterdir() if path.is_dir())
    plant(run, replace(Holder.this_process(), pid=a_dead_process()))
    assert train() == 0
    assert not (run / ".holder").exists()
    plant(run, Holder.this_process())
    assert train() == 0
    assert (run / ".holder").exists()
