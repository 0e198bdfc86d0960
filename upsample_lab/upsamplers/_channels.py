"""Channels that match: how an initial kernel maps images to images when their numbers of channels differ."""

from __future__ import annotations

import torch
from torch import Tensor


def matching_channels(in_channels: int, out_channels: int) -> Tensor:
    """The matrix `[C_in, C_out]` that passes each channel on, with columns that sum to 1.

    Channels match when their numbers agree modulo the smaller count. So it is the identity for equal counts; more
    outputs than inputs repeat the inputs; fewer outputs average the inputs that match.
    """
    fewer = min(in_channels, out_channels)
    match = torch.arange(in_channels)[:, None] % fewer == torch.arange(out_channels) % fewer
    return match / match.sum(0)
