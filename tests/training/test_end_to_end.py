"""A whole training, tiny: what it leaves, how it goes on, and that an interruption changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT, TINY, load_script
from tests.training.names import TEST_METRICS, TRAIN_METRICS, VAL_METRICS
from tests.training.results import result
from upsample_lab.cli.app import run as run_command
from upsample_lab.compose import compose_one
from upsample_lab.metrics import QualityMeter
from upsample_lab.options.evaluate import EvaluateConfig
from upsample_lab.runs.directory import RunDirectory, run_path
from upsample_lab.runs.journal import read_reports

Train = Callable[..., int]
STEPS, STEPS_PER_EPOCH = 20, 10  # 200 glyphs less 32 for validation, 16 a batch, 2 epochs


def only_run(folder: Path) -> Path:
    (run,) = (path for path in (folder / "out" / "default").iterdir() if path.is_dir())
    return run


def test_a_run_leaves_what_the_layout_promises(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    run = only_run(tmp_path)
    assert run.name.startswith("glyphs-deconv-seed0-")
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    events = {name for name in files if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert files - events == {
        ".lock",
        "config.yaml",
        "capsule.json",
        "status.json",
        "summary.json",
        "test_images.safetensors",
        "metrics.jsonl",
        "checkpoints/last.safetensors",
        "checkpoints/previous.safetensors",
        "checkpoints/best.safetensors",
        *(f"reconstructions/step-{step:08d}.png" for step in (0, STEPS_PER_EPOCH, STEPS)),
    }
    assert json.loads((run / "status.json").read_text())["state"] == "complete"
    capsule = json.loads((run / "capsule.json").read_text())
    assert capsule["command"].startswith("python scripts/train.py data=glyphs")
    assert capsule["data"]["name"] == "glyphs"
    with Image.open(run / "reconstructions" / f"step-{STEPS:08d}.png") as picture:
        assert picture.size[0] > picture.size[1] / 3
    out, err = capsys.readouterr()
    assert run.name in out
    assert f"tensorboard --logdir {run}" in out
    assert "http://localhost:6006/?smoothing=0#timeseries" in out
    assert "PSNR" in out
    assert "validation: PSNR" in err


OF_A_PATTERN = (
    *("uniform/", "constant/"),
    *(f"{images}/{where}_" for images in ("val", "test") for where in ("flat", "residual")),
)


def test_metric_names_stay(finished_run: Path) -> None:
    lines = read_reports(finished_run)
    names = {name for line in lines for name in line}
    single = {f"{of}p{period}_rms_levels" for of in OF_A_PATTERN for period in (2, 4)}
    single |= {f"uniform/grey{grey}_rms_levels" for grey in (0, 64, 128, 192, 255)}
    assert names == {"step", "time_sec", *TRAIN_METRICS, *VAL_METRICS, *TEST_METRICS, *single}
    assert names >= {
        "train/loss", "val/loss", "val/psnr_db", "val/ssim", "val/phase_variance", "speed/images_per_sec", "optim/lr",
        "optim/grad_norm", "test/psnr_db", "test/ssim", "uniform/pattern_rms_levels", "uniform/pattern_p2p_levels",
        "constant/pattern_rms_levels", "test/flat_pattern_rms_levels", "test/residual_pattern_rms_levels",
    }  # fmt: skip
    assert [line["step"] for line in lines if "train/loss" in line] == [4, 8, 12, 16, 20]
    assert [line["step"] for line in lines if "val/loss" in line] == [0, 10, 20]
    accumulator = EventAccumulator(str(finished_run), size_guidance={"images": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    assert set(tags["scalars"]) == names - {"step", "time_sec"}
    pictures = {"reconstructions", "kernels/to_image.weight", "artifacts/uniform", "artifacts/flat_window"}
    assert set(tags["images"]) >= pictures


def test_the_loss_falls(train: Train, tmp_path: Path) -> None:
    assert train("trainer.epochs=6") == 0
    losses = [line["train/loss"] for line in read_reports(only_run(tmp_path)) if "train/loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_the_same_command_again_trains_nothing(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    before = {path: path.stat().st_mtime_ns for path in only_run(tmp_path).rglob("*")}
    table = capsys.readouterr().out
    assert train() == 0
    again = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in only_run(tmp_path).rglob("*")} == before
    assert table.splitlines()[:6] == again.splitlines()[:6]
    assert "run.mode=fresh" in again


def test_fresh_starts_beside_the_old_run_and_repeats_it_exactly(
    train: Train, tmp_path: Path, finished_run: Path
) -> None:
    first = shutil.copytree(finished_run, tmp_path / "out" / "default" / finished_run.name)
    assert train("run.mode=fresh") == 0
    assert result(first.with_name(f"{first.name}-2")) == result(first)


def test_a_run_that_another_process_holds_is_left_alone(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose_one("train", [*TINY, f"output_root={tmp_path / 'out'}"])
    run = RunDirectory(run_path(config))
    with run.locked():
        run.set_status("running")
        assert train() == 3
    err = capsys.readouterr().err
    assert f"{run.path} is being worked on by process {os.getpid()}" in err
    assert err.count("\n") == 1
    assert {path.name for path in run.path.iterdir()} == {".lock", "status.json"}


def test_ctrl_c_before_the_first_step_ends_quietly(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("upsample_lab.data.load_images", interrupted)
    assert train() == 130
    assert capsys.readouterr().err == "interrupted\n"


class InterruptAt:
    """Sends this process a signal after a number of steps, as a user or a scheduler would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals) -> None:
        from upsample_lab.training.state import Training

        original = Training.step

        def step_then_signal(training: Training) -> float:
            rate = original(training)
            if training.progress.step + 1 == step:
                os.kill(os.getpid(), number)
            return rate

        monkeypatch.setattr(Training, "step", step_then_signal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("step", [1, 6, 10, 19])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    number: signal.Signals, step: int, finished_run: Path,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        InterruptAt(patch, step, number)
        assert train() == 128 + number
    run = only_run(tmp_path)
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert not (run / "summary.json").exists()
    assert "to go on: python scripts/train.py" in capsys.readouterr().err
    assert train() == 0
    assert f"resuming at step {step} of {STEPS}" in capsys.readouterr().err
    assert run.name == finished_run.name
    assert result(run) == result(finished_run)


KILLED = """
import os, signal, sys
from tests.conftest import ROOT, TINY, load_script
from tests.training.names import TEST_METRICS, TRAIN_METRICS, VAL_METRICS
from tests.training.results import result
from upsample_lab.training.state import Training

original = Training.step

def step_then_vanish(training):
    rate = original(training)
    if training.progress.step + 1 == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    return rate

Training.step = step_then_vanish
load_script("train").main(sys.argv[1:])
"""


@pytest.mark.process
@pytest.mark.parametrize("every", ["null", "4"])
def test_a_killed_run_goes_on_from_its_last_checkpoint(train: Train, tmp_path: Path, every: str) -> None:
    """The process vanishes at step 15: no handler runs, the status still says running, the last save was at a
    validation: step 10, or 12 with one every four steps."""
    every_steps = f"trainer.validate_every_steps={every}"
    assert train("experiment.name=whole", every_steps) == 0
    words = [*TINY, f"output_root={tmp_path / 'out'}", every_steps]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = only_run(tmp_path)
    assert json.loads((run / "status.json").read_text())["state"] == "running"
    assert train(every_steps) == 0
    assert result(run) == result(tmp_path / "out" / "whole" / run.name)


def test_numbers_that_are_not_finite_end_the_run(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("optim=sgd", "optim.lr=100", "model.output=linear", "model.norm=none", "optim.schedule=constant") == 1
    status = json.loads((only_run(tmp_path) / "status.json").read_text())
    assert status["state"] == "failed"
    assert "not finite at step" in status["reason"]
    err = capsys.readouterr().err
    assert "not finite at step" in err
    assert "Traceback" not in err


def test_a_bug_is_told_in_one_line_and_kept_in_full(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours\nwith details")

    monkeypatch.setattr(QualityMeter, "update", broken)
    assert train() == 1
    log = only_run(tmp_path) / "error.log"
    assert "Traceback" in log.read_text()
    err = capsys.readouterr().err
    assert f"failed: RuntimeError: a bug of ours; details in {log}" in err


@pytest.mark.parametrize(
    "words",
    [
        ["upsample=nearest"],
        ["upsample=bilinear"],
        ["model=mlp", "model.hidden=[16]"],
        ["conv=native"],
        ["trainer.precision=bf16"],
        ["trainer.loss=bce"],
        ["trainer.loss=l1", "optim=adamw", "optim.clip_grad_norm=1.0", "optim.warmup_fraction=0.2"],
        ["optim=sgd", "optim.schedule=constant"],
        ["trainer.memory_format=contiguous", "model.norm=group"],
        ["trainer.max_steps=3"],
        ["data.limit=5"],
        ["trainer.validate_every_epochs=2", "model.activation=silu"],
        ["trainer.validate_every_steps=5"],
    ],
    ids=lambda words: " ".join(words),
)
def test_settings_that_train(train: Train, tmp_path: Path, words: list[str]) -> None:
    assert train(*words) == 0
    summary = json.loads((only_run(tmp_path) / "summary.json").read_text())
    assert summary["test/psnr_db"] > 3


def validations(run: Path) -> list[int]:
    return [line["step"] for line in read_reports(run) if "val/loss" in line]


def test_validations_by_steps_come_beside_those_by_epochs_and_change_no_weight(train: Train, tmp_path: Path) -> None:
    """A training of `STEPS` steps in two epochs: a short study gets a curve of many points."""
    curves = {}
    for every in ("null", "5"):
        assert train(f"trainer.validate_every_steps={every}", f"experiment.name=every-{every}") == 0
        (run,) = (path for path in (tmp_path / "out" / f"every-{every}").iterdir() if path.is_dir())
        lines = read_reports(run)
        curves[every] = [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]
        epochs = {0, STEPS // 2, STEPS}
        assert validations(run) == sorted(epochs if every == "null" else epochs | set(range(0, STEPS, 5)))
    assert curves["5"] == curves["null"]


def test_every_way_to_convolve_trains_alike(train: Train, tmp_path: Path) -> None:
    """The loss curves of C as a matrix and of our own algorithms are PyTorch's own to 1e-4."""
    curves = {}
    for conv in ("native", "custom", "matrix"):
        assert train(f"conv={conv}", f"experiment.name={conv}", "trainer.log_every_steps=1") == 0
        (run,) = (path for path in (tmp_path / "out" / conv).iterdir() if path.is_dir())
        lines = read_reports(run)
        curves[conv] = [line["train/loss"] for line in lines if "train/loss" in line]
    assert len(curves["native"]) == STEPS
    assert curves["custom"] == pytest.approx(curves["native"], rel=1e-4)
    assert curves["matrix"] == pytest.approx(curves["native"], rel=1e-4)


def test_a_sweep_runs_every_combination_and_prints_one_table(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("-m", "upsample=deconv,nearest,bilinear", "seed=0,1,2", "trainer.max_steps=2") == 0
    folder = tmp_path / "out" / "default"
    runs = [path for path in folder.iterdir() if path.is_dir()]
    assert len(runs) == 9
    assert len({path.name.rpartition("-")[0] for path in runs}) == 9
    out = capsys.readouterr().out
    assert "9 of 9 runs complete" in out
    assert "http://localhost:6006/?smoothing=0#timeseries" in out
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1, "the columns of the table of runs"
    assert all(out.count(run.name) >= 2 for run in runs), "a line when it ends, and a row of the table"
    assert train("-m", "upsample=deconv,nearest,bilinear", "seed=0,1,2", "trainer.max_steps=2") == 0
    assert capsys.readouterr().out.count("complete already") == 9


def test_one_failed_run_does_not_stop_a_sweep(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optim=sgd", "model.output=linear", "model.norm=none", "optim.schedule=constant"]
    assert train("-m", *words, "optim.lr=100,0.001") == 1
    out = capsys.readouterr().out
    assert "1 of 2 runs complete, 1 failed" in out
    assert out.count("loss or gradient is not finite") == 2, "a line when it fails, and a row of the table"


def test_missing_images_fall_back_only_where_asked(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = ["data=mnist", f"data.root={tmp_path / 'nowhere'}", "data.mirrors=[http://127.0.0.1:9/]"]
    tiny_less_glyphs = ["model.widths=[4]", "trainer.max_steps=2", "data.limit=64", f"output_root={tmp_path / 'out'}"]
    from upsample_lab.cli.main import guarded

    main = load_script("train").main
    assert guarded(lambda: main([*nowhere, *tiny_less_glyphs, "data.fallback=null"])) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert str(tmp_path / "nowhere") in message
    assert not (tmp_path / "out").exists()

    assert guarded(lambda: main([*nowhere, *tiny_less_glyphs])) == 0
    run = only_run(tmp_path)
    assert run.name.startswith("glyphs-deconv-seed0-")
    assert "WARNING" in capsys.readouterr().err
    assert json.loads((run / "summary.json").read_text())["data"] == "glyphs"
    assert "name: glyphs" in (run / "config.yaml").read_text()


def test_evaluation_repeats_the_summary(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from upsample_lab.cli.commands.evaluate import evaluate_run

    run = shutil.copytree(finished_run, tmp_path / finished_run.name)
    summary = json.loads((run / "summary.json").read_text())
    figures, pictures = evaluate_run(EvaluateConfig(run=str(run), images="test", count=4, data_root=None, device="cpu"))
    names = [name for name in summary if name.startswith(("test/", "constant/", "uniform/"))]
    assert {name: figures[name] for name in names} == {name: summary[name] for name in names}
    assert set(pictures) == {"reconstructions", "uniform", "flat_window"}
    for picture in pictures.values():
        with Image.open(picture) as opened:
            assert opened.format == "PNG"

    capsys.readouterr()
    assert run_command("evaluate", [f"run={run}", "images=validation"]) == 0
    out = capsys.readouterr().out
    assert all(f"evaluation-validation{end}.png" in out for end in ("", "-uniform", "-flat_window"))
    (run / "checkpoints" / "best.safetensors").write_bytes(b"cos\nsystem\n(S'touch planted'\ntR.")
    assert run_command("evaluate", [f"run={run}"]) == 2
    assert "not a checkpoint of this project, or damaged" in capsys.readouterr().err
