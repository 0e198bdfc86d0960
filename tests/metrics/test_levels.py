"""Patterns of known amplitude, in grey levels, are recovered: in uniform images, in flat areas, in a whole residual."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from upsample_lab.metrics import FlatWindows, QualityMeter, pattern_levels
from upsample_lab.metrics.levels import WORST_WINDOWS, periods_of
from upsample_lab.selftest.probes import checkerboard

PERIODS = (2, 4, 8)
ORIENTATIONS = ("horizontal", "vertical", "diagonal")
LEVELS = (0.25, 1.0, 16.0)
WITHIN = 0.05


def pattern(period: int, orientation: str, rms_levels: float, size: int = 48) -> Tensor:
    """A wave of that period alone, `[size, size]`, float64, around 0."""
    down, across = torch.arange(size)[:, None], torch.arange(size)
    place = {"horizontal": across.expand(size, size), "vertical": down.expand(size, size), "diagonal": down + across}
    wave = torch.cos(2 * math.pi * place[orientation].double() / period + 0.4)
    return wave / wave.square().mean().sqrt() * rms_levels / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("period", PERIODS)
def test_recovers_a_pattern_of_a_uniform_image(period: int, orientation: str, levels: float, channels: int) -> None:
    injected = pattern(period, orientation, levels)
    found = pattern_levels((0.5 + injected).expand(2, channels, -1, -1), 8)
    assert found.rms_levels == pytest.approx(levels, rel=WITHIN)
    assert found.p2p_levels == pytest.approx(255 * float(injected.max() - injected.min()), rel=WITHIN)
    assert found.by_period[period] == pytest.approx(levels, rel=WITHIN)
    assert all(rms < 1e-3 * levels for other, rms in found.by_period.items() if other != period)


@pytest.mark.parametrize("mean", [0.0, 0.015, 0.5, 1.0])
def test_amplitude_does_not_depend_on_the_mean(mean: float) -> None:
    """The relative figure does: it made the headline of a pattern that nobody could see."""
    found = pattern_levels((mean + pattern(4, "diagonal", 2.0))[None, None], 4)
    assert found.rms_levels == pytest.approx(2.0, rel=1e-9)


def test_shading_is_no_pattern() -> None:
    down, across = torch.linspace(0, 1, 48)[:, None], torch.linspace(0, 1, 48)
    shaded = (0.2 * down + 0.3 * across + 0.1 * down * across + 0.2 * across**2).double()
    assert pattern_levels(shaded[None, None], 8).rms_levels < 0.01
    both = pattern_levels((shaded + pattern(8, "vertical", 1.0))[None, None], 8)
    assert both.rms_levels == pytest.approx(1.0, rel=WITHIN)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("period", PERIODS)
def test_recovers_a_pattern_of_flat_areas_under_noise(
    period: int, orientation: str, levels: float, channels: int
) -> None:
    """Its sign differs from image to image, so that the mean over images shows nothing."""
    generator = torch.Generator().manual_seed(3)
    target = torch.full((96, channels, 48, 48), 0.4)
    sign = torch.randint(0, 2, (96, 1, 1, 1), generator=generator) * 2 - 1
    noise = 0.5 / 255 * torch.randn(target.shape, generator=generator)
    meter = FlatWindows(8)
    meter.update(target + sign * pattern(period, orientation, levels) + noise, target)
    found = meter.compute()
    assert found is not None
    assert found.rms_levels == pytest.approx(levels, rel=WITHIN)
    assert found.by_period[period] == pytest.approx(levels, rel=WITHIN)


@pytest.mark.parametrize("period", [2, 3, 4, 8, 9])
def test_noise_in_flat_areas_is_no_pattern(period: int) -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.full((64, 2, 64, 64), 0.5)
    meter = FlatWindows(period)
    meter.update(target + 5 / 255 * torch.randn(target.shape, generator=generator), target)
    found = meter.compute()
    assert found is not None
    assert found.rms_levels < 0.3  # where the phase means of one window alone differ by about 2


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("period", PERIODS)
def test_recovers_the_pattern_that_all_images_have_in_common(period: int, levels: float) -> None:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(512, 3, 32, 32, generator=generator)
    noise = levels / 255 * torch.randn(target.shape, generator=generator)
    meter = QualityMeter(8)
    meter.update(target + noise + pattern(period, "diagonal", levels, 32), target)
    figures = meter.compute()
    assert figures["residual_pattern_rms_levels"] == pytest.approx(levels, rel=WITHIN)
    assert figures[f"residual_p{period}_rms_levels"] == pytest.approx(levels, rel=WITHIN)


def test_only_flat_windows_count_and_the_worst_are_kept_one_of_an_image() -> None:
    target = torch.full((6, 1, 32, 32), 0.5)
    target[1] += torch.linspace(0, 0.5, 32)  # not flat
    target[2, :, ::2] += 1.2 / 255  # flat: less than two levels
    output = target.clone()
    for image, levels in enumerate((1.0, 9.0, 3.0, 2.0, 0.0, 5.0)):
        output[image] += pattern(4, "horizontal", levels, 32).float()
    meter = FlatWindows(4)
    for part in ((0, 1), (1, 4), (4, 6)):
        meter.update(output[slice(*part)], target[slice(*part)])
    worst = meter.worst()
    assert worst["place"][:, 0].tolist() == [5, 2, 3, 0]
    assert worst["rms_levels"].tolist() == pytest.approx([5.0, 3.0, 2.0, 1.0], rel=1e-3)
    assert len(worst["target"]) == WORST_WINDOWS
    assert worst["output"].shape == (WORST_WINDOWS, 1, meter.side, meter.side)
    image, top, left = worst["place"][0].tolist()
    assert torch.equal(worst["output"][0], output[image, :, top : top + meter.side, left : left + meter.side])


def test_a_set_without_flat_areas_has_no_such_figures() -> None:
    target = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    meter = QualityMeter(4)
    meter.update(target, target)
    assert not any(name.startswith("flat_") for name in meter.compute())
    assert meter.flat_windows.worst() == {}


@pytest.mark.parametrize(
    ("period", "expected"), [(2, (2,)), (4, (2, 4)), (8, (2, 4, 8)), (9, (3, 9)), (3, (3,)), (6, (3, 6)), (5, (5,))]
)
def test_periods_of_a_total_stride(period: int, expected: tuple[int, ...]) -> None:
    assert periods_of(period) == expected


def test_refuses_images_in_which_nothing_repeats() -> None:
    with pytest.raises(ValueError, match="period 8 needs images of at least 16 x 16"):
        pattern_levels(torch.zeros(1, 1, 12, 12), 8)


CASES = [
    pytest.param(total, period, orientation, channels, id=f"{period}-of-{total}-{orientation}-{channels}")
    for total in (2, 4, 8)
    for period in periods_of(total)
    for orientation in ORIENTATIONS
    for channels in (1, 3)
]


def board(period: int, orientation: str, levels: float, size: int = 48) -> Tensor:
    """Plus and minus so many levels, float32: as many root mean square, twice as many peak to peak."""
    return levels / 255 * checkerboard(period, orientation, size, size).float()  # type: ignore[arg-type]


def shading(size: int = 48, levels: float = 2.0) -> Tensor:
    """A slope of so many levels a pixel down, and half of it back across."""
    ramp = torch.arange(float(size)) * levels / 255
    return ramp[:, None] - ramp / 2


@pytest.mark.parametrize(("total", "period", "orientation", "channels"), CASES)
def test_flat_images_give_the_amplitude_that_was_injected(
    total: int, period: int, orientation: str, channels: int
) -> None:
    for levels in LEVELS:
        images = 0.5 + board(period, orientation, levels).expand(5, channels, -1, -1)
        for shown in (images, images + shading(), images[..., :24, :32]):
            found = pattern_levels(shown, total)
            assert found.rms_levels == pytest.approx(levels, rel=0.05)
            assert found.p2p_levels == pytest.approx(2 * levels, rel=0.05)
            for each, rms in found.by_period.items():
                assert rms == pytest.approx(levels if each == period else 0, rel=0.05, abs=0.02 * levels)


@pytest.mark.parametrize(("total", "period", "orientation", "channels"), CASES)
def test_flat_windows_give_the_amplitude_whatever_its_sign(
    total: int, period: int, orientation: str, channels: int
) -> None:
    sign = 1 - 2 * torch.randint(0, 2, (12, 1, 1, 1), generator=torch.Generator().manual_seed(0)).float()
    target = torch.full((12, channels, 48, 48), 0.5)
    target[:, :, ::47] = 0.9  # borders belong to no window
    for levels in LEVELS:
        windows = FlatWindows(total)
        windows.update(target + sign * board(period, orientation, levels) + shading(), target)
        found = windows.compute()
        assert found is not None
        assert found.rms_levels == pytest.approx(levels, rel=0.05)
        assert found.p2p_levels == pytest.approx(2 * levels, rel=0.05)
        assert found.by_period[period] == pytest.approx(levels, rel=0.05)


def test_only_windows_that_vary_by_less_than_two_levels_count() -> None:
    target = torch.full((4, 3, 32, 32), 100.0)
    target[1, 2, ::2] += 1
    target[2, 2, ::2] += 2  # in one channel alone
    target[3, :, 12:20, 12:20] += 60 * torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    target = target / 255
    windows = FlatWindows(4)
    windows.update(target + board(4, "diagonal", 3.0, 32), target)
    each = 5 * 5  # windows of 8 x 8 at every fourth pixel of the inner 24
    assert windows.count == 2 * each + each - 9
    worst = windows.worst()
    assert set(worst["place"][:, 0].tolist()) == {0, 1, 3}
    for image, top, left in worst["place"].tolist():
        part = target[image, :, top : top + 8, left : left + 8]
        assert part.amax() - part.amin() < 2 / 255


def test_the_worst_windows_come_first_and_batches_decide_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.full((9, 1, 32, 32), 0.25)
    strength = torch.tensor([1.0, 5.0, 2.0, 5.0, 0.5, 9.0, 3.0, 4.0, 8.0])[:, None, None, None]
    output = target + strength * board(2, "diagonal", 1.0, 32)
    output += 0.1 / 255 * torch.randn(output.shape, generator=generator)
    whole, parts = FlatWindows(4), FlatWindows(4)
    whole.update(output, target)
    for rows in torch.arange(9).split(2):
        parts.update(output[rows], target[rows])
    assert whole.worst()["place"][:, 0].tolist()[:2] == [5, 8]
    assert len(whole.worst()["place"]) == WORST_WINDOWS
    for name, tensor in whole.worst().items():
        assert torch.equal(tensor, parts.worst()[name]), name
    found, other = whole.compute(), parts.compute()
    assert found is not None
    assert other is not None
    assert found.figures() == pytest.approx(other.figures(), rel=1e-12)
    image, top, left = whole.worst()["place"][0].tolist()
    assert torch.equal(whole.worst()["output"][0], output[image, :, top : top + 8, left : left + 8])
    assert whole.worst()["rms_levels"][0] == pytest.approx(9.0, rel=0.02)


def test_the_periods_add_up_in_square() -> None:
    images = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(1, 1, 6, 6)
    found = pattern_levels(images, 8)
    assert math.sqrt(sum(rms**2 for rms in found.by_period.values())) == pytest.approx(found.rms_levels)
