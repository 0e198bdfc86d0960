"""Test images that show by eye what the figures say: a constant, an edge, a slanted edge, a zone plate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import Gains, Response, Responses, frozen_array

SLANT_DEG = 5.0  # of the slanted edge against the vertical: ISO 12233 uses it to sample an edge at all distances


def measure_responses(probe: Probe, gains: Gains) -> Responses:
    """What one output channel, that of the largest gain, makes of each test image in all input channels.

    An image's 1 is the operating point.
    """
    means = (gains.gain - gains.offset).mean(axis=(1, 2))
    channel = int(abs(means).argmax())
    response, offset = float(means[channel]), float(gains.offset[channel].mean())
    divisor = response if abs(response) > 1e-12 else 1.0

    def respond(title: str, image: Tensor) -> Response:
        images = image * probe.image(*image.shape)
        output = probe.fitted(probe(images), (image.shape[-2], image.shape[-1]))[0, channel]
        return Response(title, frozen_array(image), frozen_array((output - offset) / divisor))

    size = probe.size
    return Responses(
        channel=channel,
        gain=response / probe.level,
        constant=respond("constant", torch.ones(size, size, dtype=torch.float64)),
        edge=respond("edge", slanted_edge(size, 0.0)),
        slanted_edge=respond(f"edge slanted by {SLANT_DEG:g} degrees", slanted_edge(size, SLANT_DEG)),
        zone_plate=respond("zone plate", zone_plate(size)),
    )


def slanted_edge(size: int, degrees: float) -> Tensor:
    """`[size, size]`: 0 on the left, 1 on the right, each pixel its covered area (to first order in the slant)."""
    position = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    distance = position - math.tan(math.radians(degrees)) * position[:, None]
    return (distance + 0.5).clamp(0, 1) if degrees else (distance > 0).double()


def zone_plate(size: int) -> Tensor:
    """`[size, size]` in [0, 1]: rings of rising frequency, 0 in the middle, Nyquist's limit at the middle of each side.

    `(1 + cos(π r² / size)) / 2`; the local frequency is `r / size` cycles a pixel.
    """
    position = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    radius_squared = position[:, None].square() + position.square()
    return (1 + torch.cos(math.pi * radius_squared / size)) / 2
