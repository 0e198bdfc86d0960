"""All artifact metrics of images alone, without a target: one call for a batch, one meter for a set."""

from upsample_lab.metrics._images import ImageArray, as_images
from upsample_lab.metrics._sums import RunningSums
from upsample_lab.metrics.phases import (
    PhaseVariance,
    ResidualPhases,
    dc_phase_variation,
    energy_by_period,
    nearest_residual,
    nearest_residual_sums,
    phase_gain_ratio,
    phase_gain_sums,
    phase_variance,
)
from upsample_lab.metrics.spectrum import (
    LINE_PERIODS,
    MIN_REPEATS,
    ORIENTATIONS,
    RadialPower,
    RadialSpectrum,
    SpectralLines,
    line_energy_db,
    radial_power_spectrum,
)

__all__ = [
    "LINE_PERIODS",
    "ORIENTATIONS",
    "ArtifactMeter",
    "PhaseVariance",
    "RadialPower",
    "RadialSpectrum",
    "ResidualPhases",
    "SpectralLines",
    "dc_phase_variation",
    "energy_by_period",
    "image_artifacts",
    "line_energy_db",
    "nearest_residual",
    "phase_variance",
    "radial_power_spectrum",
]


class ArtifactMeter:
    """Accumulates `image_artifacts` over a set of any size, exactly, without a device-to-host copy.

    Args:
        period: period in pixels for the phases and the blocks; a decoder's total scale is the one that misses nothing.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self._sums = RunningSums()
        self._radial = RadialPower()
        self._lines: SpectralLines | None = None  # its periods depend on the size of the images

    def update(self, images: ImageArray) -> None:
        """Add a batch `[N, C, H, W]`, at least 8 x 8 and one period in size."""
        values = as_images(images)
        gain_variance, gain_square = phase_gain_sums(values, self.period)
        within, energy = nearest_residual_sums(values, self.period)
        self._sums.add(gain_variance=gain_variance, gain_square=gain_square, within=within, energy=energy)
        self._radial.update(values)
        if self._lines is None:
            size_px = min(values.shape[-2:])
            self._lines = SpectralLines(tuple(p for p in LINE_PERIODS if MIN_REPEATS * p <= size_px))
        self._lines.update(values)

    def compute(self) -> dict[str, float]:
        """The figures over everything added so far, as finite plain floats.

        Raises:
            ValueError: nothing was added, or it was not finite.
        """
        sums = {name: float(value) for name, value in self._sums.read().items()}
        assert self._lines is not None  # set by the update that filled the sums
        lines = {f"line_p{period}_db": max(ratios.values()) for period, ratios in self._lines.compute().items()}
        return {
            "dc_phase_variation": phase_gain_ratio(sums["gain_variance"], sums["gain_square"]),
            **lines,
            "nearest_residual": sums["within"] / sums["energy"] if sums["energy"] > 0 else 0.0,
            "radial_corner_db": self._radial.corner_db(),
        }


def image_artifacts(images: ImageArray, period: int) -> dict[str, float]:
    """Every artifact metric of a batch that needs no target: `[N, C, H, W]`, at least 8 x 8 pixels -> named floats.

    Keys: `dc_phase_variation` and `nearest_residual` at `period`; `line_p2_db`, `line_p4_db`, `line_p8_db`, each the
    largest over the orientations and left out where the image does not show the period three times (8 needs 24
    pixels); `radial_corner_db`. Meant for a decoder's response to a constant, where all of them are about zero unless
    the decoder makes a pattern of its own; on ordinary images the content counts too.

    Raises:
        TypeError, ValueError: see `as_images` and `check_period`; images that are not finite.
    """
    meter = ArtifactMeter(period)
    meter.update(images)
    return meter.compute()
