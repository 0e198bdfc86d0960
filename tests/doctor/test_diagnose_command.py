"""The command `diagnose`: a model, its weights and its input as a user names them, and every mistake in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.conftest import load_script
from upsample_lab.cli.main import guarded

pytestmark = pytest.mark.run

MODELS = """
import torch
from torch import nn


def decoder():
    last = nn.ConvTranspose2d(4, 3, 3, 2, 1, 1)
    return nn.Sequential(nn.ConvTranspose2d(3, 4, 4, 2, 1), nn.ReLU(), last, nn.Sigmoid())


def with_inputs():
    return decoder(), torch.rand(1, 3, 16, 16)


def broken():
    raise RuntimeError("no such backbone")


def number():
    return 3


def flat():
    return nn.Conv2d(3, 3, 3)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 3, 4, 2, 1)

    def forward(self, image, shift):
        return self.up(image) + shift.mean()
"""


def run(*words: str) -> int:
    return guarded(lambda: load_script("diagnose").main(list(words)))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with models of the user's, under a name of this test's own: modules are imported once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{tmp_path.name}.py").write_text(MODELS, encoding="utf-8")
    return tmp_path


def decoder() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(3, 4, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), nn.Sigmoid()
    )


def test_it_prints_the_ranking_and_writes_figure_page_and_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(decoder().state_dict(), "weights.safetensors")
    assert run(f"model={folder.name}:decoder", "weights=weights.safetensors", "input=[1,3,16,16]") == 0
    told = capsys.readouterr().out
    written = sorted(Path("outputs/diagnoses").rglob("diagnosis.*"))
    assert [path.suffix for path in written] == [".html", ".json", ".png"]
    assert all(str(path) in told for path in written)
    numbers = json.loads(written[1].read_text())
    assert told.startswith(numbers["sentence"])
    assert {site["path"] for site in numbers["sites"]} == {"0", "2"}


def test_the_weights_decide(folder: Path) -> None:
    """Of a checkpoint as trainers write it: nested, named by a wrapper, from before batches were counted."""
    model = decoder()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.25)
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}, "epoch": 3}, "w.pt")
    assert run(f"model={folder.name}:decoder", "weights=w.pt", "input=[1,3,16,16]") == 0
    numbers = json.loads(next(Path("outputs").rglob("*.json")).read_text())
    flat = {row["path"]: row["flat"]["variation"] for row in numbers["ranking"]}
    assert flat["0"] == pytest.approx(0, abs=1e-6)  # all taps alike: even at kernel 4, uneven at kernel 3
    assert flat["2"] > 0.2


@pytest.mark.parametrize("suffix", ["png", "npy", "pt", "safetensors", "shapes", "own"])
def test_inputs_are_shapes_files_or_what_the_function_gives(folder: Path, suffix: str) -> None:
    values = np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32)
    if suffix == "png":
        Image.fromarray((255 * values[0].transpose(1, 2, 0)).astype(np.uint8)).save("in.png")
    elif suffix == "npy":
        np.save("in.npy", values)
    elif suffix == "pt":
        torch.save((torch.from_numpy(values), torch.ones(1)), "in.pt")
    elif suffix == "safetensors":
        save_file({"image": torch.from_numpy(values), "shift": torch.ones(1)}, "in.safetensors")
    model = {"pt": "Two", "safetensors": "Two", "shapes": "Two", "own": "with_inputs"}.get(suffix, "decoder")
    given = {"shapes": ["input=[[1,3,16,16],[4]]"], "own": []}.get(suffix, [f"input=in.{suffix}"])
    assert run(f"model={folder.name}:{model}", *given) == 0


# ----------------------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[Sequence[str], str]] = {
    "neither": ([], "give one of model=package.module:function and run=<run directory>"),
    "both": (["model={m}:decoder", "run=x"], "give one of"),
    "spec": (["model=decoder"], "must be package.module:function"),
    "module": (["model=no_such_module_here:f", "input=[1]"], "no module no_such_module_here on the path or in"),
    "function": (["model={m}:decodr", "input=[1]"], "has no decodr; did you mean decoder?"),
    "raises": (["model={m}:broken", "input=[1]"], "fails, as its traceback says: RuntimeError: no such backbone"),
    "returns": (["model={m}:number", "input=[1]"], "must return a torch.nn.Module, or one and its inputs"),
    "no input": (["model={m}:decoder"], "input= must be given, such as [1,3,64,64]"),
    "input": (["model={m}:decoder", "input=abc"], "must be a shape such as [1,3,64,64]"),
    "no input file": (["model={m}:decoder", "input=a.png"], "input=a.png: no such file"),
    "input file": (["model={m}:decoder", "input=junk.npy"], "input=junk.npy: cannot be read"),
    "shape": (["model={m}:decoder", "input=[1,5,8,8]"], "inputs [1, 5, 8, 8]: the model cannot take them"),
    "no site": (["model={m}:flat", "input=[1,3,8,8]"], "no site: Conv2d enlarges no image"),
    "no weights": (["model={m}:decoder", "weights=w.pt", "input=[1]"], "weights=w.pt: no such file"),
    "junk": (["model={m}:decoder", "weights=junk.safetensors", "input=[1]"], "cannot be read"),
    "pickle": (["model={m}:decoder", "weights=whole.pt", "input=[1]"], "save the model's state_dict() alone"),
    "no state_dict": (["model={m}:decoder", "weights=list.pt", "input=[1]"], "holds no state_dict"),
    "missing": (
        ["model={m}:decoder", "weights=flat.safetensors", "input=[1]"],
        "do not fit: missing 0.weight, 0.bias, 2.weight, 2.bias; not in the model: bias, weight",
    ),
    "other shape": (
        ["model={m}:decoder", "weights=other.safetensors", "input=[1]"],
        "do not fit: of another shape: 0.weight is [3, 4, 2, 2], not [3, 4, 4, 4]",
    ),
    "range": (["model={m}:with_inputs", "output_range=[1]"], "output_range=[1.0]: must be two numbers"),
    "output": (["model={m}:with_inputs", "output_root=/dev/null"], "nothing can be written into /dev/null"),
    "run": (["run=nowhere"], "nowhere/config.yaml: no such file"),
    "run and weights": (["run=x", "weights=w.pt"], "weights=w.pt: goes with model="),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_ends_in_one_line_and_nothing_is_written(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for junk in ("junk.npy", "junk.safetensors"):
        Path(junk).write_bytes(b"junk")
    torch.save(decoder(), "whole.pt")
    torch.save([1, 2], "list.pt")
    save_file(nn.Conv2d(3, 3, 3).state_dict(), "flat.safetensors")
    other = decoder().state_dict()
    save_file({**other, "0.weight": other["0.weight"][..., :2, :2].contiguous()}, "other.safetensors")
    words, told = BAD[name]
    assert run(*(word.format(m=folder.name) for word in words)) == 2
    error = capsys.readouterr().err
    assert told in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("error: ")
    assert not Path("outputs").exists()
    if name == "raises":
        assert error.startswith(f"--- traceback of {folder.name}:broken, which is your code ---\nTraceback")
        assert "loading.py" not in error
        assert "in broken" in error
    else:
        assert len(error.splitlines()) == 1
