"""The models that are trained: a convolutional encoder-decoder around the upsampler, and a fully connected one."""

from __future__ import annotations

import dataclasses

from upsample_lab.config import ConvolutionalModel, ConvOptions, MlpModel, ModelOptions, UpsampleOptions
from upsample_lab.models.autoencoder import ConvolutionalAutoencoder
from upsample_lab.models.base import Autoencoder
from upsample_lab.models.cost import decoder_parameter_count, macs_per_image
from upsample_lab.models.mlp import FullyConnectedAutoencoder
from upsample_lab.upsamplers import Algorithms, Upsampler, build_upsampler

__all__ = [
    "Autoencoder",
    "ConvolutionalAutoencoder",
    "FullyConnectedAutoencoder",
    "build_model",
    "decoder_parameter_count",
    "macs_per_image",
]


def build_model(
    model: ModelOptions, upsample: UpsampleOptions, conv: ConvOptions, image_shape: tuple[int, int, int], seed: int
) -> Autoencoder:
    """The model of a configuration, with the initial weights of `seed`, on the CPU in float32."""
    if isinstance(model, MlpModel):
        _, height, width = image_shape
        latent_shape = (model.latent_channels, height // model.total_stride, width // model.total_stride)
        return FullyConnectedAutoencoder(
            image_shape,
            latent_shape,
            hidden=model.hidden,
            activation=model.activation,
            output=model.output,
            seed=seed,
        )
    assert isinstance(model, ConvolutionalModel)
    algorithms = Algorithms(conv.conv2d, conv.conv_transpose2d)
    options = dataclasses.asdict(upsample)
    name = options.pop("name")

    def make_upsampler(in_channels: int, out_channels: int) -> Upsampler:
        return build_upsampler(name, in_channels, out_channels, model.scale, algorithms=algorithms, **options)

    return ConvolutionalAutoencoder(
        image_shape,
        make_upsampler,
        widths=model.widths,
        latent_channels=model.latent_channels,
        scale=model.scale,
        norm=model.norm,
        activation=model.activation,
        output=model.output,
        algorithms=algorithms,
        seed=seed,
    )
