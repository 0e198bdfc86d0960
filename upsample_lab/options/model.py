"""The options of each model, `model.<option>=`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import MISSING

from upsample_lab.settings import option, setting

NORMS = ("batch", "group", "none")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu")


@dataclass
class ModelOptions:
    name: str = MISSING
    widths: list[int] = setting("channels of each encoder stage; the decoder mirrors them", low=1, high=4096)
    latent_channels: int = setting("channels of the bottleneck at the lowest resolution", low=1, high=4096)
    scale: int = setting("down- and upsampling factor of each stage", low=2, high=4)
    activation: str = setting("activation between layers", choices=ACTIVATIONS)
    output: str = setting("last activation: sigmoid keeps images in [0, 1]", choices=("sigmoid", "linear"))

    @property
    def total_stride(self) -> int:
        return self.scale ** len(self.widths)


def decoder_widths(widths: Sequence[int]) -> list[int]:
    """Channels before and after each decoder stage: the encoder's widths mirrored, the last one kept."""
    return [*reversed(widths), widths[0]]


@option("model", "small")
@option("model", "medium")
@dataclass
class ConvolutionalModel(ModelOptions):
    norm: str = setting("normalisation after each convolution", choices=NORMS)
    match: str = setting(
        "adjust the decoder's widths to the parameters, or the multiply-accumulates, that deconv would have",
        choices=("none", "params", "macs"),
        neutral="none",
    )


@option("model", "mlp")
@dataclass
class MlpModel(ModelOptions):
    """A fully connected autoencoder; widths and scale only set the bottleneck that it shares with the others."""

    hidden: list[int] = setting(
        "sizes of the hidden layers of the encoder; the decoder mirrors them", low=1, high=65536
    )
