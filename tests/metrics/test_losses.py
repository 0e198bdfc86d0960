"""The training terms: gradients that are right, and that do what the term is for."""

import pytest
import torch
from torch.nn import functional as F

from upsample_lab.metrics import dc_phase_variation, line_energy_db, phase_gain_penalty, spectral_loss
from upsample_lab.selftest.carriers import synthetic_images
from upsample_lab.selftest.probes import ORIENTATIONS, checkerboard

DOUBLE = torch.float64


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def transposed_response(weight: torch.Tensor, scale: int) -> torch.Tensor:
    return F.conv_transpose2d(torch.ones(1, weight.shape[0], 16, 16, dtype=DOUBLE), weight, stride=scale)


def shuffled_response(weight: torch.Tensor, scale: int) -> torch.Tensor:
    constant = torch.ones(1, weight.shape[1], 16, 16, dtype=DOUBLE)
    return F.pixel_shuffle(F.conv2d(constant, weight, padding="same"), scale)


class TestPhaseGainPenalty:
    @pytest.mark.parametrize("kernel_size", range(1, 9))
    @pytest.mark.parametrize("scale", [2, 3, 4])
    def test_of_a_transposed_kernel_is_what_the_metric_sees(self, scale: int, kernel_size: int) -> None:
        weight = random(1, 6, kernel_size, kernel_size)
        expected = dc_phase_variation(transposed_response(weight, scale), scale) ** 2
        assert phase_gain_penalty(weight, scale).item() == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("scale", [2, 3, 4])
    def test_of_a_pixel_shuffle_kernel_is_what_the_metric_sees(self, scale: int) -> None:
        weight = random(5 * scale**2, 1, 3, 3)
        expected = dc_phase_variation(shuffled_response(weight, scale), scale) ** 2
        assert phase_gain_penalty(weight, scale, kind="pixel_shuffle").item() == pytest.approx(expected, rel=1e-9)

    def test_of_a_response_is_the_square_of_the_metric(self) -> None:
        response = random(2, 3, 20, 22)
        penalty = phase_gain_penalty(response, 2, kind="response").item()
        assert penalty == pytest.approx(dc_phase_variation(response, 2) ** 2)

    def test_sees_channels_that_cancel_for_one_constant_only(self) -> None:
        taps = random(1, 1, 2, 2)
        weight = torch.cat((taps, -taps))
        assert transposed_response(weight, 2).abs().max() < 1e-12
        assert phase_gain_penalty(weight, 2).item() > 0.1

    @pytest.mark.parametrize(
        ("kind", "weight"),
        [
            ("transposed", torch.ones(2, 3, 4, 4, dtype=DOUBLE)),
            ("pixel_shuffle", random(3, 2, 3, 3).repeat_interleave(4, dim=0)),
            ("transposed", torch.zeros(2, 3, 4, 4, dtype=DOUBLE)),
        ],
        ids=["box", "icnr", "zeros"],
    )
    def test_equal_gains_cost_nothing(self, kind, weight: torch.Tensor) -> None:
        weight = weight.clone().requires_grad_()
        penalty = phase_gain_penalty(weight, 2, kind=kind)
        penalty.backward()
        assert penalty.item() == pytest.approx(0, abs=1e-15)
        assert weight.grad is not None
        assert weight.grad.abs().max() < 1e-12

    @pytest.mark.parametrize(
        ("kind", "shape"), [("transposed", (2, 3, 3, 3)), ("pixel_shuffle", (8, 2, 3, 3)), ("response", (1, 2, 8, 9))]
    )
    def test_gradient_is_right_and_descends_to_equal_gains(self, kind, shape: tuple[int, ...]) -> None:
        weight = random(*shape).requires_grad_()
        assert torch.autograd.gradcheck(lambda w: phase_gain_penalty(w, 2, kind=kind), weight)
        before = phase_gain_penalty(weight, 2, kind=kind).item()
        optimizer = torch.optim.Adam([weight], lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            phase_gain_penalty(weight, 2, kind=kind).backward()
            optimizer.step()
        assert phase_gain_penalty(weight, 2, kind=kind).item() < 0.01 * before

    def test_is_blind_to_the_scale_of_the_weights(self) -> None:
        weight = random(2, 3, 3, 3)
        assert phase_gain_penalty(1e-3 * weight, 2).item() == pytest.approx(phase_gain_penalty(weight, 2).item())

    @pytest.mark.parametrize(
        ("shape", "scale", "kind", "message"),
        [
            ((2, 3, 3), 2, "transposed", "4 dimensions"),
            ((2, 3, 3, 3), 1, "transposed", "at least 2"),
            ((6, 3, 3, 3), 2, "pixel_shuffle", r"multiple of scale² = 4 channels, got 6"),
            ((1, 1, 2, 8), 3, "response", "at least 3 x 3 pixels, got 2 x 8"),
            ((2, 3, 3, 3), 2, "deconv", "one of transposed, pixel_shuffle, response, got 'deconv'"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, shape: tuple[int, ...], scale: int, kind, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            phase_gain_penalty(random(*shape), scale, kind=kind)


class TestSpectralLoss:
    def test_gradient_is_right(self) -> None:
        output, target = random(2, 2, 5, 6).requires_grad_(), random(2, 2, 5, 6, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(spectral_loss, (output, target))

    def test_gradient_passes_through_the_spectrum(self) -> None:
        output, target = random(1, 1, 8, 8).requires_grad_(), random(1, 1, 8, 8, seed=1)
        (gradient,) = torch.autograd.grad(spectral_loss(output, target), output)
        assert gradient.abs().min() > 0

    def test_equal_images_cost_nothing_and_empty_bins_do_no_harm(self) -> None:
        output = torch.zeros(1, 1, 8, 8, requires_grad=True)
        loss = spectral_loss(output, torch.zeros(1, 1, 8, 8)) + spectral_loss(output, torch.ones(1, 1, 8, 8))
        loss.backward()
        assert output.grad is not None
        assert output.grad.isfinite().all()
        assert spectral_loss(output, output).item() == 0

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_a_few_steps_take_the_line_away(self, orientation) -> None:
        target = synthetic_images()[:16]
        pattern = 4 / 255 * checkerboard(2, orientation, 32, 32)
        output = (target + pattern).requires_grad_()
        optimizer = torch.optim.Adam([output], lr=0.001)
        before = line_energy_db(output)[2][orientation]
        for _ in range(20):
            optimizer.zero_grad()
            spectral_loss(output, target).backward()
            optimizer.step()
        assert line_energy_db(output)[2][orientation] < before - 6

    def test_half_precision_is_transformed_in_single(self) -> None:
        output, target = random(1, 1, 8, 8).bfloat16(), random(1, 1, 8, 8, seed=1).bfloat16()
        assert spectral_loss(output, target).item() == pytest.approx(
            spectral_loss(output.float(), target.float()).item()
        )

    def test_bad_input_is_one_clear_line(self) -> None:
        with pytest.raises(ValueError, match=r"same shape \[N, C, H, W\]"):
            spectral_loss(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))
        with pytest.raises(ValueError, match="floor must be positive"):
            spectral_loss(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), floor=0.0)
