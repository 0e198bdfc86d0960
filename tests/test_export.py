"""Export of layers and models: the form that each takes, open sizes, the same numbers, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.conftest import ROOT, load_script
from upsample_lab import export, load_run
from upsample_lab.doctor import balance, swap
from upsample_lab.export import COMPILERS, TOLERANCE, deployed, export_aot, export_onnx, export_program, registry_case
from upsample_lab.upsamplers import UPSAMPLERS, build_upsampler

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
OPEN = ("batch", 8, "height", "width")


@pytest.mark.run
def test_every_layer_as_onnx_and_the_page_that_shows_it(tmp_path: Path) -> None:
    """Making the table exports each of them and has onnxruntime compare three sizes: a difference would raise."""
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    table = export.registry_table(tmp_path)
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(UPSAMPLERS)
    assert all("| batch, height, width | 3 |" in row for row in rows)
    if export.exporters() in page:  # others may choose other operators
        written = load_script("generate_docs")._with_table(page, table)
        assert written == page, "docs/export.md is stale: run python scripts/generate_docs.py"


@pytest.mark.run
@pytest.mark.parametrize(
    ("name", "options", "operators"),
    [
        ("nearest", {}, {"ConvTranspose": 1}),
        ("deconv", {"kernel_size": 5, "phase_equal": True}, {"ConvTranspose": 1}),
        ("bicubic", {"order": "conv_first"}, {"Conv": 1, "Resize": 1}),
    ],
)
def test_the_form_that_a_layer_takes(
    name: str, options: dict[str, Any], operators: dict[str, int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    told = export_onnx(build_upsampler(name, 8, 4, 3, **options), torch.randn(1, 8, 5, 6), tmp_path / "layer.onnx")
    assert told.operators == operators
    assert told.inputs == (OPEN,)
    assert told.outputs[0][:2] == ("batch", 4)
    assert told.checked == ((2, 8, 5, 6), (4, 8, 10, 18), (2, 8, 15, 12))
    assert told.error is not None
    assert told.error <= TOLERANCE


@pytest.mark.parametrize("name", UPSAMPLERS)
@pytest.mark.parametrize("fold", ["auto", "never"])
def test_the_form_gives_the_same_numbers(name: str, fold: str) -> None:
    upsampler, inputs = registry_case(name)
    upsampler.fold = fold
    before = [value.clone() for value in upsampler.state_dict().values()]
    made = deployed(upsampler.double())
    doubled = (inputs[0].double(), *inputs[1:])
    torch.testing.assert_close(made(*doubled), upsampler.eval()(*doubled), rtol=1e-12, atol=1e-12)
    assert all(map(torch.equal, before, upsampler.float().state_dict().values()))


@pytest.mark.run
def test_a_foreign_model_that_was_cured(tmp_path: Path) -> None:
    """Balanced as a parametrization, swapped, weight-normed: all of it is plain operators in the file."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), weight_norm(nn.ConvTranspose2d(8, 8, 4, 2, 1)), nn.ReLU()
    ).append(nn.ConvTranspose2d(8, 3, 3, 2, 1))
    images = torch.randn(2, 8, 5, 6)
    cured = swap(balance(model, ["0"], parametrize=True), {"4": "nearest"}, inputs=images)
    told = export_onnx(cured, images, tmp_path / "model.onnx")
    computing = {name for name in told.operators if name not in export.PLUMBING}
    assert {"ConvTranspose", "Relu"} <= computing <= {"ConvTranspose", "Relu", "Pad", "Add", "Sub", "Mul"}
    assert told.operators["ConvTranspose"] == 3
    assert told.inputs == (OPEN,)
    assert len(told.checked) == 3


