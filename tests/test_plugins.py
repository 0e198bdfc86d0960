"""Parts of the user's own, from a folder that the package knows nothing of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).parents[1]
MINE = '''
from dataclasses import dataclass

import torch
from torch import nn

from upsample_lab.models import Autoencoder
from upsample_lab.registry import register
from upsample_lab.settings import setting
from upsample_lab.upsamplers import Upsampler


@dataclass
class TentOptions:
    sharpness: float = 1.0
    kernel_size: int = setting("side of the kernel", default=3, low=1, odd=True)


@register("upsample", "tent", options=TentOptions)
class Tent(Upsampler):
    """a sharpened resize, and a convolution"""

    def __init__(self, in_channels, out_channels, scale, *, sharpness, kernel_size):
        super().__init__(in_channels, out_channels, scale)
        self.sharpness = sharpness
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, input, guide=None):
        return self.conv(self.sharpness * nn.functional.interpolate(input, scale_factor=self.scale, mode="bilinear"))


@register("model", "one_stage")
class OneStage(Autoencoder):
    """a strided convolution, the upsampler, a convolution"""

    def __init__(self, image_shape, *, make_upsampler, output, scale):
        super().__init__(output)
        channels, height, width = image_shape
        self.latent_shape = (8, height // scale, width // scale)
        self.encoder = nn.Conv2d(channels, 8, scale, stride=scale)
        self.up, self.last = make_upsampler(8, 8), nn.Conv2d(8, channels, 3, padding=1)

    def raw(self, images):
        return self.decode_raw(self.encoder(images))

    def decode_raw(self, latent):
        return self.last(self.up(latent))


@register("data", "squares")
class Squares:
    """white squares on black"""

    image_size, channels = 16, 1

    def images(self):
        images = torch.zeros(120, 1, 16, 16, dtype=torch.uint8)
        for number, image in enumerate(images):
            image[0, number % 11 : number % 11 + 5, number % 7 : number % 7 + 5] = 255
        return images[:90], images[90:]


@register("metric", "mean_error", title="mean error", better="lower")
def mean_error(output, target):
    return (output - target).abs().mean(dim=(1, 2, 3))
'''
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run a script from a folder with `mine.py` in it."""
    (tmp_path / "mine.py").write_text(MINE)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "Agg"}

    def run(script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, str(REPOSITORY / "scripts" / f"{script}.py"), *words]
        return subprocess.run(
            call, cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True, timeout=300
        )

    return run


def test_own_parts_train_sweep_compare_and_have_a_passport(command: Command, tmp_path: Path) -> None:
    own = ["plugins=[mine]", "model=one_stage", "data=squares"]
    swept = command("train", "-m", *own, "upsample=tent,nearest", "seed=0,1", "trainer.max_steps=2")
    assert swept.returncode == 0, swept.stderr
    runs = sorted((tmp_path / "outputs" / "default").glob("squares-*"))
    assert {run.name for run in runs} >= {"squares-tent-seed0-f3cd9835", "squares-nearest-seed0-e1109818"}  # as always
    assert len(runs) == 4
    tent = next(run for run in runs if "tent-seed0" in run.name)
    summary, capsule = (json.loads((tent / f"{name}.json").read_text()) for name in ("summary", "capsule"))
    assert summary["test/mean_error"] > 0
    assert summary["macs_per_image"] > 0
    assert "plugin/mine.py" in capsule["code"]
    assert "plugins='[mine]'" in capsule["command"] or "plugins=[mine]" in capsule["command"]

    again = command("train", *own, "upsample=tent", "trainer.max_steps=2")
    assert "complete already" in again.stdout
    compared = command(
        "compare", "experiment=default", "plugins=[mine]", "metrics=[test/psnr_db,test/mean_error]", "report=false",
        "latency=false",
    )  # fmt: skip
    assert compared.returncode == 0, compared.stderr
    assert "mean error" in compared.stdout
    evaluated = command("evaluate", f"run={tent}", UPSAMPLE_LAB_PLUGINS="mine")
    assert evaluated.returncode == 0, evaluated.stderr
    measured = command("passport", "plugins=[mine]", "upsample=tent", "upsample.sharpness=2", "cost=false")
    assert measured.returncode == 0, measured.stderr


