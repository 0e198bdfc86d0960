"""One run in several processes: the result of one process, one writer, and what happens when a process goes.

The processes are real ones, started by torchrun. It takes some 10 s each time, so few starts have to show much.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from tests.conftest import ROOT, TINY
from tests.training.results import result
from tests.training.test_end_to_end import only_run
from upsample_lab.data import BatchLoader
from upsample_lab.runs.checkpoint import DamagedCheckpoint, MissingCheckpoint
from upsample_lab.runs.journal import TIMES, read_reports
from upsample_lab.runs.lock import RunHeld
from upsample_lab.settings import ConfigError
from upsample_lab.training.failure import NotFinite, TrainingFailed
from upsample_lab.training.parallel import SHARED_ERRORS, World, check_parts, own_device, own_part
from upsample_lab.training.ranks import Ranks, read_ranks

Train = Callable[..., int]
HANG_SEC = 600
"""After this a start counts as hung; on a quiet machine it takes a fiftieth."""

SMOOTH = ("optim=sgd", "optim.lr=0.01", "optim.momentum=0", "model.activation=silu", "trainer.log_every_steps=1")
"""A training that does not magnify rounding: no kink to fall on the other side of, no division by a small gradient.

Adam divides by the gradient's size, and a bias before a batch norm has a gradient of nothing but rounding: such biases
go their own way in any other order of summation (with another number of threads, too).
"""

WITH_TROUBLE = """
import os, signal, sys
sys.path.insert(0, {root!r})
from tests.conftest import load_script
from upsample_lab.cli.main import guarded
from upsample_lab.training.state import Training

step, restarts = Training.step, int(os.environ["TORCHELASTIC_RESTART_COUNT"])

def step_in_trouble(training):
    rate = step(training)
    rank, done = training.world.rank, training.progress.step + 1
    {trouble}
    return rate

Training.step = step_in_trouble
main = load_script("train").main
sys.exit(guarded(lambda: main(sys.argv[1:])))
"""
KILL = "if (rank, done, restarts) in ((1, 15, 0), (0, 13, 1)): os.kill(os.getpid(), signal.SIGKILL)"
TERMINATE = "if rank == 1 and done >= 6: os.kill(os.getpid(), signal.SIGTERM)"


def torchrun(folder: Path, *words: str, trouble: str = "pass", restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Train in two processes that meet on a free port of this machine."""
    script = folder / "train_in_trouble.py"
    script.write_text(WITH_TROUBLE.format(root=str(ROOT), trouble=trouble))
    meet = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--max-restarts={restarts}", *meet]
    settings = [*TINY, f"output_root={folder / 'out'}", *words]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(
        [*launch, str(script), *settings],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_SEC, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As torchrun gives each process: on busy cores, threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = torchrun(folder, *SMOOTH)
    assert done.returncode == 0, done.stderr
    return only_run(folder), done


def close(value: object, expected: object, tolerance: float = 1e-5) -> bool:
    return value == expected or math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)  # type: ignore[arg-type]


@pytest.mark.process
def test_two_processes_do_what_one_does(
    train: Train, tmp_path: Path, undisturbed: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    two, launched = undisturbed
    assert train(*SMOOTH) == 0
    one = only_run(tmp_path)
    assert two.name == one.name, "the number of processes is no part of a run's identity"
    files = {path.relative_to(one) for path in one.rglob("*") if not path.name.startswith("events.")}
    assert {path.relative_to(two) for path in two.rglob("*") if not path.name.startswith("events.")} == files
    assert len(list(two.glob("events.*"))) == 1
    assert launched.stdout.count("run directory:") == 1
    assert launched.stderr.count("validation: PSNR") == 3

    for checkpoint in ("last", "best"):
        weights, expected = (load_file(run / "checkpoints" / f"{checkpoint}.safetensors") for run in (two, one))
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)
    for line, expected in zip(result(two)["metrics"], result(one)["metrics"], strict=True):
        assert line.keys() == expected.keys()
        plain = [name for name in line if name.endswith(("step", "loss", "lr", "grad_norm", "psnr_db", "ssim"))]
        assert [name for name in plain if not close(line[name], expected[name])] == [], (line, expected)


