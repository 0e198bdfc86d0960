"""The response to one input pixel: where it lies, how far it reaches, and what shape each phase of it has.

With `h[o, i, m]` the response of output channel `o`, at output position `m`, to a unit pixel of input channel `i` at
`n`, phase `p` of the operator is the filter `h[s·k + p]`, and the ideal place of the whole is the centre of the input
pixel on the output grid, `s·n + (s - 1) / 2` (pixels are areas: half-pixel centres).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import Array, Impulse, PerAxis, frozen_array

MAX_CHANNELS = 16  # input channels that get a pixel of their own; of more, as many evenly spread ones
FEW_CHANNELS = 4  # of those, what gets one at two more places: whether places agree is no question of channels
WINDOW_PX = 9  # input pixels of the kernel shown: the longest shown is kaiser's 6 taps, plus a convolution's 2
_OFFSET_PX = 3  # distance of the second and third place from the first
_NEGLIGIBLE = 1e-6  # of the largest tap: central differences of curved modules are exact to about that
_NO_GAIN = 1e-3  # power of the gains over the largest that such taps could have
_ONE_SHAPE = 0.999  # share of the energy above which all pairs of channels have one shape


@dataclass(frozen=True)
class ImpulseTaps:
    """Responses to pixels at three places: `middle` `[C_out, C_in', s·H, s·W]`; `down`, `right` of the channels `few`.

    few    which of `middle`'s C_in' channels were looked at further down and further right too
    """

    middle: Tensor
    down: Tensor
    right: Tensor
    few: tuple[int, ...]
    place: int
    scale: int

    @property
    def centre(self) -> float:
        return self.scale * self.place + (self.scale - 1) / 2


def measure_taps(probe: Probe) -> ImpulseTaps:
    """Responses to single pixels, one input channel at a time."""
    n = probe.size // 2
    channels = spread(probe.in_channels, MAX_CHANNELS)
    few = spread(len(channels), FEW_CHANNELS)
    middle = _responses(probe, (n, n), channels)
    down, right = (
        _responses(probe, place, [channels[i] for i in few]) for place in ((n + _OFFSET_PX, n), (n, n + _OFFSET_PX))
    )
    return ImpulseTaps(middle, down, right, tuple(few), place=n, scale=probe.scale)


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` indices, evenly spread."""
    return sorted({i * count // limit for i in range(limit)})


def _responses(probe: Probe, place: tuple[int, int], channels: list[int]) -> Tensor:
    size = probe.size
    images = torch.zeros(len(channels), probe.in_channels, size, size, dtype=torch.float64)
    for row, channel in enumerate(channels):
        images[row, channel, place[0], place[1]] = 1
    return probe.fitted(probe.slope(images), (size, size)).transpose(0, 1)


def measure_impulse(taps: ImpulseTaps, learned: bool = False) -> Impulse:
    """`Impulse` of the responses, and whether their weights are learned, so that one pair says nothing of another."""
    kernel, signed, share = _common_shape(_window(taps))
    support = _support(taps.middle)
    return Impulse(
        kernel=frozen_array(kernel),
        kernel_is_signed=signed,
        shape_share=share,
        pair_count=taps.middle.shape[0] * taps.middle.shape[1],
        phase_delay_px=frozen_array(_phase_delays(taps)),
        delay_px=_delays(taps.middle, _positions(taps), _positions(taps)),
        delay_error_px=_delay_errors(taps.middle, _positions(taps), _positions(taps), learned),
        support_px=_extent(support, taps),
        support_shift_px=_support_shift(support, taps),
        magnification=_magnification(taps),
        position_error=_position_error(taps),
    )


def taps_per_phase(taps: ImpulseTaps) -> Array:
    """`[s, s]` input pixels whose value reaches each phase: a smooth operator has equally many for all."""
    strongest = taps.middle.abs().amax(dim=(0, 1))
    reached = strongest > _NEGLIGIBLE * strongest.max()
    s = taps.scale
    return frozen_array([[int(reached[y::s, x::s].sum()) for x in range(s)] for y in range(s)])


def _window(taps: ImpulseTaps) -> Tensor:
    """The part around the pixel that is shown, `[pairs, 9s, 9s]`."""
    half = WINDOW_PX // 2
    start, stop = taps.scale * (taps.place - half), taps.scale * (taps.place + half + 1)
    return taps.middle[:, :, start:stop, start:stop].flatten(0, 1)


def _common_shape(kernels: Tensor) -> tuple[Tensor, bool, float]:
    """The kernel that stands for all pairs: their common shape with its sign, or the root mean square."""
    flat = kernels.flatten(1)
    energy = flat.square().sum()
    if energy == 0:
        return kernels.mean(dim=0), True, 1.0
    strength, shape = _strongest(flat)
    share = strength**2 / float(energy)
    present = _connected(flat).sum()
    if share < _ONE_SHAPE:
        return (kernels.square().sum(dim=0) / present).sqrt(), False, share
    shape = shape.reshape(kernels.shape[1:])
    return shape * strength / present.sqrt() * torch.sign(shape.sum()), True, share


def _strongest(rows: Tensor) -> tuple[float, Tensor]:
    """The largest singular value of `[pairs, pixels]` and its right vector, from the smaller of the two Gram matrices.

    A whole decomposition of a wide decoder's kernels takes longer than all else that is measured of it.
    """
    if rows.shape[0] > rows.shape[1]:
        vector = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
    else:
        vector = rows.T @ torch.linalg.eigh(rows @ rows.T).eigenvectors[:, -1]
    vector = vector / vector.norm()
    return float((rows @ vector).norm()), vector


def _connected(flat: Tensor) -> Tensor:
    """`[pairs]`: those with a response at all, which of a depthwise filter are the pairs of equal channels."""
    power = flat.square().sum(dim=1)
    return power > _NEGLIGIBLE**2 * power.sum()


def _delays(response: Tensor, rows: Tensor, columns: Tensor) -> PerAxis:
    """Group delay at frequency 0 along each axis, `Σ g Σ m h / Σ g²` over pairs with gain `g = Σ h`; NaN without gain.

    It is `-dφ/dω` of each pair's response, weighted with its power: the place where a slowly varying image goes. `rows`
    and `columns` are the positions `m`.
    """
    gains = response.sum(dim=(2, 3))
    power, possible = gains.square().sum(), response.abs().sum(dim=(2, 3)).square().sum()
    if power <= _NO_GAIN * possible or possible == 0:
        return float("nan"), float("nan")
    down = (gains * (response.sum(dim=3) @ rows)).sum() / power
    right = (gains * (response.sum(dim=2) @ columns)).sum() / power
    return float(down), float(right)


def _delay_errors(response: Tensor, rows: Tensor, columns: Tensor, learned: bool) -> PerAxis:
    """Standard error of `_delays` along each axis, that of a ratio of sums over pairs of channels; NaN without gain."""
    delay = _delays(response, rows, columns)
    connected = _connected(response.flatten(2).flatten(0, 1))
    count = int(connected.sum())
    if count < 2:
        return (float("nan"), float("nan")) if learned else (0.0, 0.0)
    gains = response.sum(dim=(2, 3))
    moments = response.sum(dim=3) @ rows, response.sum(dim=2) @ columns
    errors = []
    for value, moment in zip(delay, moments, strict=True):
        residual = (gains * moment - value * gains.square()).square().sum()
        errors.append(float((residual * count / (count - 1)).sqrt() / gains.square().sum()))
    return errors[0], errors[1]


def _positions(taps: ImpulseTaps, offset_px: int = 0) -> Tensor:
    """Output positions relative to the ideal place of an input pixel, `offset_px` input pixels beyond the middle.

    They wrap around half an image away, so that a response without end (a periodic sinc) is seen evenly on both sides.
    """
    length = taps.middle.shape[-1]
    position = torch.arange(length, dtype=torch.float64) - (taps.centre + taps.scale * offset_px)
    return torch.remainder(position + length / 2, length) - length / 2


def _magnification(taps: ImpulseTaps) -> PerAxis:
    """The scale, and what the responses to pixels further down and right have moved beyond it."""
    here, further = _positions(taps), _positions(taps, _OFFSET_PX)
    middle = _delays(taps.middle[:, list(taps.few)], here, here)
    down = _delays(taps.down, further, here)[0] - middle[0]
    right = _delays(taps.right, here, further)[1] - middle[1]
    return taps.scale + down / _OFFSET_PX, taps.scale + right / _OFFSET_PX


def _phase_delays(taps: ImpulseTaps) -> Tensor:
    """`[s, s, 2]`: where the samples of each phase put a slowly varying image, against the ideal place.

    The filter of phase `p` is `h[s·k + p]`; with centroid `c` over `k` its samples lie around `s·c + p`. The phases of
    bilinear agree; those of nearest differ by up to `s - 1` pixels, which is what makes its edges jagged.
    """
    s, position = taps.scale, _positions(taps)
    delays = [
        [_delays(taps.middle[:, :, y::s, x::s], position[y::s], position[x::s]) for x in range(s)] for y in range(s)
    ]
    return torch.tensor(delays, dtype=torch.float64)


def _support(response: Tensor) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """First and last row and column that are reached, or None if nothing is."""
    strongest = response.abs().amax(dim=(0, 1))
    reached = strongest > _NEGLIGIBLE * strongest.max()
    if strongest.max() == 0:
        return None
    rows, columns = torch.nonzero(reached.any(dim=1)).flatten(), torch.nonzero(reached.any(dim=0)).flatten()
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))


