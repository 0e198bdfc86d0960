"""Spectral lines and the radial spectrum: closed forms, and what must not be seen."""

import numpy as np
import pytest
import torch

from upsample_lab.metrics import LINE_PERIODS, ORIENTATIONS, image_artifacts, line_energy_db, radial_power_spectrum
from upsample_lab.selftest.carriers import synthetic_images
from upsample_lab.selftest.probes import checkerboard

DOUBLE = torch.float64
PATTERNS = [(period, orientation) for period in LINE_PERIODS for orientation in ORIENTATIONS]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def slow_line_db(image: np.ndarray, period: int, orientation: str) -> float:
    """The definition written out, one frequency at a time, for one plane `[H, W]`."""
    height, width = image.shape
    y, x = np.mgrid[:height, :width]
    window = (1 - np.cos(2 * np.pi * y / height)) * (1 - np.cos(2 * np.pi * x / width)) / (height * width)
    centred = image - (window * image).sum()

    def power(fy: float, fx: float) -> float:
        return abs((centred * window * np.exp(-2j * np.pi * (fy * y + fx * x))).sum()) ** 2

    values = []
    for bins in (0, -2, 2):
        fy, fx = 1 / period + bins / height, 1 / period + bins / width
        values.append(
            {
                "horizontal": lambda fy=fy, fx=fx: power(0, fx),
                "vertical": lambda fy=fy, fx=fx: power(fy, 0),
                "diagonal": lambda fy=fy, fx=fx: power(fy, fx) + power(fy, -fx),
            }[orientation]()
        )
    line, below, above = values
    return 10 * np.log10(line) - 5 * np.log10(below * above)


class TestLines:
    @pytest.mark.parametrize("size", [(28, 28), (32, 25), (24, 40)], ids=str)
    @pytest.mark.parametrize(("period", "orientation"), PATTERNS)
    def test_is_its_definition(self, period: int, orientation, size: tuple[int, int]) -> None:
        images = 0.5 + 0.1 * noise(3, 1, *size)
        reference = np.mean([slow_line_db(image.numpy(), period, orientation) for image in images[:, 0]])
        # The floor at 1e-12 of the mean square is the only difference.
        assert line_energy_db(images)[period][orientation] == pytest.approx(reference, abs=1e-4)

    @pytest.mark.parametrize(("period", "orientation"), PATTERNS)
    def test_only_the_injected_line_rises(self, period: int, orientation) -> None:
        images = 0.5 + 0.01 * noise(64, 1, 32, 32) + 0.1 * checkerboard(period, orientation, 32, 32)
        ratios = {(p, o): db for p, row in line_energy_db(images).items() for o, db in row.items()}
        assert ratios.pop((period, orientation)) > 30
        assert max(ratios.values()) < 3

    @pytest.mark.parametrize(("period", "orientation"), PATTERNS)
    def test_the_sign_of_the_pattern_does_not_matter(self, period: int, orientation) -> None:
        pattern = 0.1 * checkerboard(period, orientation, 32, 32)
        signs = torch.tensor([1.0, -1.0], dtype=DOUBLE).repeat(32)[:, None, None, None]
        assert line_energy_db(0.01 * noise(64, 1, 32, 32) + signs * pattern)[period][orientation] > 30

    def test_white_noise_is_level(self) -> None:
        ratios = line_energy_db(noise(2000, 1, 32, 32))
        expected = {2: {"horizontal": -3.0, "vertical": -3.0, "diagonal": -4.3}}
        for period in LINE_PERIODS:
            for orientation in ORIENTATIONS:
                level = expected.get(period, {}).get(orientation, 0.0)
                assert ratios[period][orientation] == pytest.approx(level, abs=0.7)

    def test_a_line_without_neighbours_stays_finite(self) -> None:
        ratios = line_energy_db(0.5 + 0.5 * checkerboard(2, "diagonal", 32, 32).expand(1, 1, 32, 32))
        assert 100 < ratios[2]["diagonal"] < 125
        assert abs(ratios[2]["horizontal"]) < 1

    @pytest.mark.parametrize("value", [0.0, 0.3, 255.0])
    def test_constants_have_no_line(self, value: float) -> None:
        ratios = line_energy_db(torch.full((2, 3, 28, 28), value))
        assert all(abs(db) < 1e-6 for row in ratios.values() for db in row.values())

    def test_bytes_and_floats_agree(self) -> None:
        images = (100 + 20 * noise(4, 1, 28, 28)).to(torch.uint8)
        for period, row in line_energy_db(images.numpy()).items():
            assert row == pytest.approx(line_energy_db(images.double() / 255)[period], abs=1e-9)

    @pytest.mark.parametrize(("period", "need"), [(4, 12), (8, 24)])
    def test_names_the_size_a_period_needs(self, period: int, need: int) -> None:
        line_energy_db(noise(1, 1, need, need), (period,))
        with pytest.raises(ValueError, match=f"period {period} needs images of at least {need} x {need} pixels"):
            line_energy_db(noise(1, 1, need, need - 1), (period,))

    def test_eight_pixels_are_the_least(self) -> None:
        line_energy_db(noise(1, 1, 8, 8), (2,))
        with pytest.raises(ValueError, match="at least 8 x 8 pixels, got 8 x 7"):
            line_energy_db(noise(1, 1, 8, 7), (2,))