@pytest.mark.process
def test_killed_processes_are_replaced_and_nothing_is_lost(
    tmp_path: Path, undisturbed: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    """SIGKILL to the second process at step 15; then, of those that came in their place, to the first, which writes and
    holds the lock, at step 13. The last checkpoint is that of step 10."""
    done = torchrun(tmp_path, *SMOOTH, trouble=KILL, restarts=2)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("resuming at step 10 of 20") == 2
    assert result(only_run(tmp_path)) == result(undisturbed[0])


@pytest.mark.process
def test_a_signal_to_one_process_stops_all_after_the_same_step(train: Train, tmp_path: Path) -> None:
    """SIGTERM to the second process, and again after each further step. One process finishes what two began."""
    done = torchrun(tmp_path, "trainer.log_every_steps=1", trouble=TERMINATE)
    run = only_run(tmp_path)
    assert done.returncode != 0
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("interrupted", "SIGTERM"), done.stderr
    assert "to go on: python scripts/train.py" in done.stderr
    assert train("trainer.log_every_steps=1") == 0
    assert train("trainer.log_every_steps=1", "experiment.name=whole") == 0
    curves = []
    for folder in (run, tmp_path / "out" / "whole" / run.name):
        lines = [line for line in read_reports(folder) if "train/loss" in line]
        curves.append([{name: value for name, value in line.items() if name not in TIMES} for line in lines])
    assert len(curves[0]) == len(curves[1]) == 20
    for line, expected in zip(*curves, strict=True):
        assert close(line["train/loss"], expected["train/loss"]), (line, expected)


@pytest.mark.process
def test_a_run_of_other_images_is_refused_by_all_in_one_line(train: Train, tmp_path: Path) -> None:
    assert train(*SMOOTH) == 0
    run = only_run(tmp_path)
    capsule = json.loads((run / "capsule.json").read_text())
    capsule["data"] |= {"digest": "0123456789abcdef", "files": "of other files"}
    (run / "capsule.json").write_text(json.dumps(capsule))
    status = json.loads((run / "status.json").read_text()) | {"state": "interrupted"}
    (run / "status.json").write_text(json.dumps(status))
    before = (run / "metrics.jsonl").read_bytes()
    done = torchrun(tmp_path, *SMOOTH)
    assert done.returncode != 0
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "begun on other images" in error
    assert "digest 0123456789abcdef then" in error
    assert (run / "metrics.jsonl").read_bytes() == before
    assert json.loads((run / "capsule.json").read_text()) == capsule


# ---- Without torchrun ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 4])
def test_parts_make_up_the_batch(size: int) -> None:
    images = torch.randint(0, 256, (30, 1, 2, 2), dtype=torch.uint8)
    whole = BatchLoader(images, 8, seed=1)
    parts = [BatchLoader(images, 8, seed=1, part=(rank, size)) for rank in range(size)]
    for step in range(7):
        assert torch.equal(torch.cat([part.batch(step) for part in parts]), whole.batch(step))
    assert all((part.batch_size, part.steps_per_epoch) == (8, 3) for part in parts)


def test_a_part_that_cannot_be_is_refused() -> None:
    for part in ((0, 3), (2, 2), (-1, 2)):
        with pytest.raises(ValueError, match="cannot be cut"):
            BatchLoader(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), 8, seed=0, part=part)


def test_processes_started_again_do_not_take_old_addresses_for_new() -> None:
    """The second of the new processes is there before the first, and finds only what their predecessors left."""
    store = distributed.HashStore()
    own_parts = []
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            second = pool.submit(own_part, store, Ranks(1, 2, 1, 2))
            first = pool.submit(own_part, store, Ranks(0, 2, 0, 2))
            mine, theirs = first.result(timeout=60), second.result(timeout=60)
        mine.set("address", f"{len(own_parts)}")
        assert theirs.get("address") == mine.get("address")
        assert not any(part.get("address") == mine.get("address") for part in own_parts)
        own_parts.append(mine)