class Fixed(nn.Module):
    """A model that takes one size, and two images of different ones."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 4 * 4, 8 * 2 * 2)
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 2, 2, 2), nn.Sigmoid())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.up(self.linear(x.flatten(1)).unflatten(1, (8, 2, 2))) + skip.mean((2, 3), keepdim=True)


@pytest.mark.run
def test_what_a_model_fixes_stays_fixed_and_is_told(tmp_path: Path) -> None:
    inputs = (torch.randn(1, 3, 4, 4), torch.randn(1, 2, 6, 7))
    told = export_onnx(Fixed(), inputs, tmp_path / "fixed.onnx")
    assert told.inputs[0][1:] == (3, 4, 4)
    assert told.inputs[1][1:] == (2, 6, 7)
    assert "[batch, 3, 4, 4]" in str(told)
    assert told.checked == ((2, 3, 4, 4), (4, 3, 4, 4))


@pytest.mark.run
@pytest.mark.parametrize("name", ["nearest", "carafe", "dysample"])
def test_a_program_of_torch_export(name: str, tmp_path: Path) -> None:
    upsampler, inputs = registry_case(name)
    told = export_program(upsampler, inputs, tmp_path / "layer.pt2")
    assert [type(side) for side in told.inputs[0]] == [str, int, str, str]
    loaded = torch.export.load(tmp_path / "layer.pt2").module()
    x = torch.randn(3, 8, 9, 4)
    torch.testing.assert_close(loaded(x), upsampler.eval()(x), rtol=1e-5, atol=1e-5)
    assert list(tmp_path.iterdir()) == [tmp_path / "layer.pt2"]


@pytest.mark.process
@pytest.mark.aot
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler")
@pytest.mark.parametrize("name", UPSAMPLERS)
def test_a_library_of_aotinductor(name: str, tmp_path: Path) -> None:
    upsampler, inputs = registry_case(name)
    told = export_aot(upsampler, inputs, tmp_path / "layer.pt2")
    assert [type(side) for side in told.inputs[0]] == [str, int, str, str]
    assert len(told.checked) == 3
    loaded = torch._inductor.aoti_load_package(str(tmp_path / "layer.pt2"))
    torch.testing.assert_close(loaded(*inputs), upsampler.eval()(*inputs), rtol=1e-5, atol=1e-5)


def test_a_run_is_exported_by_one_command(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main, out = load_script("export").main, tmp_path / "here" / "decoder.pt2"
    assert main([f"run={finished_run}", "part=decoder", "to=torch", f"out={out}"]) == 0
    assert f"{out}: [" in capsys.readouterr().out
    model, _ = load_run(finished_run)
    latent = torch.randn(3, *model.latent_shape).repeat(1, 1, 2, 1)
    torch.testing.assert_close(torch.export.load(out).module()(latent), model.decode(latent), rtol=1e-5, atol=1e-5)
    assert main([f"run={finished_run}", f"out={tmp_path / 'model.onnx'}"]) == 0
    assert "[batch, 1, height, width]" in capsys.readouterr().out


class Undecided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.run
def test_what_cannot_be_exported_is_told_in_one_line_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x, path = nn.ConvTranspose2d(3, 3, 4, 2, 1), torch.randn(2, 3, 4, 4), tmp_path / "model.onnx"
    path.write_text("before")

    def refused(match: str, make: Any, *arguments: Any) -> None:
        with pytest.raises(ValueError, match=match) as told:
            make(*arguments)
        assert "\n" not in str(told.value)

    refused(r"must end in \.onnx", export_onnx, layer, x, tmp_path / "model.pt2")
    refused("must be a tensor, or several", export_onnx, layer, {"x": x}, path)
    refused(r"\[2, 4, 4, 4\]: the model cannot take them", export_onnx, layer, torch.randn(2, 4, 4, 4), path)
    refused("Undecided: ", export_program, Undecided(), x, tmp_path / "model.pt2")
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    refused("differs from the model by .* nothing is written", export_onnx, layer, x, path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused("needs onnxscript and onnx: pip install", export_onnx, layer, x, path)
    monkeypatch.setattr(export.shutil, "which", lambda name: None)
    refused("needs a C", export_aot, layer, x, tmp_path / "model.pt2")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
