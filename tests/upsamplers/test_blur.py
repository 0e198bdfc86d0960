"""The smoothing of blur_deconv and blur_pixel_shuffle: centred, full at the border, deaf to period s."""

from __future__ import annotations

import pytest
import torch

from tests.upsamplers.upsampler_cases import SCALES, image, interior
from upsample_lab.upsamplers import build_upsampler
from upsample_lab.upsamplers._blur import blur, blur_taps

SIZES = [(12, 12), (50, 12)]  # a dense matrix, and shifted sums


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_constants_stay_up_to_the_border(scale: int, size: tuple[int, int]) -> None:
    ones = torch.ones(1, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(blur(ones, scale), ones, rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_ramps_stay_where_they_are(scale: int, size: tuple[int, int]) -> None:
    """A shift by half a pixel would raise or lower a ramp by one half of its slope."""
    ramp = torch.arange(size[0], dtype=torch.float64)[:, None] + 3 * torch.arange(size[1], dtype=torch.float64)
    ramp = ramp[None, None]
    torch.testing.assert_close(interior(blur(ramp, scale), 3), interior(ramp, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_whatever_repeats_with_period_s_vanishes(scale: int) -> None:
    tile = image(scale, scale, batch=1, channels=2)
    pattern = (tile - tile.mean((-2, -1), keepdim=True)).repeat(1, 1, 6, 6)
    assert interior(blur(pattern, scale), scale).abs().max() < 1e-14


@pytest.mark.parametrize(("scale", "taps"), [(2, [1, 2, 1]), (3, [1, 1, 1]), (4, [1, 2, 2, 2, 1])])
def test_taps(scale: int, taps: list[float]) -> None:
    impulse = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    impulse[..., 4, 4] = 1
    line = torch.tensor(taps, dtype=torch.float64)
    line /= line.sum()
    reach = len(taps) // 2
    response = blur(impulse, scale)[0, 0]
    torch.testing.assert_close(response[4 - reach : 5 + reach, 4 - reach : 5 + reach], line[:, None] * line)
    assert response.sum() == pytest.approx(1)
    assert blur_taps(scale) == len(taps)


@pytest.mark.parametrize("name", ["blur_deconv", "blur_pixel_shuffle"])
def test_it_follows_the_layer(name: str) -> None:
    torch.manual_seed(0)
    blurred = build_upsampler(name, 4, 3, init="random").double()
    plain = build_upsampler(name.removeprefix("blur_"), 4, 3, init="random").double()
    plain.load_state_dict(blurred.state_dict())
    input = image(5, 4, channels=4)
    torch.testing.assert_close(blurred(input), blur(plain(input), 2))
