"""What a run keeps of each test image, and that runs of one seed see the same data whatever their upsampler."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from upsample_lab.data import BatchLoader
from upsample_lab.runs.provenance import code_digests
from upsample_lab.tasks.each_image import SHOWN_IMAGES, EachImage, shown_count
from upsample_lab.upsamplers import UPSAMPLERS

Train = Callable[..., int]


def test_a_run_keeps_the_figures_of_each_test_image(finished_run: Path) -> None:
    kept = load_file(finished_run / "test_images.safetensors")
    assert {name: (array.shape, array.dtype.name) for name, array in kept.items()} == {
        "psnr_db": ((40,), "float32"),
        "ssim": ((40,), "float32"),
        "squared_error": ((40, 3), "float64"),
        "region_values": ((40, 3), "int32"),
        "originals": ((32, 1, 28, 28), "uint8"),
        "outputs": ((32, 1, 28, 28), "uint8"),
        "uniform_outputs": ((5, 1, 28, 28), "float32"),
        "flat_window_target": ((4, 1, 8, 8), "float32"),
        "flat_window_output": ((4, 1, 8, 8), "float32"),
        "flat_window_place": ((4, 3), "int64"),
        "flat_window_rms_levels": ((4,), "float32"),
    }
    summary = json.loads((finished_run / "summary.json").read_text())
    assert kept["psnr_db"].mean() == pytest.approx(summary["test/psnr_db"], rel=1e-6)
    assert kept["ssim"].mean() == pytest.approx(summary["test/ssim"], rel=1e-6)
    mse = kept["squared_error"].sum(axis=1) / kept["region_values"].sum(axis=1)
    assert -10 * np.log10(mse) == pytest.approx(kept["psnr_db"], rel=1e-5)
    shown = ((kept["originals"].astype(float) - kept["outputs"]) / 255) ** 2
    assert shown.mean(axis=(1, 2, 3)) == pytest.approx(mse[:32], rel=0.05), "outputs of the same images, rounded"
    assert summary["decoder_parameters"] < summary["parameters"]
    assert summary["macs_per_image"] > 0


def test_batches_make_no_difference_and_large_images_are_fewer() -> None:
    generator = torch.Generator().manual_seed(0)
    output, target = torch.rand(2, 40, 1, 12, 12, generator=generator)
    scores = {"psnr_db": torch.rand(40, generator=generator)}
    whole, parts = EachImage(), EachImage()
    whole.add(output, target, scores)
    for rows in torch.arange(40).split(7):
        parts.add(output[rows], target[rows], {name: score[rows] for name, score in scores.items()})
    assert len(whole.tensors()["originals"]) == SHOWN_IMAGES
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, parts.tensors()[name]), name
    assert [shown_count(side * side * 3) for side in (32, 256, 1024, 4096)] == [32, 32, 2, 1]


def test_runs_of_one_seed_see_the_same_batches_in_the_same_order(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[bytes]] = {}
    original = BatchLoader.batch

    def watched(loader: BatchLoader, step: int) -> torch.Tensor:
        batch = original(loader, step)
        seen.setdefault(upsample, []).append(batch.contiguous().numpy().tobytes())
        return batch

    monkeypatch.setattr(BatchLoader, "batch", watched)
    for upsample in UPSAMPLERS:  # `watched` files the batches under it
        words = ["data.train_count=64", "data.test_count=16", "data.validation_count=8", "trainer.max_steps=3"]
        assert train(f"upsample={upsample}", *words) == 0
    assert set(seen) == set(UPSAMPLERS)
    assert len(set(seen["deconv"])) == 3
    for upsample, batches in seen.items():
        assert batches == seen["deconv"], upsample


def test_the_code_of_a_run_is_known_file_by_file() -> None:
    digests = code_digests()
    assert {"upsample_lab/resize.py", "upsample_lab/training/loop.py", "upsample_lab/upsamplers/deconv.py"} <= set(
        digests
    )
    assert not any(name.startswith(("upsample_lab/passport", "upsample_lab/config", "configs")) for name in digests)
    assert all(len(digest) == 12 for digest in digests.values())
