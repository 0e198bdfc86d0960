"""Operators whose every figure is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from upsample_lab.passport import Passport, passport
from upsample_lab.passport.equivariance import agreement
from upsample_lab.passport.gains import measure_gains
from upsample_lab.passport.isolation import isolated
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import DB_CEILING

from .modules import icnr, seeded


def measured(module: nn.Module, channels: int = 2, scale: int = 2, size: int = 16) -> Passport:
    return passport(module, channels, scale, size=size, cost=False)


@pytest.fixture(scope="module")
def nearest() -> Passport:
    return measured(nn.Upsample(scale_factor=2))


@pytest.fixture(scope="module")
def bilinear() -> Passport:
    return measured(nn.Upsample(scale_factor=2, mode="bilinear"))


FIXED = {
    f"{mode} x{scale}": (mode, scale) for mode in ("nearest", "bilinear", "bicubic") for scale in (2, 3, 4)
}  # fmt: skip


@pytest.mark.parametrize(("mode", "scale"), FIXED.values(), ids=FIXED)
def test_resizes_are_even_centred_and_equivariant(mode: str, scale: int) -> None:
    p = measured(nn.Upsample(scale_factor=scale, mode=mode), scale=scale)
    assert p.subject.linear
    assert p.gains.dc_phase_variation == 0
    np.testing.assert_allclose(p.gains.gain, 1, atol=1e-12)
    np.testing.assert_allclose(p.impulse.delay_px, 0, atol=1e-9)
    np.testing.assert_allclose(p.impulse.magnification, scale, atol=1e-9)
    assert p.impulse.support_shift_px == (0, 0)
    taps = {"nearest": 1, "bilinear": 2, "bicubic": 4}[mode]
    centred_phase = scale % 2 == 1 and taps > 1  # lies on an input pixel, and needs no other
    assert p.impulse.support_px == (scale * taps - centred_phase,) * 2
    assert p.impulse.position_error < 1e-12
    assert p.equivariance.integer_db == DB_CEILING
    assert p.border.fails == ()
    np.testing.assert_allclose(p.gradient.mean, scale**2, rtol=1e-9)
    assert p.gradient.interior_variation == 0
    assert p.frequency.dc_rejection_db > 140
    assert p.findings == ()


def test_phases_of_nearest_lie_half_a_pixel_beside_their_places(nearest: Passport) -> None:
    np.testing.assert_allclose(nearest.impulse.phase_delay_px[0, 1], (-0.5, 0.5), atol=1e-9)
    np.testing.assert_array_equal(nearest.gains.taps, 1)


def test_phases_of_bilinear_lie_at_their_places(bilinear: Passport) -> None:
    np.testing.assert_allclose(bilinear.impulse.phase_delay_px, 0, atol=1e-9)
    np.testing.assert_array_equal(bilinear.gains.taps, 4)


def test_kernel_of_bilinear_is_a_tent(bilinear: Passport) -> None:
    tent = np.array([0.25, 0.75, 0.75, 0.25])
    middle = bilinear.impulse.kernel[7:11, 7:11]
    np.testing.assert_allclose(middle, np.outer(tent, tent), atol=1e-9)
    assert bilinear.impulse.kernel_is_signed
    assert np.count_nonzero(np.abs(bilinear.impulse.kernel) > 1e-9) == 16


# |H| at half band, 1/8 cycle per output pixel: a box of two, and a tent of four taps.
DROOP = {
    "nearest": math.cos(math.pi / 8),
    "bilinear": 0.75 * math.cos(math.pi / 8) + 0.25 * math.cos(3 * math.pi / 8),
}


@pytest.mark.parametrize("mode", DROOP)
def test_droop_at_half_band(mode: str) -> None:
    p = measured(nn.Upsample(scale_factor=2, mode=mode))
    np.testing.assert_allclose(p.frequency.droop_db, 20 * math.log10(DROOP[mode]), atol=1e-9)


def power_of(mode: str, scale: int, f: float) -> float:
    """|H|² at f cycles per input pixel relative to 0, along one axis.

    Nearest is a box of s output pixels: the Dirichlet kernel `D = sin(πf) / (s sin(πf/s))`. Bilinear is a tent, two
    boxes after each other: `D²`. For an even scale its taps lie half a pixel beside those of two boxes, at the mean of
    neighbours: another `cos(πf/s)`.
    """
    at = math.sin(math.pi * f / scale)
    box = math.sin(math.pi * f) / (scale * at) if abs(at) > 1e-12 else 1.0
    if mode == "nearest":
        return box**2
    return box**4 * (math.cos(math.pi * f / scale) ** 2 if scale % 2 == 0 else 1.0)


def rejection_of(mode: str, scale: int, limit: float) -> float:
    """Both axes have the same response, so energies in squares are products of those along an axis."""
    around = [
        quad(lambda f: power_of(mode, scale, f), m - limit, m + limit, epsabs=1e-13)[0] for m in range(scale)
    ]  # the response repeats every s cycles per input pixel
    band, copies = around[0] ** 2, sum(around) ** 2
    return 10 * math.log10(band / (copies - band))


REJECTED = {f"{mode} x{scale}": (mode, scale) for mode in ("nearest", "bilinear") for scale in (2, 3, 4)}


@pytest.mark.parametrize(("mode", "scale"), REJECTED.values(), ids=REJECTED)
def test_rejections_are_the_integrals_of_the_closed_form(mode: str, scale: int) -> None:
    f = measured(nn.Upsample(scale_factor=scale, mode=mode), scale=scale).frequency
    assert f.half_band_rejection_db == pytest.approx(rejection_of(mode, scale, 0.25), abs=1e-9)
    assert f.image_rejection_db == pytest.approx(rejection_of(mode, scale, 0.5), abs=1e-9)
    for frequency, power_db in zip(f.frequency, f.horizontal_db, strict=True):
        power = power_of(mode, scale, frequency)
        assert 10 ** (power_db / 10) == pytest.approx(power, abs=1e-12)


def _cosines(coefficients: dict[int, float], limit: float) -> float:
    """The integral over |f| <= limit of `Σ c_n cos(nπf)`."""
    return sum(2 * c * (math.sin(n * math.pi * limit) / (n * math.pi) if n else limit) for n, c in coefficients.items())


# |H|² of scale 2 as a sum of cosines: cos²(πf/2) and cos⁶(πf/2); the image has it half a turn on, so odd terms cancel.
SPELT_OUT = {"nearest": {0: 1 / 2, 1: 1 / 2}, "bilinear": {0: 10 / 32, 1: 15 / 32, 2: 6 / 32, 3: 1 / 32}}


@pytest.mark.parametrize("mode", SPELT_OUT)
@pytest.mark.parametrize("limit", [0.25, 0.5])
def test_rejections_at_scale_2_spelt_out(mode: str, limit: float) -> None:
    coefficients = SPELT_OUT[mode]
    band = _cosines(coefficients, limit)
    copies = 2 * _cosines({n: c for n, c in coefficients.items() if n % 2 == 0}, limit)
    expected = 10 * math.log10(band**2 / (copies**2 - band**2))
    assert rejection_of(mode, 2, limit) == pytest.approx(expected, abs=1e-9)
    if (mode, limit) == ("nearest", 0.25):
        assert expected == pytest.approx(9.679, abs=5e-4)
        assert band == pytest.approx(0.25 + math.sin(math.pi / 4) / math.pi)
    if (mode, limit) == ("nearest", 0.5):
        assert band == pytest.approx(0.5 + 1 / math.pi)


@pytest.mark.parametrize("waves", [1, 2, 3])
def test_half_pixel_equivariance_is_what_the_images_spoil(waves: int) -> None:
    """Half a pixel turns a wave's image by another π than the wave: the error has four times the image's energy.

    Nearest passes the wave of frequency f with cos(πf/2) and its image with sin(πf/2).
    """
    size = 8
    probe = Probe(nn.Upsample(scale_factor=2), 1, 2, size, seed=0)
    position = torch.arange(size, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * waves / size * position).expand(1, 1, size, size)
    image_energy = math.sin(math.pi * waves / size / 2) ** 2
    assert agreement(probe, wave, 0.5, -1) == pytest.approx(-10 * math.log10(4 * image_energy), abs=1e-9)
    assert agreement(probe, wave, 1.0, -1) == DB_CEILING


def test_fourier_interpolation_is_exactly_equivariant() -> None:
    p = measured(_Fourier())
    np.testing.assert_array_equal(p.equivariance.half_pixel_db, DB_CEILING)
    assert p.impulse.support_px is None
    np.testing.assert_allclose(p.impulse.delay_px, 0, atol=1e-6)
    assert p.frequency.image_rejection_db > 15
    assert p.findings == ()


class _Fourier(nn.Module):
    """The zero-padded spectrum, with output pixels centred like areas (half an output pixel to the upper left)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        for axis in (-2, -1):
            size = input.shape[axis]
            spectrum = torch.fft.fft(input, dim=axis)
            frequency = torch.fft.fftfreq(size, dtype=torch.float64)
            position = (torch.arange(2 * size, dtype=torch.float64) - 0.5) / 2
            waves = torch.exp(2j * torch.pi * frequency[:, None] * position) / size
            if size % 2 == 0:
                waves[size // 2] = waves[size // 2].real.clone()
            input = torch.einsum("...f,fp->...p", spectrum.movedim(axis, -1), waves.to(spectrum.dtype)).real
            input = input.movedim(-1, axis)
        return input


RANDOM = {f"kernel {k}": k for k in (2, 3, 4, 5, 6)}


@pytest.mark.parametrize("kernel_size", RANDOM.values(), ids=RANDOM)
def test_random_transposed_kernels_vary_as_independent_phases_do(kernel_size: int) -> None:
    padding = (kernel_size - 1) // 2
    module = seeded(
        lambda: nn.ConvTranspose2d(16, 256, kernel_size, 2, padding, 2 * padding + 2 - kernel_size, bias=False)
    )
    with isolated(module) as twin:
        gains = measure_gains(Probe(twin, 16, 2, 16), taps=np.ones((2, 2)))
    assert gains.dc_phase_variation == pytest.approx(math.sqrt(1 - 1 / 4), abs=0.03)
    assert gains.weight_phase_variation == pytest.approx(gains.dc_phase_variation)


def test_dc_rejection_is_the_phase_variation_in_decibels() -> None:
    """Energy at the multiples of 1 over all of them is the share of the variance: v² = images / (images + band)."""
    p = measured(seeded(lambda: nn.ConvTranspose2d(1, 5, 4, 2, 1, bias=False)), channels=1)
    v = p.gains.dc_phase_variation
    assert p.frequency.dc_rejection_db == pytest.approx(10 * math.log10((1 - v**2) / v**2), abs=1e-6)
    assert p.impulse.pair_count == 5


def test_icnr_is_even_without_bias_and_not_with_it() -> None:
    even = measured(seeded(lambda: icnr(bias=False, channels=16)), channels=16)
    uneven = measured(seeded(lambda: icnr(channels=16)), channels=16)
    assert even.gains.dc_phase_variation == 0
    assert uneven.gains.weight_phase_variation == 0
    assert 0.03 < uneven.gains.dc_phase_variation < 0.15
    assert uneven.gains.bias_phase_variation == pytest.approx(uneven.gains.dc_phase_variation)


def test_gradient_of_a_transposed_convolution_is_the_sum_of_its_weights() -> None:
    module = seeded(lambda: nn.ConvTranspose2d(3, 2, 3, 2, 1, 1))
    p = measured(module, channels=3)
    np.testing.assert_allclose(p.gradient.mean, module.weight.detach().sum(dim=(1, 2, 3)), rtol=1e-5)


def test_gradient_sees_uneven_strides_of_a_downsampler_inside() -> None:
    """A strided 3 x 3 convolution reads some pixels more often than others, which its gradient shows."""
    module = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False))
    nn.init.ones_(module[1].weight)
    assert measured(module, channels=1).gradient.interior_variation == 0
    swapped = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False), nn.Upsample(scale_factor=4))
    nn.init.ones_(swapped[0].weight)
    assert measured(swapped, channels=1, size=32).gradient.interior_variation > 0.3


def test_responses_are_on_one_grey_scale(bilinear: Passport) -> None:
    np.testing.assert_allclose(bilinear.responses.constant.output, 1, atol=1e-12)
    edge = bilinear.responses.edge
    np.testing.assert_allclose(edge.output[0, 14:18], (0, 0.25, 0.75, 1), atol=1e-12)
    assert edge.input.shape == (16, 16)
    assert edge.output.shape == (32, 32)


def test_nonlinear_modules_are_measured_at_a_stated_point() -> None:
    class Squared(nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(input, scale_factor=2.0, mode="bilinear") ** 2

    p = measured(Squared())
    assert not p.subject.linear
    assert p.subject.operating_point == 1
    np.testing.assert_allclose(p.impulse.kernel[8:10, 8:10], 2 * 0.75**2, rtol=1e-6)  # the derivative of x² at 1
    assert "not linear" in p.table()
