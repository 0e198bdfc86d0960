"""The windowed sinc: SciPy's design, unit gain, a flat pass band, images rejected."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from tests.upsamplers.upsampler_cases import SCALES
from upsample_lab.resize import KERNELS, Kernel, interpolation_matrix, phase_taps
from upsample_lab.upsamplers.kaiser import TAPS, kaiser_beta, kaiser_sinc


def taps_of(scale: int) -> np.ndarray:
    """The filter on the fine grid, all 6s taps in order."""
    kernel = kaiser_sinc(scale)
    return np.array([kernel.weight((tap - (TAPS * scale - 1) / 2) / scale) for tap in range(TAPS * scale)])


def response(kernel: Kernel, scale: int, frequency: float) -> float:
    """Gain of a wave, `frequency` in cycles per output pixel, in zero insertion and filtering, over the gain at 0."""
    positions = (np.arange(2 * kernel.reach * scale) - (2 * kernel.reach * scale - 1) / 2) / scale
    weights = np.array([kernel.weight(position) for position in positions])
    return abs(np.sum(weights * np.exp(-2j * np.pi * frequency * positions * scale))) / weights.sum()


@pytest.mark.parametrize("scale", SCALES)
def test_same_design_as_scipy(scale: int) -> None:
    """But for the phases' sums: ours are all 1, theirs only on the mean (and exactly so for s = 2, by symmetry)."""
    width = 2 * (math.sqrt(2) - 1) / 2
    theirs = scale * signal.firwin(TAPS * scale, cutoff=0.5, width=width, fs=scale)
    np.testing.assert_allclose(taps_of(scale), theirs, atol=1e-12 if scale == 2 else 5e-3)
    assert kaiser_beta(scale) == pytest.approx(signal.kaiser_beta(signal.kaiser_atten(TAPS * scale, 2 * width / scale)))


@pytest.mark.parametrize("scale", SCALES)
def test_six_taps_a_phase_that_sum_to_one(scale: int) -> None:
    phases = phase_taps(scale, kaiser_sinc(scale))
    assert [sum(weight for _, weight in phase) for phase in phases] == pytest.approx([1] * scale)
    assert max(len(phase) for phase in phases) <= TAPS
    if scale % 2 == 0:
        assert [len(phase) for phase in phases] == [TAPS] * scale


@pytest.mark.parametrize("scale", SCALES)
def test_pass_band_is_flat_and_images_are_rejected(scale: int) -> None:
    kaiser, bilinear = kaiser_sinc(scale), KERNELS["bilinear"]
    half_band, image_of_it = 0.25 / scale, 0.75 / scale  # cycles per output pixel: half the input's Nyquist frequency
    droop_db = 20 * math.log10(response(kaiser, scale, half_band))
    assert abs(droop_db) < 0.1
    assert 20 * math.log10(response(bilinear, scale, half_band)) < -1
    assert 20 * math.log10(response(kaiser, scale, image_of_it)) < -35
    assert response(kaiser, scale, image_of_it) < response(bilinear, scale, image_of_it) / 3


def test_a_slow_wave_is_reproduced() -> None:
    def wave(position: Tensor) -> Tensor:
        return torch.cos(2 * torch.pi * 0.2 * position + 0.3)

    matrix = interpolation_matrix(24, 2, kaiser_sinc(2))
    out = (torch.arange(48, dtype=torch.float64) + 0.5) / 2 - 0.5
    error = matrix @ wave(torch.arange(24, dtype=torch.float64)) - wave(out)
    assert error[8:-8].abs().max() < 0.01
