"""Numbers that break, disks that fill up, files that are damaged, signals: what a run does about each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import load_script
from tests.training.results import result
from tests.training.test_kills import SHORT
from upsample_lab.cli.main import guarded
from upsample_lab.models import ConvolutionalAutoencoder
from upsample_lab.runs import checkpoint
from upsample_lab.runs.journal import read_reports
from upsample_lab.training.state import Training

Train = Callable[..., int]
STEPS = 14
PREFIX = "glyphs-deconv-seed0-"


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    function: Callable[[list[str]], int] = load_script("train").main
    return function


@pytest.fixture
def train(tmp_path: Path, main: Callable[[list[str]], int]) -> Train:
    """`train("key=value", …)`: a training of fourteen steps, a checkpoint every three."""
    return lambda *words: guarded(lambda: main([*SHORT, f"output_root={tmp_path / 'out'}", *words]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, main: Callable[[list[str]], int]) -> Path:
    """The same training, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert main([*SHORT, f"output_root={folder}"]) == 0
    return only_run(folder)


def only_run(root: Path) -> Path:
    (run,) = (path for path in (root / "default").iterdir() if path.is_dir())
    return run


def status(run: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((run / "status.json").read_text())
    return content


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[Training], None]) -> None:
    """Let `act` happen just after a step's update, counted from 1."""
    original = Training.step

    def step_then_act(training: Training) -> float:
        rate = original(training)
        if training.progress.step + 1 == step:
            act(training)
        return rate

    monkeypatch.setattr(Training, "step", step_then_act)


# ----------------------------------------------------------------------------------------------------------------------
# Numbers


def break_from(monkeypatch: pytest.MonkeyPatch, number: int, value: float) -> None:
    """Let what enters the decoder be `value` from that step on, counted from 1."""
    original = Training.step

    def step(training: Training) -> float:
        handle = None
        if training.progress.step + 1 >= number:
            handle = training.model.from_latent.register_forward_hook(lambda module, inputs, output: output * value)
        try:
            return original(training)
        finally:
            if handle is not None:
                handle.remove()

    monkeypatch.setattr(Training, "step", step)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("step", "good"), [(4, 3), (8, 7)])
def test_bad_numbers_name_step_module_and_last_good_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    value: float, step: int, good: int
) -> None:  # fmt: skip
    """At step 4 the report comes first; step 8 is followed by a checkpoint, before the report of step 10.

    The epoch ends with step 7, and so with a checkpoint beside those of every third step.
    """
    break_from(monkeypatch, step, value)
    assert train("trainer.log_every_steps=5") == 1
    run = only_run(tmp_path / "out")
    assert status(run)["state"] == "failed"
    reason = status(run)["reason"]
    assert f"not finite at step {step}:" in reason
    assert "the first module with a non-finite output is decoder.0" in reason
    assert "largest weight is nan" not in reason, "it was finite when it made the output"
    assert f"the last good checkpoint is that of step {good}" in reason
    saved = checkpoint.load_last(run / "checkpoints")
    assert saved is not None
    assert saved[1]["step"] == good
    assert checkpoint.all_finite(saved[0])
    assert max(line["step"] for line in read_reports(run)) < step
    err = capsys.readouterr().err
    assert reason in err
    assert "Traceback" not in err


def test_a_run_whose_numbers_broke_goes_on_from_its_last_good_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    with monkeypatch.context() as patch:
        break_from(patch, 8, float("nan"))
        assert train() == 1
    assert train() == 0
    assert result(only_run(tmp_path / "out")) == result(whole)


