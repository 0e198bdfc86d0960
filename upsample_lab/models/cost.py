"""What a model costs, counted: multiply-accumulates of a forward pass, and the parameters of its decoder."""

from __future__ import annotations

from torch import nn

from upsample_lab.models.autoencoder import ConvolutionalAutoencoder, DecoderStage, EncoderStage
from upsample_lab.models.base import Autoencoder
from upsample_lab.models.mlp import FullyConnectedAutoencoder
from upsample_lab.upsamplers._counting import counted_macs

ENCODER_PARTS = ("encoder.", "to_latent.")


def decoder_parameter_count(model: Autoencoder) -> int:
    """Parameters of everything after the latent."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(ENCODER_PARTS))


def macs_per_image(model: Autoencoder, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image `(C, H, W)`, forward through the whole model.

    Upsamplers count by their own formula, a convolution by `positions · weights` (products with its zero padding
    included, as in all counters of the field), a linear layer by its weights. Norms, activations and pooling count
    none. So the figure is that of the method: no algorithm or library that computes it changes it. Nothing is
    computed but sizes, so the model may be on the meta device. Of a plugin's model one forward pass is counted instead,
    by PyTorch's own counter: whatever is a product of matrices or a convolution there.
    """
    if isinstance(model, FullyConnectedAutoencoder):
        return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    if not isinstance(model, ConvolutionalAutoencoder):
        return counted_macs(model, model.raw, 1, *image_shape)
    _, height, width = image_shape
    total = 0.0
    for stage in model.encoder:
        assert isinstance(stage, EncoderStage)
        height, width = height // model.scale, width // model.scale
        total += _weights(stage[0]) * height * width
    total += (_weights(model.to_latent) + _weights(model.from_latent[0])) * height * width
    for stage in model.decoder:
        assert isinstance(stage, DecoderStage)
        per_pixel = stage.upsampler.macs_per_pixel(height, width)
        height, width = height * model.scale, width * model.scale
        total += per_pixel * height * width
    return round(total + _weights(model.to_image) * height * width)


def _weights(module: nn.Module) -> int:
    """A convolution's multiply-accumulates for one output pixel, all channels."""
    assert isinstance(module, nn.Conv2d)
    return module.weight.numel()
