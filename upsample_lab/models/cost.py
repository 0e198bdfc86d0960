"""What a model costs: multiply-accumulates of its convolutions, by their definitions."""

from __future__ import annotations

from torch import nn

from upsample_lab.models.autoencoder import ConvolutionalAutoencoder, DecoderStage, EncoderStage


def macs_per_image(model: ConvolutionalAutoencoder, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one forward pass of one image `[C, H, W]`: convolutions and upsamplers.

    A convolution has `C_in·C_out·k²` for each output pixel; upsamplers say their own (`Upsampler.macs_per_pixel`), by
    their definition whatever cheaper order they are computed in. Borders count as the inside; norms and activations do
    not count.
    """
    _, height, width = image_shape
    total = 0.0
    for stage in model.encoder:
        height, width = height // model.scale, width // model.scale
        assert isinstance(stage, EncoderStage)
        total += _convolution_macs(stage[0]) * height * width
    total += (_convolution_macs(model.to_latent) + _convolution_macs(model.from_latent[0])) * height * width
    for stage in model.decoder:
        assert isinstance(stage, DecoderStage)
        per_pixel = stage.upsampler.macs_per_pixel(height, width)
        height, width = height * model.scale, width * model.scale
        total += per_pixel * height * width
    return round(total + _convolution_macs(model.to_image) * height * width)


def _convolution_macs(module: nn.Module) -> int:
    """For one output pixel, all channels."""
    assert isinstance(module, nn.Conv2d)
    return module.weight.numel()