def test_a_bad_gradient_behind_good_outputs_is_found(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(context: object, values: torch.Tensor) -> torch.Tensor:
            return values.clone()

        @staticmethod
        def backward(context: object, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return grad * float("nan")

    plain = ConvolutionalAutoencoder.raw
    monkeypatch.setattr(ConvolutionalAutoencoder, "raw", lambda model, batch: Poison.apply(plain(model, batch)))
    assert train() == 1
    reason = status(only_run(tmp_path / "out"))["reason"]
    assert "not finite at step 1:" in reason
    assert "the nearest to the output, is not finite" in reason


def test_weights_that_broke_in_an_update_are_not_saved(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradient of step 6 are finite, and a checkpoint is due right after it."""

    def spoil(training: Training) -> None:
        next(training.model.parameters()).data.fill_(float("inf"))

    at_step(monkeypatch, 6, spoil)
    assert train() == 1
    run = only_run(tmp_path / "out")
    assert "weights are not finite after step 6; the last good checkpoint is that of step 3" in status(run)["reason"]
    saved = checkpoint.load_last(run / "checkpoints")
    assert saved is not None
    assert saved[1]["step"] == 3


@pytest.mark.parametrize("upsample", ["deconv", "nearest", "bilinear", "pixel_shuffle", "carafe", "dysample", "unpool"])
def test_deterministic_kernels_exist_and_change_no_bit_on_the_cpu(train: Train, tmp_path: Path, upsample: str) -> None:
    runs = []
    for name, words in (("plain", ()), ("deterministic", ("trainer.deterministic=true",))):
        root = tmp_path / name
        assert train(f"upsample={upsample}", f"output_root={root}", "trainer.max_steps=2", *words) == 0
        runs.append(result(only_run(root)))
        assert not torch.are_deterministic_algorithms_enabled()
    assert runs[0] == runs[1]


# ----------------------------------------------------------------------------------------------------------------------
# Disks


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, with room for the run and for the careful estimate of it; or of so many MB."""
    place = tmp_path / "kleine Platte ä"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', 16)}000k", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("small_disk", [3], indirect=True)  # enough for the run, and less than the estimate
def test_too_little_room_is_told_before_the_first_step(
    train: Train, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"output_root={small_disk}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "MB free, and this run may write" in line
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_stops_the_run_which_goes_on_after_room_is_made(
    train: Train, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: Path
) -> None:
    filler = small_disk / "filler"

    def fill(training: Training) -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    with monkeypatch.context() as patch:
        at_step(patch, 7, fill)
        assert train(f"output_root={small_disk}") == 1
    run = only_run(small_disk)
    assert "No space left on device" in status(run)["reason"]
    assert "the last good checkpoint is that of step 6" in status(run)["reason"]
    assert "Traceback" not in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_bytes().endswith(b"}\n"), "no half line"
    filler.unlink()
    assert train(f"output_root={small_disk}") == 0
    assert "resuming at step 6" in capsys.readouterr().err
    assert result(run) == result(whole)


def test_a_read_only_disk_is_told_in_one_line(
    train: Train, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert train(f"output_root={small_disk / 'out'}", "trainer.log_every_steps=14") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "output_root: " in line


def test_a_disk_that_turns_read_only_stops_the_run(
    train: Train, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: Path
) -> None:
    from upsample_lab.runs.files import Appending

    def refuse(*_: object) -> None:
        raise OSError(30, os.strerror(30), str(small_disk))

    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda training: patch.setattr(Appending, "write", refuse))
        assert train(f"output_root={small_disk}") == 1
    assert "Read-only file system" in capsys.readouterr().err
    assert train(f"output_root={small_disk}") == 0
    assert result(only_run(small_disk)) == result(whole)


# ----------------------------------------------------------------------------------------------------------------------
# Damage, and what is planted


@pytest.fixture
def interrupted(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped after step 10, one step after its checkpoint at 9."""
    with monkeypatch.context() as patch:
        at_step(patch, 10, lambda training: os.kill(os.getpid(), signal.SIGTERM))
        assert train() == 143
    return only_run(tmp_path / "out")


def test_damage_to_the_last_checkpoint_costs_only_time(
    train: Train, interrupted: Path, capsys: pytest.CaptureFixture[str], whole: Path
) -> None:
    (interrupted / "checkpoints" / checkpoint.LAST).write_bytes(b"\x80\x04cos\nsystem\n(S'touch planted'\ntR.")
    lines = (interrupted / "metrics.jsonl").read_text().splitlines()
    (interrupted / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 10, "train/lo')
    assert train() == 0
    err = capsys.readouterr().err
    assert "last.safetensors: not a checkpoint of this project, or damaged" in err
    assert "using the checkpoint before it" in err
    assert "resuming at step 9" in err
    assert f"line {len(lines) + 1} of {len(lines) + 1} was torn or damaged and is taken out" in err
    assert result(interrupted) == result(whole)
    assert not Path("planted").exists()


def test_damage_to_both_checkpoints_starts_nothing_in_silence(
    train: Train, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        (interrupted / "checkpoints" / name).write_bytes(b"")
    before = (interrupted / "metrics.jsonl").read_bytes()
    assert train() == 1
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("failed:"))
    assert "last.safetensors" in line
    assert "previous.safetensors" in line
    assert "run.mode=fresh" in line
    assert (interrupted / "metrics.jsonl").read_bytes() == before, "what was reported is still there"


@pytest.mark.parametrize("change", ["no sums", "another optimizer", "past the end", "no progress"])
def test_a_whole_checkpoint_of_something_else_is_refused(
    train: Train, interrupted: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    tensors, state = checkpoint.load(interrupted / "checkpoints" / checkpoint.LAST)
    match change:
        case "no sums":
            del tensors["sums"]
        case "another optimizer":
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
        case "past the end":
            state["step"] = STEPS + 1
        case "no progress":
            state = {"step": "three"}
    checkpoint.save(interrupted / "checkpoints" / checkpoint.LAST, tensors, state)
    assert train() == 1
    err = capsys.readouterr().err
    assert "not a checkpoint of this run" in err
    assert "run.mode=fresh" in err
    assert "Traceback" not in err


def test_a_damaged_summary_of_a_complete_run_is_made_again(train: Train, tmp_path: Path, whole: Path) -> None:
    assert train() == 0
    run = only_run(tmp_path / "out")
    (run / "summary.json").write_text('{"steps": 14, "test/ps')
    assert train() == 0
    assert result(run) == result(whole)


# ----------------------------------------------------------------------------------------------------------------------
# Signals


def test_the_signal_ahead_of_a_time_limit_saves_and_says_so(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda training: os.kill(os.getpid(), signal.SIGUSR2))
        assert train() == 128 + signal.SIGUSR2
    run = only_run(tmp_path / "out")
    assert (status(run)["state"], status(run)["reason"]) == ("interrupted", "SIGUSR2")
    assert train() == 0
    assert result(run) == result(whole)


def test_a_second_ctrl_c_stops_at_once(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: Path
) -> None:
    def twice(training: Training) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        at_step(patch, 5, twice)
        assert train() == 130
    run = only_run(tmp_path / "out")
    assert status(run)["state"] == "interrupted"
    saved = checkpoint.load_last(run / "checkpoints")
    assert saved is not None
    assert saved[1]["step"] == 3, "nothing was saved after the second"
    assert "Traceback" not in capsys.readouterr().err
    assert train() == 0
    assert result(run) == result(whole)
