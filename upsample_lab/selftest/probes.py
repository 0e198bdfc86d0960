"""Which pattern each metric is shown, on what, and from which reading on it counts as found."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from upsample_lab.metrics.phases import dc_phase_variation, nearest_residual, phase_variance
from upsample_lab.metrics.spectrum import LINE_PERIODS, ORIENTATIONS, Orientation, RadialPower, line_energy_db

GREY_LEVEL = 1 / 255
AMPLITUDES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Amplitudes of the injected patterns in grey levels of 255; images are neither rounded nor clipped afterwards."""

SET_SIZE = 256
"""Images behind one reading. A pattern counts as found when *every* set of a carrier reads above the threshold."""

Claims = dict[str, dict[int, tuple[float | None, ...]]]


def checkerboard(period: int, orientation: Orientation, height: int, width: int) -> Tensor:
    """A pattern of +1 and -1, `[height, width]`, float64: stripes across one axis, or fields of half a period."""
    rows, columns = (torch.where(torch.arange(n) % period < period // 2, 1.0, -1.0).double() for n in (height, width))
    match orientation:
        case "horizontal":
            return columns.expand(height, width)
        case "vertical":
            return rows[:, None].expand(height, width)
        case "diagonal":
            return rows[:, None] * columns


@dataclass(frozen=True)
class MetricProbe:
    """One metric under test.

    Attributes:
        measure: `(clean images, pattern, period, orientation) -> reading`, the pattern already scaled.
        threshold: a reading above it is a find.
        unit: of the reading, for the figure.
        condition: how the pattern is shown, for readers.
        periods, orientations: what the metric claims to see.
        relative: the threshold is a rise above the reading of the clean images, not a level.
        claims: carrier -> period -> amplitude in grey levels from which on the metric finds the pattern, in each of
            `orientations`. None: not found up to the largest amplitude.
    """

    measure: Callable[[Tensor, Tensor, int, Orientation], float]
    threshold: float
    unit: str
    condition: str
    periods: tuple[int, ...] = LINE_PERIODS
    orientations: tuple[Orientation, ...] = ORIENTATIONS
    relative: bool = False
    claims: Claims = field(default_factory=dict)


def _line(images: Tensor, pattern: Tensor, period: int, orientation: Orientation) -> float:
    return line_energy_db(images + pattern, (period,))[period][orientation]


def _residual(images: Tensor, pattern: Tensor, period: int, orientation: Orientation) -> float:
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return phase_variance(blurred + pattern - images, period).ratio


def _corner(images: Tensor, pattern: Tensor, period: int, orientation: Orientation) -> float:
    radial = RadialPower()
    radial.update(images + pattern)
    return radial.corner_db()


def _blocks(images: Tensor, pattern: Tensor, period: int, orientation: Orientation) -> float:
    nearest = F.interpolate(F.avg_pool2d(images, period), scale_factor=period)
    height, width = nearest.shape[-2:]
    return nearest_residual(nearest + pattern[:height, :width], period)


def _constant(images: Tensor, pattern: Tensor, period: int, orientation: Orientation) -> float:
    return dc_phase_variation(torch.full_like(images, 0.5) + pattern, period)


def _everywhere(level: float) -> Claims:
    return {carrier: dict.fromkeys(LINE_PERIODS, (level,) * 3) for carrier in ("mnist", "cifar10_jpeg", "synthetic")}


PROBES: dict[str, MetricProbe] = {
    "line_energy_db": MetricProbe(
        _line,
        3.0,
        "dB",
        "added to the images",
        claims={
            "mnist": {2: (4, 4, 2), 4: (8, 8, 8), 8: (16, None, 16)},
            "cifar10_jpeg": {2: (1, 1, 0.25), 4: (4, 4, 2), 8: (8, 16, 8)},
            "synthetic": {2: (2, 2, 2), 4: (4, 4, 4), 8: (8, 8, 8)},
        },
    ),
    "radial_corner_db": MetricProbe(
        _corner,
        3.0,
        "dB",
        "added to the images",
        periods=(2,),
        orientations=("diagonal",),
        relative=True,
        claims={"mnist": {2: (0.5,)}, "cifar10_jpeg": {2: (0.25,)}, "synthetic": {2: (0.5,)}},
    ),
    "phase_variance": MetricProbe(
        _residual,
        0.01,
        "share of variance",
        "in the error of a 3 x 3 box blur",
        claims=_everywhere(4) | {"cifar10_jpeg": dict.fromkeys(LINE_PERIODS, (2.0,) * 3)},
    ),
    "nearest_residual": MetricProbe(
        _blocks, 1e-6, "share of energy", "added to the images, nearest-upsampled", claims=_everywhere(0.25)
    ),
    "dc_phase_variation": MetricProbe(
        _constant, 1e-3, "share of gain", "added to a constant 0.5", claims=_everywhere(0.25)
    ),
}


def readings(
    probe: MetricProbe, images: Tensor, period: int, orientation: Orientation, amplitude: float
) -> list[float]:
    """One reading for each set of `SET_SIZE` images, with a pattern of `amplitude` grey levels (0: clean)."""
    pattern = amplitude * GREY_LEVEL * checkerboard(period, orientation, images.shape[-2], images.shape[-1])
    return [probe.measure(images_of_set, pattern, period, orientation) for images_of_set in images.split(SET_SIZE)]


def detection_curve(probe: MetricProbe, images: Tensor, period: int, orientation: Orientation) -> list[list[float]]:
    """`readings` at amplitude 0, then at each of `AMPLITUDES`."""
    return [readings(probe, images, period, orientation, amplitude) for amplitude in (0.0, *AMPLITUDES)]


def is_found(probe: MetricProbe, values: list[float], clean: list[float]) -> bool:
    """Whether every set reads above the threshold (or above its own clean reading by as much)."""
    return all(
        value > probe.threshold + (base if probe.relative else 0.0) for value, base in zip(values, clean, strict=True)
    )


def detection_limit(probe: MetricProbe, curve: list[list[float]]) -> float | None:
    """Smallest amplitude from which on every larger one is found too; None when even the largest is not."""
    limit = None
    for amplitude, values in reversed(list(zip(AMPLITUDES, curve[1:], strict=True))):
        if not is_found(probe, values, curve[0]):
            break
        limit = amplitude
    return limit
