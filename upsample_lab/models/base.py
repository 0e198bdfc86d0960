"""What every model is: an autoencoder whose decoder ends in images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from upsample_lab.models.matching import Match


class Autoencoder(nn.Module):
    """The base of all models.

    forward(images) -> [N, C, H, W]     reconstructions, after the last activation
    raw(images)     -> [N, C, H, W]     the same before it, for losses that are more exact there (bce)
    decode(latent)  -> [N, C, H, W]     reconstructions from `[N, *latent_shape]`, where no guide is needed
    """

    latent_shape: tuple[int, int, int]
    match: Match | None = None  # how its widths were adjusted to a budget

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def raw(self, images: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no raw")

    def decode_raw(self, latent: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no decode_raw")

    def finish(self, raw: Tensor) -> Tensor:
        """The last activation, in float32: half precision has no more than 256 steps between 0.5 and 1."""
        raw = raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
        return raw.sigmoid() if self.output == "sigmoid" else raw

    def forward(self, images: Tensor) -> Tensor:
        return self.finish(self.raw(images))

    def decode(self, latent: Tensor) -> Tensor:
        return self.finish(self.decode_raw(latent))
