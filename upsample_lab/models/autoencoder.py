"""The convolutional encoder-decoder: strided convolutions down, the chosen upsampler up, a bottleneck between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv import Conv2d, applied_weight
from upsample_lab.conv.fast.grey_output import GreyOutput
from upsample_lab.cost import LayerCost
from upsample_lab.models.base import Autoencoder
from upsample_lab.models.layers import norm_and_activation
from upsample_lab.models.seeding import seeded
from upsample_lab.upsamplers import Algorithms, Upsampler

MakeUpsampler = Callable[[int, int], Upsampler]
"""`make(in_channels, out_channels)`; the scale and the options are already chosen."""


class EncoderStage(nn.Sequential):
    """`[N, C_in, s·H, s·W] -> [N, C_out, H, W]`: a convolution of stride s, norm, activation.

    The kernel is 2⌈s/2⌉ + 1 wide with half of it, rounded down, as padding: the smallest odd one that leaves no pixel
    unread, and halves 28 to 14 exactly.
    """

    def __init__(
        self, in_channels: int, out_channels: int, scale: int, *, norm: str, activation: str, algorithm: str
    ) -> None:
        padding = -(-scale // 2)
        conv = Conv2d(
            in_channels,
            out_channels,
            2 * padding + 1,
            stride=scale,
            padding=padding,
            bias=norm != "batch",  # batch norm would subtract it again
            algorithm=algorithm,
        )
        super().__init__(conv, *norm_and_activation(norm, out_channels, activation))


class DecoderStage(nn.Module):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: the upsampler, norm, activation."""

    def __init__(self, upsampler: Upsampler, *, norm: str, activation: str) -> None:
        super().__init__()
        self.upsampler = upsampler
        self.norm, self.activation = norm_and_activation(norm, upsampler.out_channels, activation)

    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        output: Tensor = self.activation(self.norm(self.upsampler(input, guide)))
        return output


class ConvolutionalAutoencoder(Autoencoder):
    """Encoder stages to `widths[-1]` channels, a 1x1 convolution to the latent, and the mirror image of both.

    `decoder_widths` are the channels that enter the first decoder stage, and that leave each of them.

    The latent has `latent_channels · (H / total stride) · (W / total stride)` numbers: few enough that the decoder has
    something to make up.
    """

    takes_any_size = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        make_upsampler: MakeUpsampler,
        *,
        widths: Sequence[int],
        decoder_widths: Sequence[int],
        latent_channels: int,
        scale: int,
        norm: str,
        activation: str,
        output: str,
        algorithms: Algorithms,
        seed: int,
    ) -> None:
        super().__init__(output)
        channels, height, width = image_shape
        stride = scale ** len(widths)
        self.scale = scale
        self.latent_shape = (latent_channels, height // stride, width // stride)
        style: dict[str, Any] = {"norm": norm, "activation": activation}

        self.encoder = nn.ModuleList()
        for stage, (c_in, c_out) in enumerate(pairwise([channels, *widths])):
            with seeded(seed, f"encoder {stage}"):
                self.encoder.append(EncoderStage(c_in, c_out, scale, algorithm=algorithms.conv2d, **style))
        with seeded(seed, "bottleneck"):
            self.to_latent = Conv2d(widths[-1], latent_channels, 1, algorithm=algorithms.conv2d)
            from_latent = Conv2d(
                latent_channels, decoder_widths[0], 1, bias=norm != "batch", algorithm=algorithms.conv2d
            )
        self.from_latent = nn.Sequential(from_latent, *norm_and_activation(norm, decoder_widths[0], activation))

        self.decoder = nn.ModuleList()
        for stage, (c_in, c_out) in enumerate(pairwise(decoder_widths)):
            with seeded(seed, f"decoder {stage}"):
                self.decoder.append(DecoderStage(make_upsampler(c_in, c_out), **style))
        with seeded(seed, "output"):
            self.to_image = GreyOutput(decoder_widths[-1], channels, 3, algorithm=algorithms.conv2d)

    def decoder_stages(self) -> Sequence[nn.Module]:
        return tuple(self.decoder)

    def encode(self, images: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """The latent `[N, *latent_shape]`, and for each decoder stage the guide that its upsampler needs, or None."""
        guides: list[Tensor | None] = []
        features = images
        for stage in self.encoder:
            guides.append(self._guide(features, stage) if self.needs_guide else None)
            features = stage(features)
        return self.to_latent(features), guides[::-1]

    def _guide(self, features: Tensor, stage: nn.Module) -> Tensor:
        """Where the maximum of each s x s window lies, for the features that the stage is about to downsample.

        A decoder stage has as many channels as the encoder has at its place, but for the images themselves: there the
        brightest channel's maximum is taken, one guide for all channels.
        """
        if stage is self.encoder[0]:
            features = features.amax(1, keepdim=True)
        _, indices = F.max_pool2d(features, self.scale, return_indices=True)
        return indices

    def raw(self, images: Tensor) -> Tensor:
        return self.decode_raw(*self.encode(images))

    def decode_raw(self, latent: Tensor, guides: Sequence[Tensor | None] | None = None) -> Tensor:
        features = self.from_latent(latent)
        for stage, guide in zip(self.decoder, guides or [None] * len(self.decoder), strict=True):
            features = stage(features, guide)
        output: Tensor = self.to_image(features)
        return output

    def layer_costs(self, image_shape: tuple[int, int, int]) -> list[LayerCost]:
        _, height, width = image_shape
        found = []

        def add(name: str, layer: Any, *, up: int = 1, down: int = 1, normalised: bool = True) -> None:
            nonlocal height, width
            c_in, c_out = (getattr(layer, f"{side}_channels") for side in ("in", "out"))
            before = height * width
            per_pixel = layer.macs_per_pixel(height, width) if isinstance(layer, Upsampler) else layer.weight.numel()
            height, width = height * up // down, width * up // down
            macs = per_pixel * height * width
            found.append(LayerCost(name, macs, c_in * before, c_out * height * width, normalised))

        stages: tuple[Any, Any] = self.encoder, self.decoder
        for number, stage in enumerate(stages[0]):
            add(f"encoder {number}", stage[0], down=self.scale)
        add("to latent", self.to_latent, normalised=False)
        add("from latent", self.from_latent[0])
        for number, stage in enumerate(stages[1]):
            add(f"decoder {number}", stage.upsampler, up=self.scale)
        add("to image", self.to_image, normalised=False)
        return found

    @torch.no_grad()
    def decoder_kernels(self) -> dict[str, Tensor]:
        """The first and the last kernel that the decoder applies and that have an extent in space, `[A, B, k, k]`."""
        kernels: dict[str, Tensor] = {}
        for name, module in self.named_modules():
            if not name.startswith(("decoder.", "to_image")) or ".parametrizations" in name:
                continue
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                kernels[f"{name}.weight"] = applied_weight(module)
            else:
                own = module.named_parameters(name, recurse=False)
                kernels |= {key: parameter for key, parameter in own if parameter.ndim == 4}
        names = [name for name, weight in kernels.items() if max(weight.shape[-2:]) > 1]
        return {name: kernels[name].to(torch.float32) for name in dict.fromkeys([names[0], names[-1]])}