def environment(**changes: str | None) -> dict[str, str]:
    values: dict[str, str | None] = {
        "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
    }  # fmt: skip
    return {name: value for name, value in (values | changes).items() if value is not None}


def test_ranks_are_read_from_the_environment() -> None:
    assert read_ranks({}) == Ranks() == read_ranks({"RANK": "0", "WORLD_SIZE": "1"})
    assert read_ranks(environment()) == Ranks(1, 4, 1, 2)
    assert not read_ranks(environment()).is_writer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not"),
        ({"WORLD_SIZE": None, "LOCAL_RANK": None}, "WORLD_SIZE, LOCAL_RANK is not"),
        ({"RANK": "two"}, "RANK=two: must be a whole number"),
        ({"MASTER_PORT": ""}, "MASTER_PORT=: must be a whole number"),
        ({"RANK": "4"}, "RANK=4, WORLD_SIZE=4"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK=2, LOCAL_WORLD_SIZE=2"),
    ],
)
def test_half_an_environment_is_refused(changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_ranks(environment(**changes))
    assert "start with torchrun" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "changes", "message"),
    [
        ([], {"MASTER_ADDR": None, "RANK": "0"}, "MASTER_ADDR is not"),
        (["-m", "seed=0,1"], {"RANK": "0"}, "a sweep cannot run in 4 processes"),
    ],
)
def test_what_torchrun_cannot_do_is_told_in_one_line(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], changes: dict[str, str | None], message: str,
) -> None:  # fmt: skip
    for name, value in environment(**changes).items():
        monkeypatch.setenv(name, value)
    assert train(*words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_processes_tell_no_mistakes(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    assert train("optim.lr=-1") == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("batch_size", "image_count", "size", "message"),
    [
        (128, 1000, 3, r"trainer\.batch_size=128: must be divisible by the 3 processes.*126 or 129"),
        (2, 1000, 3, r"trainer\.batch_size=2: .*nearest: 3"),
        (128, 7, 2, r"trainer\.batch_size=128 \(of 7 images\): .*nearest: 6"),
        (128, 3, 4, "3 training images cannot be shared by 4 processes"),
    ],
)
def test_parts_that_are_not_equal_are_refused(batch_size: int, image_count: int, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_parts(batch_size, image_count, size)


def test_equal_parts_are_not_refused() -> None:
    check_parts(128, 1000, 4)
    check_parts(128, 6, 3)


@pytest.mark.parametrize(
    ("name", "gpu_count", "expected"),
    [
        ("cpu", 4, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:1"),
        ("cuda", 2, "cuda:1"),
        ("auto", 1, "auto: 2 processes on a machine with 1 CUDA devices"),
        ("cuda", 1, "cuda: 2 processes on a machine with 1 CUDA devices"),
        ("cuda", 0, "cuda: this machine has no CUDA devices"),
        ("cuda:0", 2, "cuda:0: each of 4 processes needs a GPU of its own"),
    ],
)
def test_each_process_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, name: str, gpu_count: int, expected: str
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpu_count)
    ranks = read_ranks(environment())
    if ": " not in expected:
        assert own_device(name, ranks) == expected
        return
    with pytest.raises(ConfigError, match=f"trainer.device={expected}"):
        own_device(name, ranks)


def test_a_process_alone_meets_nobody() -> None:
    world, loss = World(), torch.tensor(1.0)
    assert world.is_writer
    assert world.average([], loss) is loss
    assert world.on_writer(lambda: 3) == world.everywhere(lambda: 3) == 3
    world.last_to_leave()


@pytest.mark.parametrize(
    "error",
    [ConfigError("a"), RunHeld("b"), TrainingFailed("c"), NotFinite(3), DamagedCheckpoint("d"), MissingCheckpoint("e")],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_are_shared_can_travel(error: Exception) -> None:
    assert isinstance(error, SHARED_ERRORS)
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived)) == (type(error), str(error))
