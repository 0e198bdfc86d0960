"""What each upsampler does to a constant: closed forms of the DC-phase variation, `√(mean Var_phases G² / mean G²)`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.upsamplers.upsampler_cases import SCALES, interior, phase_gains
from upsample_lab.upsamplers import Upsampler, build_upsampler

EQUAL: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("nearest", "bilinear", "bicubic", "kaiser", "fourier", "bilinear_additive")),
    *((name, {"order": "conv_first"}) for name in ("nearest", "bilinear", "bicubic", "kaiser")),
    ("deconv", {"init": "bilinear"}),
    ("deconv", {"init": "bilinear", "kernel_size": 5}),
    *(("deconv", {"phase_equal": True, "kernel_size": size}) for size in (4, 5, 7, 8)),
    ("pixel_shuffle", {"init": "icnr", "tie_bias": True}),
    ("blur_deconv", {"kernel_size": 4}),
    ("blur_deconv", {"kernel_size": 5}),
    ("blur_pixel_shuffle", {"init": "random", "tie_bias": False}),
    ("carafe", {"compressed_channels": 4}),
    ("dysample", {}),
]


def variation(gains: Tensor) -> float:
    """DC-phase variation of gains `[…, s²]`."""
    return math.sqrt(gains.var(-1, unbiased=False).mean() / gains.square().mean())


def gains_of(module: Upsampler, size: int = 20) -> Tensor:
    """The gain of every phase from each input channel to each output channel, biases taken away."""
    constants = torch.eye(module.in_channels, dtype=torch.float64)[:, :, None, None].expand(-1, -1, size, size)
    with torch.no_grad():
        output = module(constants) - module(torch.zeros_like(constants[:1]))
    return phase_gains(interior(output, 6 * module.scale), module.scale)


def of_a_constant(module: Upsampler, size: int = 20) -> float:
    """DC-phase variation of what the module, biases and all, makes of ones."""
    with torch.no_grad():
        output = module(torch.ones(1, module.in_channels, size, size, dtype=torch.float64))
    return variation(phase_gains(interior(output, 6 * module.scale), module.scale))


def make(name: str, channels: int, scale: int, **options: Any) -> Upsampler:
    torch.manual_seed(0)
    return build_upsampler(name, channels, channels, scale, **options).double()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "options"), EQUAL, ids=str)
def test_phases_gain_equally(name: str, options: dict[str, Any], scale: int) -> None:
    module = make(name, 8, scale, **options)
    tolerance = 1e-7 if options.get("init") == "bilinear" else 1e-12  # these weights are made in float32
    assert variation(gains_of(module)) < tolerance
    assert of_a_constant(module) < tolerance


@pytest.mark.parametrize("kernel_size", range(2, 9))
def test_random_transposed_kernels_checker_whatever_their_size(kernel_size: int) -> None:
    """Zero-mean kernels have `√(1 - 1/s²)`, also when the stride divides the kernel."""
    gains = gains_of(make("deconv", 32, 2, kernel_size=kernel_size), size=14)
    assert variation(gains) == pytest.approx(math.sqrt(1 - 1 / 4), abs=0.02)


@pytest.mark.parametrize("scale", SCALES)
def test_random_sub_pixel_kernels_checker_as_much(scale: int) -> None:
    gains = gains_of(make("pixel_shuffle", 32, scale, init="random"), size=14)
    assert variation(gains) == pytest.approx(math.sqrt(1 - 1 / scale**2), abs=0.02)


def test_icnr_with_untied_bias_still_checkers() -> None:
    """Weights and biases are uniform within `1/√(9C)`: their variances at the output are 1/3 and 1/(27C).

    So three quarters of the biases' variance, over that of all weights, is `√(1/(12C))`, and 0.07 for 16 channels.
    """
    values = []
    for seed in range(30):
        torch.manual_seed(seed)
        module = build_upsampler("pixel_shuffle", 16, 16, init="icnr", tie_bias=False).double()
        assert variation(gains_of(module, size=14)) < 1e-12  # the weights alone are equal
        values.append(of_a_constant(module, size=14))
    root_mean_square = math.sqrt(sum(value**2 for value in values) / len(values))
    assert root_mean_square == pytest.approx(math.sqrt(1 / (12 * 16)), abs=0.012)


@pytest.mark.parametrize("kernel_size", [4, 5])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW], ids=["SGD", "AdamW"])
def test_phase_equal_survives_training(kernel_size: int, optimizer: Any) -> None:
    """Trained towards a checkerboard, it does not follow, while the plain layer does."""
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(8, 8).expand(2, 4, -1, -1)
    input = torch.ones(2, 4, 8, 8, dtype=torch.float64)
    after = {}
    for phase_equal in (True, False):
        module = make("deconv", 4, 2, kernel_size=kernel_size, phase_equal=phase_equal)
        before = module.conv.weight.detach().clone()  # type: ignore[operator, union-attr]
        step = optimizer(module.parameters(), lr=0.05)
        for _ in range(20):
            step.zero_grad()
            nn.functional.mse_loss(module(input), board).backward()
            step.step()
        assert not torch.equal(before, module.conv.weight)  # type: ignore[arg-type, union-attr]
        after[phase_equal] = of_a_constant(module)
    assert after[True] < 1e-12
    assert after[False] > 0.5
