"""What every model is: an autoencoder whose decoder ends in images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from upsample_lab.cost import LayerCost, count_macs_of_shape
from upsample_lab.models.matching import Match


class Autoencoder(nn.Module):
    """The base of all models.

    forward(images) -> [N, C, H, W]     reconstructions, after the last activation
    raw(images)     -> [N, C, H, W]     the same before it, for losses that are more exact there (bce)
    decode(latent)  -> [N, C, H, W]     reconstructions from `[N, *latent_shape]`, where no guide is needed

    What a model has is said by itself: `takes_any_size`, whether it takes images of any size (a multiple of its
    stride); its decoder's stages and kernels; `needs_guide`, whether the decoder needs more than the latent.
    """

    latent_shape: tuple[int, int, int]
    match: Match | None = None  # how its widths were adjusted to a budget
    takes_any_size = False

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def raw(self, images: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no raw")

    def decode_raw(self, latent: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no decode_raw")

    def layer_costs(self, image_shape: tuple[int, int, int]) -> list[LayerCost]:
        """Its convolutions, upsamplers and linear layers for one image `(C, H, W)`, in order, from their sizes alone.

        A model that lists none is counted by what one forward pass of it does.
        """
        return []

    def encode(self, images: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        """The latent, and for each decoder stage the guide that its upsampler needs, or None."""
        raise NotImplementedError(f"{type(self).__name__} defines no encode")

    def decoder_stages(self) -> Sequence[nn.Module]:
        """The stages of the decoder that enlarge, in order; each has its upsampler as `.upsampler`."""
        return ()

    @property
    def needs_guide(self) -> bool:
        return any(stage.upsampler.needs_guide for stage in self.decoder_stages())  # type: ignore[union-attr]

    def decoder_kernels(self) -> dict[str, Tensor]:
        """Kernels to be drawn, by name, `[A, B, k, k]`."""
        return {}

    def finish(self, raw: Tensor) -> Tensor:
        """The last activation, in float32: half precision has no more than 256 steps between 0.5 and 1."""
        raw = raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
        return raw.sigmoid() if self.output == "sigmoid" else raw

    def forward(self, images: Tensor) -> Tensor:
        return self.finish(self.raw(images))

    def decode(self, latent: Tensor) -> Tensor:
        return self.finish(self.decode_raw(latent))


ENCODER_PARTS = ("encoder.", "to_latent.")


def decoder_parameter_count(model: Autoencoder) -> int:
    """Parameters of everything after the latent."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(ENCODER_PARTS))


def macs_per_image(model: Autoencoder, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image `(C, H, W)`, forward through the whole model; it may be on the meta device.

    Upsamplers count by their own formula, a convolution by `positions · weights`, a linear layer by its weights. So the
    figure is that of the method: no algorithm or library that computes it changes it. Of a plugin's model that lists
    no layers one forward pass is counted instead, by the same conventions (`cost.py`).
    """
    layers = model.layer_costs(image_shape)
    return round(sum(layer.macs for layer in layers)) or count_macs_of_shape(model, model.raw, 1, *image_shape)
