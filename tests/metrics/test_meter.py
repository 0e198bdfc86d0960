"""The meter of a validation set: exact, independent of batches, finite, and without a hidden copy to the host."""

import json

import pytest
import torch

from upsample_lab.metrics import QualityMeter, image_artifacts, phase_variance, psnr, ssim

KEYS = [
    "psnr_db",
    "ssim",
    "phase_variance",
    "phase_p_value",
    *(f"residual_{name}" for name in ("pattern_rms_levels", "pattern_p2p_levels", "p2_rms_levels")),
    "line_p2_db",
    "line_p4_db",
    "line_p8_db",
    "nearest_residual",
    "radial_corner_db",
]


def pair(count: int = 23, channels: int = 2, size: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(count, channels, size, size, generator=generator)
    # Errors that differ much between images, so that an average of batch averages would be wrong.
    strength = torch.linspace(0.01, 0.5, count)[:, None, None, None]
    return target + strength * torch.randn(target.shape, generator=generator), target


def measured(output: torch.Tensor, target: torch.Tensor, batch_size: int, period: int = 2) -> dict[str, float]:
    meter = QualityMeter(period)
    for x, y in zip(output.split(batch_size), target.split(batch_size), strict=True):
        meter.update(x, y)
    return meter.compute()


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 22])
def test_batches_do_not_matter(batch_size: int, period: int) -> None:
    output, target = pair()
    whole, cut = measured(output, target, len(output), period), measured(output, target, batch_size, period)
    assert [name for name in whole if name != "residual_p4_rms_levels"] == KEYS  # which a period of 2 has not
    for name in whole:
        assert cut[name] == pytest.approx(whole[name], rel=1e-12, abs=1e-12), name


def test_is_the_metrics_themselves_over_the_set() -> None:
    output, target = pair()
    figures = measured(output, target, 5)
    assert figures["psnr_db"] == pytest.approx(psnr(output, target).mean().item(), abs=1e-12)
    assert figures["ssim"] == pytest.approx(ssim(output, target).mean().item(), abs=1e-12)
    phases = phase_variance(output.double() - target.double(), 2)
    assert (figures["phase_variance"], figures["phase_p_value"]) == pytest.approx(tuple(phases), abs=1e-12)
    artifacts = image_artifacts(output, 2)
    del artifacts["dc_phase_variation"]
    assert {name: figures[name] for name in artifacts} == pytest.approx(artifacts, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_perfect_constant_outputs_give_finite_json(value: float) -> None:
    images = torch.full((4, 1, 28, 28), value)
    figures = measured(images, images, 2)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["psnr_db"] == 100
    assert figures["phase_variance"] == 0
    assert all(abs(figures[name]) < 1e-6 for name in KEYS[4:])


def test_update_copies_nothing_to_the_host() -> None:
    """Tensors on `meta` have no values: any read of one (`item`, `bool`, `cpu`) would raise."""
    meter = QualityMeter()
    meter.update(torch.zeros(4, 1, 28, 28, device="meta"), torch.zeros(4, 1, 28, 28, device="meta"))


def test_bf16_outputs_against_fp32_targets() -> None:
    output, target = pair()
    rounded = output.bfloat16()
    assert measured(rounded, target, 8) == pytest.approx(measured(rounded.float(), target, 8), abs=1e-12)


SMALL = {
    4: KEYS[:1] + KEYS[2:7],
    8: ["psnr_db", *KEYS[2:8], *KEYS[10:]],
    12: [name for name in KEYS if name != "line_p8_db"],
}


@pytest.mark.parametrize("size", SMALL)
def test_small_images_leave_out_what_they_cannot_show(size: int) -> None:
    output, target = pair(size=size)
    assert list(measured(output, target, 8)) == SMALL[size]


def test_nothing_to_compute() -> None:
    with pytest.raises(ValueError, match="call update first"):
        QualityMeter().compute()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_refused(bad: float) -> None:
    output, target = pair()
    output[3, 0, 5, 5] = bad
    meter = QualityMeter()
    meter.update(output, target)
    with pytest.raises(ValueError, match="not finite"):
        meter.compute()


def test_another_image_size_is_refused() -> None:
    meter = QualityMeter()
    meter.update(*pair(channels=1))
    with pytest.raises(ValueError, match="same image size and channels"):
        meter.update(*pair(channels=3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_measures_the_same() -> None:
    output, target = pair()
    assert measured(output.cuda(), target.cuda(), 8) == pytest.approx(measured(output, target, 8), rel=1e-9, abs=1e-9)
