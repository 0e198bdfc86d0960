"""What trained models make of uniform images, through the whole model, and the pictures of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from tests.conftest import load_script
from upsample_lab.catalogue import GREYS
from upsample_lab.cli.main import guarded
from upsample_lab.device import Where
from upsample_lab.drawing.pictures import pattern_grid
from upsample_lab.drawing.stretch import stretch_factor
from upsample_lab.metrics import LEVELS
from upsample_lab.models import Autoencoder, build_model
from upsample_lab.options import load_option
from upsample_lab.options.model import MlpModel
from upsample_lab.selftest.probes import checkerboard
from upsample_lab.tasks.patterns import constant_artifacts, uniform_artifacts, uniform_outputs
from upsample_lab.upsamplers import UPSAMPLERS

Train = Callable[..., int]
HERE = Where(torch.device("cpu"), torch.channels_last)
PATTERNLESS = {  # of any input, whatever the weights: phases of a uniform image are the same sums
    *("nearest", "bilinear", "bicubic", "bilinear_additive", "kaiser", "fourier", "carafe", "dysample"),
    *("blur_deconv", "blur_pixel_shuffle"),
}


def random_model(upsample: str, shape: tuple[int, int, int], **options: object) -> Autoencoder:
    """With biases that differ, as after training: fresh ones hide what zero padding does."""
    name = str(options.pop("model", "small"))
    conv = load_option("conv", str(options.pop("conv", "custom")))
    model = build_model(
        dataclasses.replace(load_option("model", name), **options), load_option("upsample", upsample), conv, shape, 0
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("upsample", UPSAMPLERS)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_only_layers_whose_phases_differ_leave_a_pattern(upsample: str, norm: str) -> None:
    model = random_model(upsample, (3, 16, 16), widths=[8, 8], norm=norm)
    found = uniform_artifacts(uniform_outputs(model, (3, 16, 16), 4, HERE), 4)
    if upsample in PATTERNLESS:
        assert found["pattern_p2p_levels"] < (0.5 if upsample == "fourier" else 0.001), "borders have no part in it"
    elif upsample in ("deconv", "unpool"):
        assert found["pattern_rms_levels"] > 0.5
    assert set(found) >= {
        "pattern_rms_levels",
        "p2_rms_levels",
        "p4_rms_levels",
        *(f"grey{g}_rms_levels" for g in GREYS),
    }
    assert found["pattern_rms_levels"] ** 2 == pytest.approx(
        sum(found[f"grey{grey}_rms_levels"] ** 2 for grey in GREYS) / len(GREYS)
    )


class Painter(Autoencoder):
    """Gives back what it is given, a known pattern and some smooth shading on top."""

    def __init__(self, pattern: torch.Tensor) -> None:
        super().__init__("linear")
        self.pattern = pattern

    def raw(self, images: torch.Tensor) -> torch.Tensor:
        slope = torch.arange(images.shape[-1]) / 255
        return images + self.pattern + slope + slope[:, None] / 2


@pytest.mark.parametrize("orientation", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_of_one_size_is_read_right_in_spite_of_shading(channels: int, period: int, orientation: str) -> None:
    for levels in (0.25, 1.0, 16.0):
        pattern = levels / LEVELS * checkerboard(period, orientation, 32, 32).float()  # type: ignore[arg-type]
        outputs = uniform_outputs(Painter(pattern), (channels, 32, 32), 8, HERE)
        found = uniform_artifacts(outputs, 8)
        assert found["pattern_rms_levels"] == pytest.approx(levels, rel=0.05)
        assert found["pattern_p2p_levels"] == pytest.approx(2 * levels, rel=0.05)
        assert found[f"p{period}_rms_levels"] == pytest.approx(levels, rel=0.05)


def test_the_fully_connected_model_has_figures_too() -> None:
    assert isinstance(load_option("model", "mlp"), MlpModel)
    model = random_model("deconv", (1, 28, 28), model="mlp")
    assert uniform_outputs(model, (1, 28, 28), 4, HERE).shape == (5, 1, 28, 28)
    assert constant_artifacts(model, torch.zeros(4, 1, 28, 28, dtype=torch.uint8), 4, HERE) == {}


def test_the_matrix_algorithm_gives_the_same_and_stays_what_it_is() -> None:
    shape = (1, 8, 8)
    by_matrix, by_kernel = (random_model("deconv", shape, widths=[4, 4], conv=conv) for conv in ("matrix", "native"))
    found, expected = (uniform_outputs(model, shape, 4, HERE) for model in (by_matrix, by_kernel))
    assert torch.equal(found, expected)
    assert "algorithm=matrix" in repr(by_matrix)


def test_large_images_are_measured_by_a_part() -> None:
    outputs = uniform_outputs(random_model("deconv", (1, 512, 384), widths=[4, 4]), (1, 512, 384), 4, HERE)
    assert outputs.shape == (5, 1, 64, 64)


def test_a_constant_latent_and_uniform_images_agree_for_a_linear_decoder() -> None:
    """Of both the decoder makes a constant's image: the amplitudes are of one size, in grey levels."""
    model = random_model("deconv", (1, 16, 16), widths=[8, 8])
    images = torch.full((4, 1, 16, 16), 128, dtype=torch.uint8)
    found = constant_artifacts(model, images, 4, HERE)
    assert "dc_phase_variation" not in found
    uniform = uniform_artifacts(uniform_outputs(model, (1, 16, 16), 4, HERE), 4)
    assert found["pattern_rms_levels"] == pytest.approx(uniform["grey128_rms_levels"], rel=0.5)


