"""Closed forms of the phase metrics, and the test of a pattern by signs against all signs written out."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from upsample_lab.metrics import dc_phase_variation, energy_by_period, nearest_residual, phase_variance
from upsample_lab.metrics.sign_test import FLIPS, sign_blocks, sign_test
from upsample_lab.selftest.probes import ORIENTATIONS, checkerboard

DOUBLE = torch.float64


def response(weight: torch.Tensor, scale: int) -> torch.Tensor:
    """What a transposed convolution answers to a constant 1."""
    constant = torch.ones(1, weight.shape[0], 16, 16, dtype=weight.dtype)
    return F.conv_transpose2d(constant, weight, stride=scale)


def random_kernel(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


class TestDcPhaseVariation:
    @pytest.mark.parametrize("kernel_size", range(2, 9))
    def test_random_kernels_whether_or_not_the_stride_divides_them(self, kernel_size: int) -> None:
        measured = dc_phase_variation(response(random_kernel(16, 512, kernel_size, kernel_size), 2), 2)
        assert measured == pytest.approx(math.sqrt(1 - 1 / 4), abs=0.02)
        assert 0.85 <= measured <= 0.89

    @pytest.mark.parametrize("scale", [2, 3, 4])
    def test_random_kernels_of_any_scale(self, scale: int) -> None:
        measured = dc_phase_variation(response(random_kernel(16, 512, scale, scale), scale), scale)
        assert measured == pytest.approx(math.sqrt(1 - 1 / scale**2), abs=0.02)

    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
    def test_resize_convolutions_have_none(self, mode: str) -> None:
        resized = F.interpolate(torch.ones(1, 8, 14, 14, dtype=DOUBLE), scale_factor=2, mode=mode)
        images = F.conv2d(resized, random_kernel(16, 8, 3, 3), padding=1)
        assert dc_phase_variation(images, 2) < 1e-12

    @pytest.mark.parametrize(("bias", "low", "high"), [(False, 0.0, 1e-12), (True, 0.06, 0.09)], ids=["tied", "untied"])
    def test_icnr_shows_its_default_bias(self, bias: bool, low: float, high: float) -> None:
        """torch's default: weights and biases uniform in ±1/sqrt(fan-in), so their ratio is sqrt(.75/(fan-in + 1))."""
        generator = torch.Generator().manual_seed(0)
        bound = 1 / math.sqrt(16 * 9)
        weight = torch.empty(256, 16, 3, 3, dtype=DOUBLE).uniform_(-bound, bound, generator=generator)
        biases = torch.empty(4 * 256, dtype=DOUBLE).uniform_(-bound, bound, generator=generator)
        shared = weight.repeat_interleave(4, dim=0)
        images = F.conv2d(torch.ones(1, 16, 16, 16, dtype=DOUBLE), shared, biases if bias else None, padding=1)
        assert low <= dc_phase_variation(F.pixel_shuffle(images, 2), 2) <= high

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("period", [2, 4, 8])
    def test_injected_into_a_constant(self, period: int, orientation) -> None:
        images = 0.5 + 0.1 * checkerboard(period, orientation, 32, 32).expand(1, 1, 32, 32)
        assert dc_phase_variation(images, period) == pytest.approx(0.1 / math.sqrt(0.5**2 + 0.1**2))

    def test_a_padded_border_is_not_a_phase(self) -> None:
        images = F.conv2d(torch.ones(1, 4, 28, 28, dtype=DOUBLE), random_kernel(8, 4, 5, 5), padding=2)
        assert dc_phase_variation(images, 2) < 1e-12

    def test_zero(self) -> None:
        assert dc_phase_variation(torch.zeros(1, 1, 8, 8), 2) == 0

    def test_numpy_and_torch_agree(self) -> None:
        images = random_kernel(2, 3, 9, 14)
        assert dc_phase_variation(images.numpy(), 3) == dc_phase_variation(images, 3)