def _is_compact(support: tuple[tuple[int, int], tuple[int, int]] | None, taps: ImpulseTaps) -> bool:
    """Whether the support ends before the image does."""
    last = taps.middle.shape[-1] - 1
    return support is not None and all(start > 0 and stop < last for start, stop in support)


def _extent(support: tuple[tuple[int, int], tuple[int, int]] | None, taps: ImpulseTaps) -> tuple[int, int] | None:
    if support is None or not _is_compact(support, taps):
        return None
    (top, bottom), (left, right) = support
    return bottom - top + 1, right - left + 1


def _support_shift(support: tuple[tuple[int, int], tuple[int, int]] | None, taps: ImpulseTaps) -> PerAxis | None:
    if support is None or not _is_compact(support, taps):
        return None
    (top, bottom), (left, right) = support
    return (top + bottom) / 2 - taps.centre, (left + right) / 2 - taps.centre


def _position_error(taps: ImpulseTaps) -> float:
    """Difference between the responses at two places, moved onto each other, relative."""
    step = taps.scale * _OFFSET_PX
    middle, moved_down, moved_right = taps.middle[:, list(taps.few)], taps.down[:, :, step:], taps.right[..., step:]
    error = (moved_down - middle[:, :, :-step]).square().sum()
    error = error + (moved_right - middle[..., :-step]).square().sum()
    energy = 2 * middle.square().sum()
    return float((error / energy).sqrt()) if energy > 0 else 0.0
