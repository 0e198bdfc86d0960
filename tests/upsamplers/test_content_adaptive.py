"""CARAFE and DySample against the algebra of their papers, written out pixel by pixel."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.upsamplers.upsampler_cases import SCALES, build, image
from upsample_lab.resize import resize
from upsample_lab.upsamplers.carafe import Carafe, reassemble
from upsample_lab.upsamplers.dysample import DySample, sample


@pytest.mark.parametrize("scale", SCALES)
def test_reassembly_by_its_definition(scale: int) -> None:
    values = image(3, 4, batch=1, channels=2)
    kernels = image(scale**2, 9, batch=3, channels=4, seed=4).softmax(-1)[None]
    expected = torch.zeros(1, 2, 3 * scale, 4 * scale, dtype=torch.float64)
    for row, column in itertools.product(range(3 * scale), range(4 * scale)):
        i, j, phase = row // scale, column // scale, scale * (row % scale) + column % scale
        for n, m in itertools.product((-1, 0, 1), repeat=2):
            neighbour = values[0, :, min(max(i + n, 0), 2), min(max(j + m, 0), 3)]
            expected[0, :, row, column] += kernels[0, i, j, phase, 3 * (n + 1) + m + 1] * neighbour
    torch.testing.assert_close(reassemble(values, kernels, scale), expected)


@pytest.mark.parametrize("scale", SCALES)
def test_carafe_with_equal_weights_is_a_box(scale: int) -> None:
    module = build("carafe", scale, kernel_size=5)
    assert isinstance(module, Carafe)
    with torch.no_grad():
        module.encode.weight.zero_()
        module.encode.bias.fill_(0.7)  # type: ignore[union-attr]
    input = image(6, 7)
    padded = torch.nn.functional.pad(module.values(input), (2, 2, 2, 2), mode="replicate")
    box = torch.nn.functional.avg_pool2d(padded, 5, stride=1)
    torch.testing.assert_close(module(input), resize(box, scale, mode="nearest"), rtol=1e-10, atol=1e-12)


def test_carafe_repeats_borders() -> None:
    module = build("carafe")
    ones = torch.ones(1, 8, 4, 5, dtype=torch.float64)
    output = module(ones)
    torch.testing.assert_close(output, output[..., :1, :1].expand_as(output))


@pytest.mark.parametrize("scope", ["static", "dynamic"])
@pytest.mark.parametrize("scale", SCALES)
def test_dysample_with_zero_offsets_is_bilinear(scale: int, scope: str) -> None:
    module = build("dysample", scale, scope=scope)
    assert isinstance(module, DySample)
    with torch.no_grad():
        module.offset.weight.zero_()
    input = image(5, 7)
    expected = resize(module.values(input), scale, mode="bilinear")
    torch.testing.assert_close(module(input), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(module(input), expected, rtol=0, atol=1e-12)


def test_dysample_offsets_are_in_input_pixels_right_and_down() -> None:
    ramp = 10 * torch.arange(8, dtype=torch.float64)[:, None] + torch.arange(8, dtype=torch.float64)
    values = ramp.expand(1, 2, 8, 8)
    offsets = torch.zeros(1, 4, 16, 16, dtype=torch.float64)
    offsets[:, 0], offsets[:, 1] = 0.5, -0.25  # the first group of channels moves, the second stays
    moved = sample(values, offsets, 2)[0, :, 4:-4, 4:-4]
    still = resize(values, 2, mode="bilinear")[0, :, 4:-4, 4:-4]
    torch.testing.assert_close(moved[0], still[0] + 0.5 - 10 * 0.25)
    torch.testing.assert_close(moved[1], still[1])


def test_dysample_scopes_agree_at_the_start() -> None:
    """The dynamic scope starts at σ(0)/2 = ¼, the static one."""
    static, dynamic = build("dysample", scope="static"), build("dysample", scope="dynamic")
    dynamic.load_state_dict(static.state_dict(), strict=False)
    input = image(4, 5)
    torch.testing.assert_close(static(input), dynamic(input))


def test_dysample_points_beyond_the_border_take_the_border() -> None:
    values = image(3, 3, batch=1, channels=1)
    far = torch.full((1, 2, 6, 6), 100.0, dtype=torch.float64)
    torch.testing.assert_close(sample(values, far, 2), values[..., -1:, -1:].expand(1, 1, 6, 6))
