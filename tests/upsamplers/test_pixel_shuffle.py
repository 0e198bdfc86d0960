"""The sub-pixel convolution against torch's, and ICNR against what it stands for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.upsamplers.upsampler_cases import SCALES, image
from upsample_lab.resize import resize
from upsample_lab.upsamplers import build_upsampler


@pytest.mark.parametrize("tie_bias", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("scale", SCALES)
def test_same_as_torch_with_the_same_weights(scale: int, tie_bias: bool) -> None:
    module = build_upsampler("pixel_shuffle", 3, 5, scale, init="random", tie_bias=tie_bias).double()
    state = module.state_dict()
    bias = state["bias"].repeat_interleave(scale**2) if tie_bias else state["conv.bias"]
    input = image(4, 5, channels=3)
    expected = F.pixel_shuffle(F.conv2d(input, state["conv.weight"], bias, padding=1), scale)
    torch.testing.assert_close(module(input), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_icnr_starts_as_nearest_after_a_convolution(scale: int) -> None:
    module = build_upsampler("pixel_shuffle", 3, 5, scale, init="icnr", tie_bias=True).double()
    state = module.state_dict()
    input = image(4, 5, channels=3)
    small = F.conv2d(input, state["conv.weight"][:: scale**2], state["bias"], padding=1)
    torch.testing.assert_close(module(input), resize(small, scale, mode="nearest"), rtol=1e-10, atol=1e-12)