class TestPhaseVariance:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize(("period", "size"), [(2, (16, 16)), (3, (15, 17)), (4, (13, 20))], ids=str)
    def test_is_the_variance_of_phase_means(self, period: int, size: tuple, channels: int) -> None:
        residual = random_kernel(5, channels, *size) + 0.1 * random_kernel(1, channels, 1, 1, seed=2)
        height, width = (n // period * period for n in size)
        residual[..., ::period, ::period] += 0.2
        ratio = phase_variance(residual, period).ratio
        whole = residual[..., :height, :width].numpy()
        groups = [
            [whole[:, c, i::period, j::period].ravel() for i in range(period) for j in range(period)]
            for c in range(channels)
        ]
        between = sum(np.var([g.mean() for g in channel]) for channel in groups)
        assert ratio == pytest.approx(between / sum(np.var(np.concatenate(channel)) for channel in groups), rel=1e-12)

    def test_noise_fires_as_rarely_as_the_p_value_says(self) -> None:
        p_values = [phase_variance(random_kernel(20, 1, 16, 16, seed=seed), 2).p_value for seed in range(400)]
        assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01

    def test_a_pattern_that_is_all_there_is(self) -> None:
        residual = checkerboard(2, "diagonal", 16, 16).expand(3, 1, 16, 16)
        assert phase_variance(residual, 2) == pytest.approx((1.0, 1 / 4))  # three images: four ways to give them signs

    @pytest.mark.parametrize("count", [1, 2, 3, 10, 12, 40])
    def test_few_images_prove_little(self, count: int) -> None:
        residual = checkerboard(2, "diagonal", 16, 16) + 0.1 * random_kernel(count, 3, 16, 16)
        assert phase_variance(residual, 2).p_value == max(0.5 ** (count - 1), 1 / FLIPS)

    def test_rounding_that_is_alike_in_all_images_is_no_pattern(self) -> None:
        residual = random_kernel(30, 1, 8, 8).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        assert phase_variance(residual + 1e-12 * checkerboard(2, "diagonal", 16, 16), 2).p_value == 1

    @pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
    def test_a_constant_residual_is_no_pattern(self, value: float) -> None:
        assert phase_variance(torch.full((4, 2, 16, 16), value), 2) == (0.0, 1.0)

    def test_opposite_signs_cancel_because_the_mean_is_over_images(self) -> None:
        pattern = checkerboard(2, "diagonal", 16, 16)
        noise = 1e-3 * random_kernel(2, 1, 16, 16)
        assert phase_variance(torch.stack((pattern, -pattern))[:, None] + noise, 2).ratio < 1e-3


class TestEnergyByPeriod:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("period", [2, 4, 8])
    def test_a_pattern_is_new_at_its_own_period_only(self, period: int, orientation) -> None:
        energies = energy_by_period(0.5 + 0.1 * checkerboard(period, orientation, 32, 32).expand(2, 3, 32, 32))
        assert energies == pytest.approx({p: 0.01 if p == period else 0.0 for p in (2, 4, 8)}, abs=1e-15)

    @pytest.mark.parametrize(
        ("relu", "expected"),
        [
            # Each stage repeats every line there is four times, and a random kernel passes all alike: 1 : 3 : 12 : 48.
            pytest.param(False, (3 / 63, 12 / 63, 48 / 63), id="linear"),
            # A rectifier makes new constants, which the later stages turn into shorter periods. Measured, no theory.
            pytest.param(True, (0.34, 0.24, 0.42), id="relu"),
        ],
    )
    def test_a_three_stage_transposed_decoder(self, relu: bool, expected: tuple[float, ...]) -> None:
        shares = torch.stack([self.decoder_shares(seed, relu) for seed in range(24)]).mean(dim=0)
        torch.testing.assert_close(shares, torch.tensor(expected, dtype=DOUBLE), rtol=0, atol=0.04)

    @staticmethod
    def decoder_shares(seed: int, relu: bool) -> torch.Tensor:
        images = random_kernel(4, 16, 1, 1, seed=1000 + seed).expand(4, 16, 10, 10)
        for stage in range(3):
            images = images.relu() if relu and stage else images
            images = F.conv_transpose2d(images, random_kernel(16, 16, 4, 4, seed=3 * seed + stage), stride=2, padding=1)
        energies = torch.tensor(list(energy_by_period(images).values()), dtype=DOUBLE)
        return energies / energies.sum()

    def test_adds_up_to_the_dc_phase_variation(self) -> None:
        images = random_kernel(1, 1, 8, 8).repeat(2, 3, 6, 6) + 2
        total = sum(energy_by_period(images).values()) / images.square().mean().item()
        assert math.sqrt(total) == pytest.approx(dc_phase_variation(images, 8))

    @pytest.mark.parametrize("periods", [(), (4, 2), (2, 2), (2, 3)], ids=str)
    def test_periods_that_do_not_nest(self, periods: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="each dividing the next"):
            energy_by_period(torch.zeros(1, 1, 16, 16), periods)


class TestNearestResidual:
    @pytest.mark.parametrize("scale", [2, 3, 4])
    def test_nearest_upsampled_images_have_none(self, scale: int) -> None:
        images = random_kernel(2, 3, 6, 5).repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
        assert nearest_residual(images, scale) < 1e-30
        assert nearest_residual(images[..., 1:, 1:], scale) > 0.1  # blocks are counted from the corner

    def test_white_noise_keeps_all_but_the_block_means(self) -> None:
        assert nearest_residual(random_kernel(64, 1, 32, 32), 4) == pytest.approx(1 - 1 / 16, abs=0.01)

    def test_is_the_square_of_the_dc_phase_variation_on_a_periodic_response(self) -> None:
        images = (1 + random_kernel(3, 2, 4, 4)).repeat(1, 1, 4, 4)
        ratio = torch.tensor([dc_phase_variation(images, 4) ** 2])
        torch.testing.assert_close(torch.tensor([nearest_residual(images, 4)]), ratio)

    def test_zero(self) -> None:
        assert nearest_residual(torch.zeros(1, 1, 8, 8), 2) == 0


class TestSignTest:
    @pytest.mark.parametrize("count", [1, 2, 5, 10, 12])
    def test_few_images_get_every_sign(self, count: int) -> None:
        patterns = random_kernel(count, 3, 2, 2, seed=count) + 0.4
        energies = [
            (torch.tensor([1.0, *signs], dtype=DOUBLE) @ patterns.flatten(1)).square().sum().item()
            for signs in itertools.product((1, -1), repeat=count - 1)
        ]
        reference = np.mean(np.array(energies) >= energies[0] * (1 - 1e-9))
        assert sign_test(sign_blocks(patterns, 0)) == reference

    def test_the_transform_is_the_sum_with_the_signs_of_a_linear_code(self) -> None:
        patterns = random_kernel(500, 2, 2, 2) + 0.05
        codes = np.arange(500) * 1253 % FLIPS
        signs = np.array([[(-1) ** int(code & word).bit_count() for code in codes] for word in range(FLIPS)])
        energies = ((signs @ patterns.flatten(1).numpy()) ** 2).sum(axis=1)
        assert sign_test(sign_blocks(patterns, 0)) == np.mean(energies >= energies[0])

    def test_many_images_share_signs(self) -> None:
        patterns = random_kernel(3 * FLIPS, 1, 2, 2)
        assert 0.001 < sign_test(sign_blocks(patterns, 0)) < 1
        assert sign_test(sign_blocks(patterns + 0.1, 0)) == 1 / FLIPS

    @pytest.mark.run
    @pytest.mark.parametrize("kind", ["alike in colour", "one loud image", "a gradient of either sign"])
    def test_is_uniform_whatever_pixels_channels_and_images_have_to_do_with_each_other(self, kind: str) -> None:
        """The F-test over pixels, which this replaces, gives 0.0001 and less for most of these."""
        p_values = []
        for seed in range(300):
            residual = random_kernel(20, 3, 16, 16, seed=seed)
            match kind:
                case "alike in colour":
                    residual = residual[:, :1] + 0.1 * residual
                case "one loud image":
                    residual[7] *= 100
                case _:
                    residual += 10 * random_kernel(20, 1, 1, 1, seed=1000 + seed) * torch.arange(16) / 16
            p_values.append(phase_variance(residual, 4).p_value)
        uniform = [np.mean(np.array(p_values) <= level) for level in (0.05, 0.2, 0.5)]
        assert uniform == pytest.approx([0.05, 0.2, 0.5], abs=0.09)
        assert uniform[0] < 0.09

    def test_a_pattern_of_half_a_level_is_found_in_64_images(self) -> None:
        noise = 10 / 255 * random_kernel(64, 3, 32, 32)
        assert phase_variance(noise, 2).p_value > 0.05
        assert phase_variance(noise + 0.5 / 255 * checkerboard(2, "diagonal", 32, 32), 2).p_value < 0.001

    def test_is_cheap_in_memory(self) -> None:
        assert sign_blocks(torch.zeros(5, 3, 8, 8), 0).shape == (FLIPS, 3, 8, 8)


METRICS = {
    "dc_phase_variation": dc_phase_variation,
    "phase_variance": phase_variance,
    "nearest_residual": nearest_residual,
    "energy_by_period": lambda images, period: energy_by_period(images, (period,)),
}
BAD_INPUT = {
    "period beyond the image": (torch.zeros(1, 1, 8, 12), 9, ValueError, "period 9 needs .* 9 x 9 pixels, got 8 x 12"),
    "period 1": (torch.zeros(1, 1, 8, 8), 1, ValueError, "at least 2 pixels, got 1"),
    "float period": (torch.zeros(1, 1, 8, 8), 2.0, TypeError, "period must be an integer number of pixels, got 2.0"),
    "three dimensions": (torch.zeros(1, 8, 8), 2, ValueError, r"\[N, C, H, W\], got shape \(1, 8, 8\)"),
    "no images": (torch.zeros(0, 1, 8, 8), 2, ValueError, "non-empty"),
    "a list": ([[1.0]], 2, TypeError, "got list"),
    "complex": (torch.zeros(1, 1, 8, 8, dtype=torch.complex64), 2, TypeError, "real numbers"),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("case", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_clear_line(metric, case) -> None:
    images, period, error, message = case
    with pytest.raises(error, match=message) as caught:
        metric(images, period)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_read_only_and_flipped_arrays_are_welcome() -> None:
    images = random_kernel(2, 1, 8, 8).numpy()
    flipped = images[..., ::-1]
    flipped.flags.writeable = False
    assert dc_phase_variation(flipped, 2) == pytest.approx(dc_phase_variation(images, 2))
