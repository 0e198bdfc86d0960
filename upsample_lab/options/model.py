"""The options of each model, `model.<option>=`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from omegaconf import MISSING

from upsample_lab.settings import ConfigError, option, pasted, setting, show

NORMS = ("batch", "group", "none")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu")


@dataclass
class ModelOptions:
    """What every model's options have in common; and what its class says of the model, before there is one."""

    has_upsampler: ClassVar[bool] = True  # else `upsample=` and `conv=` decide nothing

    name: str = MISSING
    widths: list[int] = setting("channels of each encoder stage; the decoder mirrors them", low=1, high=4096)
    latent_channels: int = setting("channels of the bottleneck at the lowest resolution", low=1, high=4096)
    scale: int = setting("down- and upsampling factor of each stage", low=2, high=4)
    activation: str = setting("activation between layers", choices=ACTIVATIONS)
    output: str = setting("last activation: sigmoid keeps images in [0, 1]", choices=("sigmoid", "linear"))

    @property
    def total_stride(self) -> int:
        return self.scale ** len(self.widths)

    def stages(self) -> list[tuple[int, int]]:
        """Channels into and out of each upsampler, where they are known from the options alone."""
        return []

    def check_size(self, size: int, data: str) -> None:
        """Raise `ConfigError` unless the model takes images of `size` pixels a side, those of `data=`."""
        stride, stages = self.total_stride, len(self.widths)
        if size % stride == 0:
            return
        below, above = size // stride * stride, (size // stride + 1) * stride
        sizes = f"{below} or {above}" if below else f"{above}"
        fits = max((n for n in range(1, stages) if size % self.scale**n == 0), default=0)
        fewer = (
            f"{fits} of the stages, e.g. {pasted('model.widths', show(self.widths[:fits]))}"
            if fits
            else "another model.scale"
        )
        raise ConfigError(
            f"model.widths={show(self.widths)}: {stages} stages of scale {self.scale} divide the image by {stride}, "
            f"and {size} pixels (data={data}) is not a multiple of it; use images of {sizes} pixels, or {fewer}"
        )


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

    def stages(self) -> list[tuple[int, int]]:
        return list(pairwise(decoder_widths(self.widths)))


@option("model", "mlp")
@dataclass
class MlpModel(ModelOptions):
    """A fully connected autoencoder; widths and scale only set the bottleneck that it shares with the others."""

    has_upsampler: ClassVar[bool] = False

    hidden: list[int] = setting(
        "sizes of the hidden layers of the encoder; the decoder mirrors them", low=1, high=65536
    )
