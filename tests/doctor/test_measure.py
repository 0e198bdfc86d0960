"""The strength of a pattern in images with content: its amplitude is found, and content is not taken for one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.doctor.gallery import picture
from upsample_lab.doctor.calls import run_watched
from upsample_lab.doctor.measure import FlatField, flat_field, period_of, repetition
from upsample_lab.doctor.watcher import SiteCall

CASES = [((2, 2), (1, 1)), ((4, 4), (2, 2)), ((3, 3), (1, 1)), ((8, 8), (4, 4)), ((2, 1), (1, 1)), ((4, 6), (2, 3))]


def pattern(period: tuple[int, int], coarse: tuple[int, int], size: int = 96) -> Tensor:
    """Of root mean square 1, new at its period: what repeats with `coarse` is taken out."""
    tile = torch.randn(*period, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    tile -= (
        tile.unflatten(0, (-1, coarse[0]))
        .unflatten(2, (-1, coarse[1]))
        .mean(dim=(0, 2))
        .repeat(period[0] // coarse[0], period[1] // coarse[1])
    )
    tile /= tile.square().mean().sqrt()
    return tile.repeat(size // period[0], size // period[1])[None, None]


@pytest.mark.parametrize(("period", "coarse"), CASES)
def test_the_amplitude_of_a_pattern_is_found_beside_content(period: tuple[int, int], coarse: tuple[int, int]) -> None:
    alone = repetition(pattern(period, coarse), period, coarse)
    assert alone is not None
    assert alone.rms == pytest.approx(1, rel=1e-3)
    assert alone.over_db > 80
    beside = repetition(picture(2, 3, 96, 96) + 0.1 * pattern(period, coarse), period, coarse)
    assert beside is not None
    assert beside.rms == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(("period", "coarse"), CASES)
def test_content_alone_is_no_pattern(period: tuple[int, int], coarse: tuple[int, int]) -> None:
    found = repetition(picture(4, 3, 96, 96), period, coarse)
    assert found is not None
    assert found.rms < 1 / 255


def test_a_longer_period_leaves_out_what_a_shorter_one_has() -> None:
    found = repetition(pattern((2, 2), (1, 1)), (4, 4), (2, 2))
    assert found is not None
    assert found.rms < 1e-5


def test_a_pattern_whose_sign_changes_from_place_to_place_is_found() -> None:
    signs = torch.ones(1, 1, 96, 96, dtype=torch.float64)
    signs[..., :48] = -1
    found = repetition(signs * pattern((2, 2), (1, 1)), (2, 2))
    assert found is not None
    assert found.rms > 0.85


@pytest.mark.parametrize("size", [(7, 64), (64, 7)])
def test_too_few_periods_tell_nothing(size: tuple[int, int]) -> None:
    assert repetition(torch.zeros(1, 1, *size), (2, 2)) is None


def test_nothing_repeats_where_nothing_enlarges() -> None:
    assert repetition(torch.zeros(1, 1, 32, 32), (2, 2), (2, 2)) is None


@pytest.mark.parametrize(("scale", "period"), [(2, 2), (1.5, 3), (4 / 3, 4), (1.857, 2), (1, 1)])
def test_the_period_of_a_scale(scale: float, period: int) -> None:
    assert period_of(scale) == period


def field_of(model: nn.Module, inputs: Tensor) -> FlatField | None:
    fields: list[FlatField | None] = []

    def visit(call: SiteCall) -> None:
        fields.append(flat_field(call))

    run_watched(model, inputs, visit)
    return fields[0]


def test_the_flat_field_is_that_of_the_real_activations() -> None:
    """A kernel of which the first channel is uneven and the second is not: what is in them decides."""
    deconv = nn.ConvTranspose2d(2, 1, 2, 2, bias=False)
    with torch.no_grad():
        deconv.weight[0] = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
        deconv.weight[1] = 2.0
    uneven = field_of(deconv, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 16, 16))
    even = field_of(deconv, torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 16, 16))
    assert uneven is not None
    assert even is not None
    assert uneven.variation == pytest.approx(math.sqrt(1 / 5))  # gains 1 and 3: variance 1 over mean square 5
    assert even.variation < 1e-6


def test_borders_are_told_apart_from_the_interior() -> None:
    padded, whole = nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False), nn.ConvTranspose2d(1, 1, 2, 2, bias=False)
    with torch.no_grad():
        padded.weight.fill_(1)
        whole.weight.fill_(1)
    image = torch.ones(1, 1, 16, 16)
    at_border, none = field_of(padded, image), field_of(whole, image)
    assert at_border is not None
    assert none is not None
    assert at_border.variation < 1e-6
    assert at_border.border is not None
    assert at_border.border > 0.3
    assert none.border == pytest.approx(0, abs=1e-6)


def test_the_flat_field_of_a_shuffle_begins_before_its_convolution() -> None:
    """Zero padding makes the means of a convolution's channels differ: that is its border, not its phases."""
    conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(4, 3, 3, 3))
        sums = conv.weight.mean(dim=(2, 3), keepdim=True)
        conv.weight += sums.mean(dim=0) - sums
    field = field_of(nn.Sequential(conv, nn.PixelShuffle(2)), picture(1, 3, 8, 8))
    assert field is not None
    assert field.variation < 1e-5
