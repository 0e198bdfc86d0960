"""The small pieces that encoder and decoder share: norm and activation by name."""

from __future__ import annotations

import math

from torch import nn

NORM_GROUPS = 8  # channels are split into at most this many groups, as many as divide them


def make_norm(name: str, channels: int) -> nn.Module:
    """`batch`, `group` (Wu & He 2018) or `none`."""
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(math.gcd(NORM_GROUPS, channels), channels)
    return nn.Identity()


def make_activation(name: str) -> nn.Module:
    """`relu`, `leaky_relu` (slope 0.2), `silu` or `gelu`."""
    makers = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
    return nn.LeakyReLU(0.2) if name == "leaky_relu" else makers[name]()
