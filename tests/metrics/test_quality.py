"""PSNR and SSIM against scikit-image, and at their edges."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from upsample_lab.metrics import PSNR_CEILING_DB, psnr, ssim

SHAPES = [(3, 1, 28, 28), (2, 3, 32, 32), (2, 2, 11, 11), (2, 1, 17, 40), (1, 1, 64, 12)]


def noisy_pair(shape: tuple[int, ...], data_range: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    target = torch.rand(shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (target + 0.1 * noise) * data_range, target * data_range


@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_scikit_image(shape: tuple[int, ...], data_range: float) -> None:
    output, target = noisy_pair(shape, data_range)
    scores = psnr(output, target, data_range=data_range), ssim(output, target, data_range=data_range)
    for i, (x, y) in enumerate(zip(output.numpy(), target.numpy(), strict=True)):
        reference = structural_similarity(
            x,
            y,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=data_range,
            channel_axis=0,
        )
        assert scores[0][i].item() == pytest.approx(
            peak_signal_noise_ratio(y, x, data_range=data_range), rel=0, abs=1e-9
        )
        assert scores[1][i].item() == pytest.approx(reference, rel=0, abs=1e-9)


def test_a_batch_larger_than_the_working_set_is_cut_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    output, target = noisy_pair((7, 1, 16, 16))
    whole = ssim(output, target)
    monkeypatch.setattr("upsample_lab.metrics.quality._CHUNK_PIXELS", 2 * 16 * 16)
    torch.testing.assert_close(ssim(output, target), whole, rtol=0, atol=1e-14)


def test_identical_images_reach_the_ceiling_and_one() -> None:
    _, target = noisy_pair((2, 3, 16, 16))
    assert psnr(target, target).tolist() == [PSNR_CEILING_DB] * 2
    torch.testing.assert_close(ssim(target, target), torch.ones(2, dtype=torch.float64))


def test_the_ceiling_is_one_level_of_one_pixel_in_392_by_392() -> None:
    target = torch.zeros(1, 1, 392, 392, dtype=torch.float64)
    output = target.clone()
    output[0, 0, 0, 0] = 1 / 255
    assert psnr(output, target).item() == pytest.approx(PSNR_CEILING_DB, abs=0.01)


def test_a_uniform_error_has_its_closed_form() -> None:
    target = torch.full((1, 1, 16, 16), 0.25, dtype=torch.float64)
    output = target + 0.1
    assert psnr(output, target).item() == pytest.approx(20.0, abs=1e-12)
    luminance = (2 * 0.25 * 0.35 + 0.01**2) / (0.25**2 + 0.35**2 + 0.01**2)
    assert ssim(output, target).item() == pytest.approx(luminance, abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim], ids=["psnr", "ssim"])
def test_half_precision_is_measured_in_double(metric) -> None:
    output, target = (image.bfloat16() for image in noisy_pair((2, 1, 16, 16)))
    score = metric(output, target)
    assert score.dtype == torch.float64
    torch.testing.assert_close(score, metric(output.double(), target.double()), rtol=0, atol=0)


@pytest.mark.parametrize("metric", [psnr, ssim], ids=["psnr", "ssim"])
def test_gradients_flow(metric) -> None:
    output, target = noisy_pair((1, 1, 12, 12))
    output.requires_grad_()
    metric(output, target).sum().backward()
    assert output.grad is not None
    assert 0 < output.grad.abs().max().item() < math.inf


@pytest.mark.parametrize("metric", [psnr, ssim], ids=["psnr", "ssim"])
def test_an_empty_batch_gives_no_scores(metric) -> None:
    assert metric(torch.zeros(0, 1, 16, 16), torch.zeros(0, 1, 16, 16)).shape == (0,)


BAD_INPUT = {
    "integers": (torch.zeros(1, 1, 16, 16, dtype=torch.uint8),) * 2 + (1.0, TypeError, "divide 8-bit images by 255"),
    "shapes differ": (torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 17), 1.0, ValueError, r"\(1, 1, 16, 17\)"),
    "three dimensions": (torch.zeros(1, 16, 16), torch.zeros(1, 16, 16), 1.0, ValueError, r"\[N, C, H, W\]"),
    "no range": (torch.zeros(1, 1, 16, 16),) * 2 + (0.0, ValueError, "data_range must be positive, got 0.0"),
}


@pytest.mark.parametrize("metric", [psnr, ssim], ids=["psnr", "ssim"])
@pytest.mark.parametrize("case", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_clear_line(metric, case) -> None:
    output, target, data_range, error, message = case
    with pytest.raises(error, match=message) as caught:
        metric(output, target, data_range=data_range)
    assert "\n" not in str(caught.value)


def test_ssim_names_the_size_it_needs() -> None:
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, got 10 x 12"):
        ssim(torch.zeros(1, 1, 10, 12), torch.zeros(1, 1, 10, 12))