class TestRadialSpectrum:
    @pytest.mark.parametrize("size", [(28, 28), (32, 32), (9, 9), (8, 20)], ids=str)
    def test_keeps_every_bin_from_the_constant_to_the_corner(self, size: tuple[int, int]) -> None:
        images = 0.5 + noise(3, 2, *size)
        spectrum = radial_power_spectrum(images)
        radius = torch.hypot(*torch.meshgrid(*map(torch.fft.fftfreq, size), indexing="ij"))
        rings = (radius.double() * min(size)).round().long().clamp_min(1).flatten()
        counts = rings[1:].bincount()
        counts[0] = 1  # the constant
        assert len(spectrum.power) == len(counts)
        assert (spectrum.power * counts).sum().item() == pytest.approx(images.square().sum().item() / 6)
        assert spectrum.frequency[0] == 0
        assert spectrum.power[0].item() == pytest.approx(images.sum(dim=(2, 3)).square().mean().item() / np.prod(size))

    @pytest.mark.parametrize(("orientation", "frequency"), [("horizontal", 0.5), ("diagonal", 0.5**0.5)])
    def test_a_checkerboard_stands_at_its_own_radius(self, orientation, frequency: float) -> None:
        spectrum = radial_power_spectrum(checkerboard(2, orientation, 28, 28).expand(1, 1, 28, 28))
        loudest = int(spectrum.power.argmax())
        assert spectrum.frequency[loudest].item() == pytest.approx(frequency, abs=0.02)
        assert (loudest == len(spectrum.power) - 1) == (orientation == "diagonal")

    def test_white_noise_is_flat(self) -> None:
        power = radial_power_spectrum(2 * noise(2000, 1, 16, 16)).power
        torch.testing.assert_close(power, torch.full_like(power, 4.0), rtol=0.15, atol=0)

    def test_images_without_a_batch_axis_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
            radial_power_spectrum(noise(28, 28))


class TestImageArtifacts:
    def test_names_are_stable(self) -> None:
        assert list(image_artifacts(noise(1, 1, 28, 28), 2)) == [
            "dc_phase_variation",
            "line_p2_db",
            "line_p4_db",
            "line_p8_db",
            "nearest_residual",
            "radial_corner_db",
        ]

    @pytest.mark.parametrize(("period", "orientation"), PATTERNS)
    def test_a_constant_with_a_pattern(self, period: int, orientation) -> None:
        figures = image_artifacts(0.5 + 0.1 * checkerboard(period, orientation, 32, 32).expand(1, 1, 32, 32), period)
        share = 0.01 / 0.26
        assert figures["dc_phase_variation"] == pytest.approx(share**0.5)
        assert figures["nearest_residual"] == pytest.approx(share)
        assert [p for p in LINE_PERIODS if figures[f"line_p{p}_db"] > 60] == [period]
        assert (figures["radial_corner_db"] > 25) == ((period, orientation) == (2, "diagonal"))

    def test_the_largest_orientation_is_reported(self) -> None:
        images = synthetic_images()[:16]
        lines = line_energy_db(images)
        figures = image_artifacts(images, 2)
        assert all(figures[f"line_p{period}_db"] == max(lines[period].values()) for period in LINE_PERIODS)

    def test_values_that_are_not_finite_are_refused(self) -> None:
        with pytest.raises(ValueError, match="not finite"):
            image_artifacts(torch.full((1, 1, 16, 16), torch.nan), 2)
