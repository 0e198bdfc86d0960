"""The response to a constant: what each phase makes of it, and what the border does to it."""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.metrics import dc_phase_variation
from upsample_lab.metrics.phases import interior, phase_means
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import Array, Border, Gains, frozen_array

SIDES = ("top", "bottom", "left", "right")
_PROFILE_PX = 6  # input pixels from the border inwards that the profile shows
_ROUNDING = 1e-9  # of a float64 sum, relative; larger differences are the module's


def measure_gains(probe: Probe, taps: Array) -> Gains:
    """`Gains` from the response to the operating point and its derivative; `taps` comes from the impulse response."""
    response = probe.constant()
    weights = probe.level * probe.constant_slope()
    gain, offset = _phases(response, probe.scale), _phases(response - weights, probe.scale)
    mean_square = gain.square().mean()
    bias_variance = offset.flatten(1).var(dim=1, correction=0).mean()
    return Gains(
        gain=frozen_array(gain),
        offset=frozen_array(offset),
        dc_phase_variation=_tidy(dc_phase_variation(response, probe.scale)),
        weight_phase_variation=_tidy(dc_phase_variation(weights, probe.scale)),
        bias_phase_variation=_tidy(float((bias_variance / mean_square).sqrt()) if mean_square > 0 else 0.0),
        taps=taps,
    )


def _phases(images: Tensor, period: int) -> Tensor:
    """`[1, C, H, W] -> [C, period, period]` means over the interior."""
    return phase_means(interior(images, period), period)[0]


def _tidy(value: float) -> float:
    return value if value > _ROUNDING else 0.0


def measure_border(probe: Probe) -> Border:
    """Compare the border of the response to a constant with the pattern of its interior."""
    response, s = probe.constant()[0], probe.scale
    pattern = _phases(response[None], s).repeat(1, probe.size, probe.size)
    # An interior without any response has no pattern to compare with: the whole image's energy stands for it.
    energy = float(pattern.square().mean()) or float(response.square().mean()) or 1.0
    error = (response - pattern).square()
    turned = {side: (_from(side, response * pattern), _from(side, error)) for side in SIDES}
    ratio, deviation, width, profile = {}, {}, {}, []
    for side, (product, square) in turned.items():
        blocks = product.mean(dim=(0, 2)).unflatten(0, (probe.size, s)).mean(dim=1) / energy
        rows = (square.mean(dim=(0, 2)) / energy).sqrt()
        failing = torch.nonzero(rows[: rows.numel() // 2] > Border.TOLERANCE).flatten()
        ratio[side] = float(blocks[0])
        deviation[side] = _tidy(float(rows[:s].square().mean().sqrt()))
        width[side] = int(failing.max()) + 1 if failing.numel() else 0
        profile.append(blocks[:_PROFILE_PX].tolist())
    return Border(
        ratio=ratio,
        deviation=deviation,
        width_px=width,
        profile=frozen_array(profile),
        worst=max(SIDES, key=lambda side: deviation[side]),
        fails=tuple(side for side in SIDES if deviation[side] > Border.TOLERANCE),
    )


def _from(side: str, image: Tensor) -> Tensor:
    """`[C, H, W]` turned so that the side is on top, less the corners' quarters, which belong to two sides."""
    if side in ("left", "right"):
        image = image.transpose(1, 2)
    if side in ("bottom", "right"):
        image = image.flip(1)
    quarter = image.shape[2] // 4
    return image[:, :, quarter : image.shape[2] - quarter]
