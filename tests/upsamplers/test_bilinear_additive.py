"""Bilinear additive upsampling in the order of its paper: resize, then sum groups of neighbouring channels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.upsamplers.upsampler_cases import SCALES, image
from upsample_lab.resize import resize
from upsample_lab.upsamplers.bilinear_additive import sums_of_groups


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", SCALES)
def test_as_in_the_paper(scale: int, channels: int) -> None:
    input = image(5, 4, channels=8)
    resized = F.interpolate(input, scale_factor=scale, mode="bilinear")
    expected = resized.unflatten(1, (channels, 8 // channels)).sum(2)
    torch.testing.assert_close(
        resize(sums_of_groups(input, channels), scale, mode="bilinear"), expected, rtol=0, atol=1e-12
    )
