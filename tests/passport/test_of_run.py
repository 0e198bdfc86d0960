"""The passport of a finished run: its own weights, at its own activations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import TINY
from upsample_lab import build_upsampler, load_run
from upsample_lab.cli.app import run as run_command
from upsample_lab.data import eval_batches, load_images
from upsample_lab.metrics import dc_phase_variation
from upsample_lab.passport import lint, passport

QUICK = ("size=16", "cost=false", "device=cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the transposed convolution with kernel 3."""
    root = tmp_path_factory.mktemp("runs")
    assert run_command("train", [*TINY, "upsample=deconv/k3", "trainer.max_steps=8", f"output_root={root}"]) == 0
    (path,) = (root / "default").glob("glyphs-*")
    return path


@pytest.mark.run
def test_a_run_is_measured_stage_by_stage(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("passport", [f"run={run}", *QUICK, f"output_root={tmp_path}"]) == 0
    folder = tmp_path / "passports" / run.name
    assert sorted(path.name for path in folder.iterdir()) == ["passport.html", "passport.json", "passport.png"]
    found = json.loads((folder / "passport.json").read_text())
    assert [p["subject"]["name"] for p in found] == ["decoder", "deconv decoder.0", "deconv decoder.1"]
    assert [p["subject"]["scale"] for p in found] == [4, 2, 2]
    assert [stage["name"] for stage in found[0]["stages"]["stages"]] == [
        "model.decoder.0.upsampler", "model.decoder.1.upsampler",
    ]  # fmt: skip
    assert "deconv decoder.1" in capsys.readouterr().out
    assert f"Decoder of {run.name}" in (folder / "passport.html").read_text()

    model, config = load_run(run)
    given: list[torch.Tensor] = []
    model.decoder[1].upsampler.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    with torch.no_grad():
        images = next(eval_batches(load_images(config.data).validation, 256, torch.device("cpu")))
        model(images)
        point = given[0].mean(dim=(0, 2, 3), keepdim=True)
        assert found[2]["subject"]["operating_point"] == pytest.approx(point.flatten().tolist(), rel=1e-4)
        response = model.decoder[1].upsampler(point.expand(-1, -1, 16, 16).contiguous())
    assert found[2]["gains"]["dc_phase_variation"] == pytest.approx(dc_phase_variation(response, 2), rel=1e-4)


MISTAKES = {
    "another layer": (["run={run}", "upsample=nearest"], "upsample=nearest: run= measures what the run has trained"),
    "another option": (["run={run}", "upsample.kernel_size=4"], "upsample.kernel_size=4: run= measures"),
    "another scale": (["run={run}", "scale=3"], "scale=3: run= measures"),
    "no run": (["run={here}"], "config.yaml: no such file; a run directory is one that"),
    "no device": (["run={run}", "device=cuda:63"], "cuda:63"),
    "no folder": (["run={run}", "output_root={run}/config.yaml"], "cannot be made"),
}


@pytest.mark.run
@pytest.mark.parametrize(("words", "told"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_end_in_one_line(
    run: Path, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(run=run, here=tmp_path) for word in words]
    assert run_command("passport", [f"output_root={tmp_path / 'out'}", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "out").exists()


@pytest.mark.run
def test_a_model_without_upsamplers_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in TINY if not word.startswith("model.widths")]
    assert run_command("train", [*words, "model=mlp", "trainer.max_steps=1", f"output_root={tmp_path}"]) == 0
    (run,) = (tmp_path / "default").glob("glyphs-*")
    capsys.readouterr()
    assert run_command("passport", [f"run={run}", f"output_root={tmp_path / 'out'}"]) == 2
    assert "model=mlp has no upsampler to measure" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_constant_for_each_channel_is_the_same_as_one_for_all() -> None:
    torch.manual_seed(0)
    layer = build_upsampler("deconv", 3, 2, kernel_size=3)
    one, each = (passport(layer, 3, 2, size=16, cost=False, operating_point=point) for point in (2.0, (2.0,) * 3))
    for section in ("gains", "border", "impulse", "frequency", "gradient", "stages"):
        for name, value in vars(getattr(one, section)).items():
            other = getattr(getattr(each, section), name)
            if isinstance(value, np.ndarray | float):
                np.testing.assert_allclose(other, value, rtol=1e-9, atol=1e-12, err_msg=f"{section}.{name}")


def test_the_phases_are_those_of_the_channels_own_constants() -> None:
    """Channel 0 alone checkers, so it depends on how much of it there is."""
    layer = nn.ConvTranspose2d(2, 1, 2, stride=2, bias=False)
    with torch.no_grad():
        layer.weight[0, 0] = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        layer.weight[1, 0] = 1.0
    assert not lint(layer, 2, 2, size=16, operating_point=(0.0, 1.0))
    half = passport(layer, 2, 2, size=16, cost=False, operating_point=(1.0, 1.0))
    np.testing.assert_allclose(half.gains.gain[0], [[3, 1], [1, 3]], rtol=1e-9)
    assert half.gains.dc_phase_variation == pytest.approx(1 / np.sqrt(5))
    assert half.responses.constant.output.max() == pytest.approx(1.5)


@pytest.mark.parametrize("point", [0.0, (0.0, 0.0), (1.0,) * 3, (1.0, float("nan"))])
def test_a_point_that_is_none_is_refused(point: float | tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"operating_point=.*must be a number other than 0, or one for each of the 2"):
        passport(nn.Upsample(scale_factor=2), 2, 2, operating_point=point)
