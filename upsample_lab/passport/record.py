"""What a passport holds: a tree of frozen dataclasses of plain numbers, words and read-only NumPy arrays.

Axes: an array's last two axes are vertical, then horizontal; pairs of numbers are `(vertical, horizontal)`. Lengths
in `_px` are pixels of the *output*; frequencies are cycles per *input* pixel, so that 0.5 is the input's Nyquist limit
whatever the scale.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PerAxis = tuple[float, float]
PerSide = dict[str, float]

DB_CEILING = 150.0
"""What ratios of exact agreement get instead of infinity: float64 sums of this size round at some -300 dB."""

JSON_DIGITS = 6  # significant digits of an array's numbers in JSON; scalars are written in full


def decibels(power: float, reference: float) -> float:
    """`10 log10(power / reference)` within ± `DB_CEILING`; 0/0 counts as exact agreement, which is the ceiling."""
    if reference <= 0:
        return DB_CEILING
    if power <= 0:
        return -DB_CEILING
    return max(-DB_CEILING, min(DB_CEILING, 10 * math.log10(power / reference)))


@dataclass(frozen=True)
class Subject:
    """What was measured, and how: everything that is needed to read the figures.

    operating_point   value of all pixels, or of each channel's, around which a non-linear module was measured
    linearity_error   violation of f(au + (1-a)v) = a f(u) + (1-a) f(v), relative; about 1e-15 for an affine module
    repeat_error      relative difference between two calls with the same input; 0 for a deterministic module
    precision         dtype of the measurements (not of the latencies)
    guide             what a module that needs a guide was given, or nothing
    """

    name: str
    kind: str
    scale: int
    in_channels: int
    out_channels: int
    size_px: int
    seed: int
    operating_point: float | tuple[float, ...]
    linearity_error: float
    linear: bool
    repeat_error: float
    precision: str
    device: str
    guide: str
    output_sizes: dict[str, str]
    wrong_sizes: tuple[str, ...]

    @property
    def point(self) -> str:
        """The operating point in words: `the constant 1`."""
        one = isinstance(self.operating_point, int | float)
        return f"the constant {self.operating_point:g}" if one else "the given constant of each channel"


@dataclass(frozen=True, eq=False)
class Gains:
    """The response to a constant, the operating point, by phase.

    gain     [C_out, s, s] mean of each phase over the interior, bias included
    offset   [C_out, s, s] the part of it that does not grow with the constant: what the biases do
    dc_phase_variation          of `gain`, relative: deviation over phases, over the root mean square; biases included
    weight_phase_variation      relative likewise, of the part that does, `gain - offset`: the weights alone
    bias_phase_variation        root of the variance of `offset` over phases, over the root mean square of `gain`
    taps                        [s, s] input pixels that reach each phase
    """

    gain: Array
    offset: Array
    dc_phase_variation: float
    weight_phase_variation: float
    bias_phase_variation: float
    taps: Array


@dataclass(frozen=True, eq=False)
class Border:
    """The response to a constant at the border, relative to the interior's pattern.

    ratio          by side: projection of the outermost input pixel's width (s output pixels) on the interior's pattern
    deviation      by side: root mean square difference there, relative
    width_px       by side: how deep a difference above `TOLERANCE` reaches
    profile        [4, d] `ratio` by side (top, bottom, left, right) for the d outermost input pixels
    worst          the side with the largest deviation
    fails          the sides whose deviation is above `TOLERANCE`
    """

    ratio: PerSide
    deviation: PerSide
    width_px: dict[str, int]
    profile: Array
    worst: str
    fails: tuple[str, ...]

    TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Impulse:
    """The response to one input pixel, pooled over pairs of channels.

    kernel              [9s, 9s] the 9 input pixels around; signed when all pairs share one shape, else root mean square
    kernel_is_signed    which of the two it is
    shape_share         energy that the best common shape explains, 1 for resize operators and fixed filters
    pair_count          pairs of channels measured
    phase_delay_px      [s, s, 2] shift of each phase against its ideal place; NaN where a phase has no gain
    delay_px            shift of a slowly varying image (group delay at frequency 0); NaN without gain
    delay_error_px      standard error of that over pairs of channels: 0 where all have one shape, NaN for a single pair
                        whose weights are learned, which says nothing of others
    support_px          extent of the response; None where it fills the image
    support_shift_px    centre of that extent against the ideal place
    magnification       distance between the responses to two pixels over that of the pixels: the scale, if all is well
    position_error      relative difference between the responses at two places
    """

    kernel: Array
    kernel_is_signed: bool
    shape_share: float
    pair_count: int
    phase_delay_px: Array
    delay_px: PerAxis
    delay_error_px: PerAxis
    support_px: tuple[int, int] | None
    support_shift_px: PerAxis | None
    magnification: PerAxis
    position_error: float

    @property
    def shift_px(self) -> PerAxis:
        """Where an image lies against its ideal place.

        Where all pairs of channels have one shape, as those of a fixed filter have, slow content tells it, weights
        included; else the support does, which is where the weights are, and does not depend on chance.
        """
        certain = self.kernel_is_signed and all(map(math.isfinite, (*self.delay_px, *self.delay_error_px)))
        return self.delay_px if certain or self.support_shift_px is None else self.support_shift_px


@dataclass(frozen=True, eq=False)
class Frequency:
    """Frequency response, root mean square over pairs of channels, in dB relative to frequency 0.

    frequency           [F] cycles per input pixel, 0 to s/2
    vertical_db         [F] along the vertical axis; `horizontal_db`, `diagonal_db` likewise
    plane_frequency     [P] cycles per input pixel, -s/2 to s/2
    plane_db            [P, P]
    image_rejection_db      energy below the input's Nyquist limit over energy above it, for white noise; the integrals
                            over frequency, here and below, are exact
    half_band_rejection_db  the same for an input that has only the lower half of its band
    dc_rejection_db         the same for a constant: how far the checkerboard lies below it
    droop_db                (vertical, horizontal) gain at half band, 0.25 cycles per input pixel, relative to 0
    """

    frequency: Array
    vertical_db: Array
    horizontal_db: Array
    diagonal_db: Array
    plane_frequency: Array
    plane_db: Array
    image_rejection_db: float
    half_band_rejection_db: float
    dc_rejection_db: float
    droop_db: PerAxis


@dataclass(frozen=True, eq=False)
class Equivariance:
    """Agreement of "shift, then upsample" with "upsample, then shift", in dB (signal over error; higher is better).

    NaN where the module refused the images.

    integer_db      shifts by one input pixel, the worse axis
    bandwidth       [B] band of the test image, as a fraction of the input's Nyquist limit
    half_pixel_db   [B] shifts by half an input pixel, exact by sinc interpolation, the worse axis
    """

    integer_db: float
    bandwidth: Array
    half_pixel_db: Array


@dataclass(frozen=True, eq=False)
class Response:
    """One test image in all input channels, and what one output channel makes of it, divided by its gain."""

    title: str
    input: Array
    output: Array


@dataclass(frozen=True, eq=False)
class Responses:
    """constant, edge, slanted edge, zone plate. `channel` is the output channel with the largest gain."""

    channel: int
    gain: float
    constant: Response
    edge: Response
    slanted_edge: Response
    zone_plate: Response

    def all(self) -> tuple[Response, ...]:
        return self.constant, self.edge, self.slanted_edge, self.zone_plate


@dataclass(frozen=True, eq=False)
class Stage:
    """One upsampling stage of a composition, fed what the stages before it make of a constant.

    name                its path in the module
    scale               factor of this stage
    period_px           period, in the final output, of the pattern that only this and earlier stages can make
    energy              new energy of that period in the final output (squared output units)
    share               of the new energies of all periods
    own_phase_variation DC-phase variation of the stage's own output, with the pattern that it was given
    """

    name: str
    scale: int
    period_px: int
    energy: float
    share: float
    own_phase_variation: float


@dataclass(frozen=True, eq=False)
class Stages:
    """The checkerboard of a composition, by stage. `culprit` is empty when there is no checkerboard to speak of."""

    stages: tuple[Stage, ...]
    phase_variation: float
    culprit: str


@dataclass(frozen=True, eq=False)
class GradientSide:
    """What back-propagating ones leaves at the input: the transposed operator's response to a constant.

    NaN where no gradient can be had: a forward pass under `no_grad` or `inference_mode`, or through NumPy.

    mean                [C_in] mean over the interior
    relative            [H, W] projection on that mean: 1 everywhere for an even gradient
    interior_variation  spread over the interior, relative
    border_ratio        mean of `relative` over the outermost ring
    """

    mean: Array
    relative: Array
    interior_variation: float
    border_ratio: float


@dataclass(frozen=True)
class Timing:
    """Cost of one dtype and memory format, medians in milliseconds; None with a note where it does not run."""

    dtype: str
    memory_format: str
    forward_ms: float | None
    backward_ms: float | None
    forward_peak_bytes: int | None
    backward_peak_bytes: int | None
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """Counts and times for one input of shape `input_shape`.

    macs_per_pixel          multiply-accumulates per output pixel position (all channels), as dispatched
    macs_per_pixel_formula  the same by the module's own formula, where it has one
    bytes_moved             forward: bytes that the dispatched operations read and write, nothing fused, float32
    """

    parameter_count: int
    trainable_count: int
    input_shape: tuple[int, int, int, int]
    macs_per_pixel: float
    macs_per_pixel_formula: float | None
    backward_macs_per_pixel: float
    bytes_moved: int
    backward_bytes_moved: int
    repeats: int
    threads: int
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: `code` to select it by, `message` what and how much, `fix` the one change that mends it.

    severity   `error` unusable as an upsampler · `defect` leaves artifacts · `note` usual, and worth knowing
    seen       `measured` from outside, or `inspected` in a known module type
    where      path of the module, where one was found
    """

    code: str
    severity: str
    message: str
    fix: str
    seen: str
    where: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """All that is measured of one upsampler alone. `cost` is None where it was not asked for, or could not be had."""

    subject: Subject
    gains: Gains
    border: Border
    impulse: Impulse
    frequency: Frequency
    equivariance: Equivariance
    responses: Responses
    stages: Stages
    gradient: GradientSide
    cost: Cost | None
    findings: tuple[Finding, ...]


def plain(value: Any) -> Any:
    """Dataclasses, arrays and numbers as what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return plain([float(f"{x:.{JSON_DIGITS}g}") for x in value.tolist()] if value.ndim == 1 else list(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def frozen_array(value: Any) -> Array:
    """A read-only float64 copy of numbers, a NumPy array or a torch tensor."""
    array = np.array(value.tolist() if hasattr(value, "tolist") else value, dtype=np.float64)
    array.setflags(write=False)
    return array
