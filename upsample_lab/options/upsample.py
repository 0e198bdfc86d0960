"""The options of each upsampler, `upsample.<option>=`."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from upsample_lab.settings import (
    GROUPS,
    ConfigError,
    allowed_text,
    check_leaf,
    choices,
    nearest,
    option,
    option_values,
    setting,
)


@dataclass
class UpsampleOptions:
    """What every upsampler's options have in common: the name in the registry."""

    name: str = MISSING

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        """Raise `ConfigError` if a stage with these channels and this scale cannot have these options."""


@dataclass
class FoldableOptions(UpsampleOptions):
    """A fixed resize and the convolution that learns, which can be computed in one (`upsamplers/_fold.py`)."""

    kernel_size: int = setting("side of the convolution's kernel in pixels", low=1, high=9, odd=True)
    fold: str = setting(
        "compute the resize and its convolution in one: auto where measured to be faster, always where exact",
        choices=("auto", "never", "always"),
        identity=False,
    )


@dataclass
class ResizeOptions(FoldableOptions):
    """A resize that may come before the convolution or after it."""

    order: str = setting(
        "whether the image is resized before the convolution, or after it at 1/s² of the cost",
        choices=("resize_first", "conv_first"),
    )


@option("upsample", "nearest")
@dataclass
class NearestOptions(ResizeOptions):
    pass


@option("upsample", "bilinear")
@dataclass
class BilinearOptions(ResizeOptions):
    pass


@option("upsample", "bicubic")
@dataclass
class BicubicOptions(ResizeOptions):
    pass


@option("upsample", "kaiser")
@dataclass
class KaiserOptions(ResizeOptions):
    pass


@option("upsample", "fourier")
@dataclass
class FourierOptions(ResizeOptions):
    pass


@option("upsample", "bilinear_additive")
@dataclass
class BilinearAdditiveOptions(FoldableOptions):
    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        if in_channels % out_channels:
            raise ConfigError(
                f"upsample=bilinear_additive: sums groups of channels, and {in_channels} input channels make no "
                f"{out_channels} equal groups; use a multiple of {out_channels}"
            )


@dataclass
class TransposedOptions(UpsampleOptions):
    """A transposed convolution."""

    kernel_size: int = setting("side of the kernel in pixels", low=2, high=8)
    init: str = setting("how the kernel starts", choices=("random", "bilinear"))


@option("upsample", "blur_deconv")
@dataclass
class BlurDeconvOptions(TransposedOptions):
    pass


@option("upsample", "deconv")
@dataclass
class DeconvOptions(TransposedOptions):
    phase_equal: bool = setting("keep all output phases at the same gain, so that flat areas cannot checker")

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        if self.phase_equal and self.kernel_size < scale:
            raise ConfigError(
                f"upsample.phase_equal=true: needs upsample.kernel_size={self.kernel_size} to be at least the scale, "
                f"{scale}, since some phases have no weights"
            )


@option("upsample", "pixel_shuffle")
@option("upsample", "blur_pixel_shuffle")
@dataclass
class PixelShuffleOptions(UpsampleOptions):
    kernel_size: int = setting("side of the convolution's kernel in pixels", low=1, high=9, odd=True)
    init: str = setting("how the kernels start; icnr: equal in all phases", choices=("random", "icnr"))
    tie_bias: bool = setting("one bias for all phases; untied ones checker from the start, also with icnr")


@option("upsample", "unpool")
@dataclass
class UnpoolOptions(UpsampleOptions):
    kernel_size: int = setting("side of the convolution that fills the empty pixels", low=1, high=9, odd=True)


@option("upsample", "carafe")
@dataclass
class CarafeOptions(UpsampleOptions):
    kernel_size: int = setting("side of the neighbourhood that is averaged, in input pixels", low=1, high=9, odd=True)
    encoder_kernel_size: int = setting("side of the convolution that predicts the weights", low=1, high=9, odd=True)
    compressed_channels: int = setting("channels that the weights are predicted from", low=1, high=1024)


@option("upsample", "dysample")
@dataclass
class DySampleOptions(UpsampleOptions):
    groups: int = setting("groups of channels with offsets of their own; must divide the channels", low=1, high=64)
    scope: str = setting(
        "range of the offsets: a fixed quarter of a pixel, or predicted for each", choices=("static", "dynamic")
    )

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        if out_channels % self.groups:
            raise ConfigError(
                f"upsample.groups={self.groups}: must divide the output channels, which are {out_channels}"
            )


def upsample_options(name: str, given: dict[str, Any]) -> UpsampleOptions:
    """The options of one upsampler: those given, checked, and the rest from its YAML file.

    For the library's own use; a composed configuration has been checked already. Raises `ConfigError`.
    """
    names = choices("upsample")
    if name not in names:
        raise ConfigError(f"upsample={name}: must be one of {', '.join(names)}{nearest(str(name), names)}")
    cls, values = GROUPS["upsample"][name], option_values("upsample", name)
    del values["name"]
    for key, value in given.items():
        if key not in values:
            known = ", ".join(values) + nearest(key, values)
            raise ConfigError(f"upsample.{key}={value}: unknown; the options of {name} are {known}")
        if type(value) is not typing.get_type_hints(cls)[key]:
            raise ConfigError(f"upsample.{key}={value!r}: must be {allowed_text(cls, key)}")
        check_leaf(f"upsample.{key}", cls, key, value)
    options: UpsampleOptions = cls(name=name, **{**values, **given})
    return options