def test_a_run_keeps_what_the_pictures_are_made_of(finished_run: Path) -> None:
    kept = load_file(finished_run / "test_images.safetensors")
    summary = json.loads((finished_run / "summary.json").read_text())
    again = uniform_artifacts(torch.from_numpy(kept["uniform_outputs"]), 4)
    assert {f"uniform/{name}": value for name, value in again.items()} == pytest.approx(
        {name: value for name, value in summary.items() if name.startswith("uniform/")}
    )
    assert kept["flat_window_output"].dtype == kept["flat_window_rms_levels"].dtype == np.float32
    assert kept["flat_window_place"].dtype == np.int64
    assert (np.diff(kept["flat_window_rms_levels"]) <= 0).all()
    for target, (image, top, left) in zip(kept["flat_window_target"], kept["flat_window_place"], strict=True):
        if image < len(kept["originals"]):
            side = target.shape[-1]
            original = kept["originals"][image, :, top : top + side, left : left + side]
            assert np.array_equal(np.round(target * 255), original)
    picture = pattern_grid({"input": kept["flat_window_target"], "output": kept["flat_window_output"]})
    assert picture.dtype == np.uint8


def test_a_pattern_is_drawn_true_and_enlarged_by_a_factor_for_all() -> None:
    faint = 0.5 + checkerboard(2, "diagonal", 8, 8).float() / 255
    images = faint.expand(2, 3, 8, 8).clone()
    images[1] += 0.2
    assert stretch_factor([images]) == 100
    assert stretch_factor([torch.full((1, 1, 4, 4), 0.3)]) == 1000
    assert stretch_factor([torch.rand(1, 1, 4, 4)]) == 1
    picture = pattern_grid({"output": images}, ["a", "b"])
    true, stretched = np.split(picture[20:, 76:], 2)
    assert set(np.unique(true)) <= {127, 126, 128, 129, 178, 179, 180, 255, 177}
    values = set(np.unique(stretched)) - {255}
    assert min(values) < 30
    assert max(values) > 225
    assert np.array_equal(picture, pattern_grid({"output": images.numpy()}, ["a", "b"]))


def test_the_picture_of_the_readme_can_be_drawn_of_any_runs(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("trainer.epochs=1") == 0
    assert train("trainer.epochs=1", "upsample=nearest") == 0
    runs = [str(path) for path in sorted((tmp_path / "out" / "default").glob("*seed0*"))]
    main, out = load_script("pattern_picture").main, tmp_path / "picture.png"
    capsys.readouterr()
    assert guarded(lambda: main([str(out), *runs])) == 0
    assert "nearest: 0.00 levels" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.format == "PNG"
    assert guarded(lambda: main([str(tmp_path / "other.png"), str(tmp_path)])) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "other.png").exists()
