"""docs/cure.md: its code runs as it stands, and so does the command that made its figures."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from tests.conftest import ROOT
from upsample_lab.doctor import changes

PAGE = ROOT / "docs" / "cure.md"


def test_the_code_of_the_page_runs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("up1", nn.ConvTranspose2d(3, 3, 4, 2, 1))
    images = torch.rand(2, 3, 8, 8)
    names: dict[str, Any] = {
        "model": model,
        "images": images,
        "torch": torch,
        "batches": [images] * 2,
        "loss": lambda output, batch: F.mse_loss(output, F.interpolate(batch, scale_factor=2.0)),
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    before = model.up1.weight.clone()
    for block in blocks:
        exec(block, names)
    assert changes(names["even"]).output_change > 0
    assert "% of the layer's output energy" in str(changes(names["other"]))
    assert torch.equal(model.up1.weight, before)


@pytest.mark.run
def test_the_command_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / f"{number}.png")
    example = runpy.run_path(str(ROOT / "docs" / "examples" / "cure.py"))
    example["main"]([str(tmp_path), "--picture", str(tmp_path / "cure.png")], steps=2, fine_steps=2)
    printed = capsys.readouterr().out
    rows = [line.split(" | ")[0] for line in printed.splitlines() if re.match(r"\| \w", line)]
    page = [line.split(" | ")[0] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 8
    assert [row for row in page if row in rows] == rows
    assert re.search(r"\| balanced \| \d+\.\d\d \| 0\.00 \|", printed)
    assert Image.open(tmp_path / "cure.png").width > 100