def test_own_parts_are_in_the_help_and_in_the_nearest_matches(command: Command) -> None:
    page = command("train", "plugins=[mine]", "upsample=tent", "--help").stdout
    assert "* tent" in page
    assert "a sharpened resize, and a convolution" in page
    assert "upsample.sharpness=1.0" in page
    assert "side of the kernel (an odd integer from 1 up)" in page
    wrong = command("train", "plugins=[mine]", "upsample=tnt")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean tent?" in wrong.stderr
    option = command("train", "plugins=[mine]", "upsample=tent", "upsample.sharpnes=2")
    assert option.returncode == 2
    assert "did you mean upsample.sharpness?" in option.stderr
    even = command("train", "plugins=[mine]", "upsample=tent", "upsample.kernel_size=2")
    assert (even.returncode, even.stderr.count("\n")) == (2, 1)
    assert "upsample.kernel_size=2: must be an odd integer from 1 up" in even.stderr
    other = command("train", "plugins=[mine]", "upsample=deconv", "upsample.sharpness=2")
    assert "upsample=deconv has no such setting; tent has it" in other.stderr


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (None, "plugins=[elsewhere]", "plugins=[elsewhere]: no such module"),
        (None, "plugins=[mine.py]", "the name of a module, not of a file"),
        ("x = 1 / 0", "plugins=[mine]", "plugins=[mine]: raised at mine.py:1: ZeroDivisionError: division by zero"),
        ("import no_such", "plugins=[mine]", "raised at mine.py:1: ModuleNotFoundError"),
        ("def f(:", "plugins=[mine]", "raised at mine.py:1: SyntaxError"),
        (MINE.replace('"tent"', '"deconv"'), "plugins=[mine]", "is a part of the package; take another name"),
        (MINE.replace('"upsample", "tent"', '"upsampel", "tent"'), "plugins=[mine]", "did you mean upsample?"),
        (MINE.replace("float = 1.0", "float"), "plugins=[mine]", "the option sharpness has no default"),
        (None, "hydra.searchpath=[pkg://mine]", "must be folders"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told_in_one_line(
    command: Command, tmp_path: Path, text: str | None, words: str, told: str
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    answer = command("train", words)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
    assert told in answer.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_run_of_other_images_of_a_plugin_is_refused(command: Command, tmp_path: Path) -> None:
    words = ["plugins=[mine]", "upsample=nearest", "data=squares", "model=one_stage", "trainer.max_steps=1"]
    assert command("train", *words).returncode == 0
    assert "complete already" in command("train", *words).stdout
    (tmp_path / "mine.py").write_text(MINE.replace("= 255", "= 200"))
    refused = command("train", *words)
    assert refused.returncode == 2
    assert "was complete on other images of squares" in refused.stderr


def test_a_run_of_a_plugin_that_is_not_at_hand_is_told_and_nothing_imported(command: Command, tmp_path: Path) -> None:
    trained = command(
        "train", "plugins=[mine]", "upsample=tent", "data=squares", "model=one_stage", "trainer.max_steps=1"
    )
    assert trained.returncode == 0, trained.stderr
    (run,) = (tmp_path / "outputs" / "default").glob("squares-*")
    refused = command("evaluate", f"run={run}")
    assert refused.returncode == 2
    assert "plugins=[mine], give them if you trust them" in refused.stderr


@pytest.mark.parametrize("how", ["--config-dir=own", "hydra.searchpath=[file://{here}/own]"])
def test_own_variants_and_presets_are_found_in_a_folder_of_the_users(
    command: Command, tmp_path: Path, how: str
) -> None:
    (tmp_path / "own" / "upsample" / "deconv").mkdir(parents=True)
    (tmp_path / "own" / "experiment").mkdir()
    variant = tmp_path / "own" / "upsample" / "deconv" / "wide.yaml"
    variant.write_text("# a wide kernel\ndefaults: [/upsample/deconv@_here_, _self_]\nkernel_size: 8\n")
    preset = tmp_path / "own" / "experiment" / "mine.yaml"
    preset.write_text("# @package _global_\n# mine\nexperiment:\n  name: mine\ntrainer:\n  max_steps: 1\n")
    words = [how.format(here=tmp_path), "upsample=deconv/wide", "experiment=mine"]
    page = command("train", *words, "--help")
    assert page.returncode == 0, page.stderr
    assert "upsample.kernel_size=8" in page.stdout
    assert "trainer.max_steps=1 " in page.stdout
    missing = command("train", "--config-dir=nowhere")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_a_class_that_does_not_take_its_options_is_told_in_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        MINE.replace("*, sharpness, kernel_size", "*, sharpness").replace("kernel_size=3", "")
    )
    answer = command("train", "plugins=[mine]", "upsample=tent", "data=squares", "model=one_stage")
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
    assert "upsample=tent: mine.Tent and its options: " in answer.stderr
    assert not (tmp_path / "outputs").exists()


def test_information_is_told_of_own_variants_too(command: Command, tmp_path: Path) -> None:
    (tmp_path / "own" / "upsample" / "deconv").mkdir(parents=True)
    variant = tmp_path / "own" / "upsample" / "deconv" / "wide.yaml"
    variant.write_text("# a wide kernel\ndefaults: [/upsample/deconv@_here_, _self_]\nkernel_size: 8\n")
    answer = command("train", "--config-dir=own", "upsample=deconv/wide", "--cfg", "job")
    assert answer.returncode == 0, answer.stderr
    assert "kernel_size: 8" in answer.stdout
