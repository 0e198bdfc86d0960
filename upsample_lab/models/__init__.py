"""The models that are trained: a convolutional encoder-decoder around the upsampler, and a fully connected one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch

from upsample_lab.cost import parameter_count
from upsample_lab.models.autoencoder import ConvolutionalAutoencoder, MakeUpsampler
from upsample_lab.models.base import Autoencoder, decoder_parameter_count, macs_per_image
from upsample_lab.models.matching import Match, closest_widths
from upsample_lab.models.mlp import FullyConnectedAutoencoder
from upsample_lab.models.seeding import seeded
from upsample_lab.options import load_option
from upsample_lab.options.conv import ConvOptions
from upsample_lab.options.model import ConvolutionalModel, MlpModel, ModelOptions, decoder_widths
from upsample_lab.options.upsample import UpsampleOptions
from upsample_lab.registry import PARTS, made
from upsample_lab.settings import ConfigError, show
from upsample_lab.upsamplers import Algorithms, Upsampler, build_upsampler, upsampler_class

__all__ = [
    "Autoencoder",
    "ConvolutionalAutoencoder",
    "FullyConnectedAutoencoder",
    "Match",
    "build_model",
    "decoder_parameter_count",
    "macs_per_image",
    "match_budget",
]

REFERENCE = "deconv"  # whose budget all others get with model.match


def build_model(
    model: ModelOptions, upsample: UpsampleOptions, conv: ConvOptions, image_shape: tuple[int, int, int], seed: int
) -> Autoencoder:
    """The model of a configuration, with the initial weights of `seed`, on the CPU in float32.

    Raises `ConfigError` where `model.match` cannot be satisfied.
    """
    if model.name in PARTS["model"]:
        return _own(model, upsample, conv, image_shape, seed)
    return BUILDERS[type(model)](model, upsample, conv, image_shape, seed)


def _fully_connected(
    model: MlpModel, upsample: UpsampleOptions, conv: ConvOptions, image_shape: tuple[int, int, int], seed: int
) -> Autoencoder:
    _, height, width = image_shape
    latent_shape = (model.latent_channels, height // model.total_stride, width // model.total_stride)
    return FullyConnectedAutoencoder(
        image_shape, latent_shape, hidden=model.hidden, activation=model.activation, output=model.output, seed=seed
    )


def _matched(
    model: ConvolutionalModel, upsample: UpsampleOptions, conv: ConvOptions, image_shape: tuple[int, int, int],
    seed: int,
) -> Autoencoder:  # fmt: skip
    match = match_budget(model, upsample, conv, image_shape)
    widths = decoder_widths(model.widths) if match is None else match.widths
    built = _convolutional(model, upsample, conv, image_shape, seed, widths)
    built.match = match
    return built


def _own(
    model: ModelOptions, upsample: UpsampleOptions, conv: ConvOptions, image_shape: tuple[int, int, int], seed: int
) -> Autoencoder:
    """A plugin's model: its weights are a function of the seed alone, as those of all others."""
    algorithms = Algorithms(conv.conv2d, conv.conv_transpose2d)
    make_upsampler = _maker(model.scale, upsample, algorithms)
    with seeded(seed, f"model {model.name}"):
        built = made(
            PARTS["model"][model.name], image_shape, options=model,
            make_upsampler=make_upsampler, algorithms=algorithms, seed=seed,
        )  # fmt: skip
    if not isinstance(built, Autoencoder):
        raise ConfigError(f"model={model.name}: must be a subclass of upsample_lab.models.Autoencoder")
    return built


def match_budget(
    model: ModelOptions, upsample: UpsampleOptions, conv: ConvOptions, image_shape: tuple[int, int, int]
) -> Match | None:
    """What `model.match` makes of the decoder's widths; None where nothing is matched.

    The budget is that of the same model with the transposed convolution, its options at their defaults. The encoder is
    left alone: it stays the same for every upsampler, and so do its initial weights.

    Raises `ConfigError` where no widths come within `matching.TOLERANCE` of the budget.
    """
    if not isinstance(model, ConvolutionalModel) or model.match == "none":
        return None
    costs: dict[str, Callable[[ConvolutionalAutoencoder], int]] = {
        "params": parameter_count,
        "macs": partial(macs_per_image, image_shape=image_shape),
    }
    cost = costs[model.match]

    def budget_of(options: UpsampleOptions, widths: Sequence[int]) -> int:
        with torch.device("meta"):  # shapes alone: nothing is allocated, and nothing drawn
            return cost(_convolutional(model, options, conv, image_shape, 0, widths))

    def allowed(widths: Sequence[int]) -> bool:
        try:
            for in_channels, out_channels in pairwise(widths):
                upsample.check_stage(in_channels, out_channels, model.scale)
        except ConfigError:
            return False
        return True

    own = decoder_widths(model.widths)
    target = budget_of(load_option("upsample", REFERENCE), own)
    # A guide has the channels of the encoder, so widths in between must stay what the encoder has there.
    fixed = range(1, len(own) - 1) if upsampler_class(upsample.name).needs_guide else ()
    match = closest_widths(own, target, partial(budget_of, upsample), allowed, fixed)
    if match is None or not match.met:
        unit = "parameters" if model.match == "params" else "multiply-accumulates"
        closest = "" if match is None else f" (the closest, {show(match.widths)}, have {match.achieved:,})"
        raise ConfigError(
            f"model.match={model.match}: no decoder widths give upsample={upsample.name} the {target:,} {unit} of "
            f"{REFERENCE}{closest}; use other model.widths, or model.match=none"
        )
    return match


def _convolutional(
    model: ConvolutionalModel,
    upsample: UpsampleOptions,
    conv: ConvOptions,
    image_shape: tuple[int, int, int],
    seed: int,
    decoder: Sequence[int],
) -> ConvolutionalAutoencoder:
    algorithms = Algorithms(conv.conv2d, conv.conv_transpose2d)
    return ConvolutionalAutoencoder(
        image_shape,
        _maker(model.scale, upsample, algorithms),
        widths=model.widths,
        decoder_widths=decoder,
        latent_channels=model.latent_channels,
        scale=model.scale,
        norm=model.norm,
        activation=model.activation,
        output=model.output,
        algorithms=algorithms,
        seed=seed,
    )


def _maker(scale: int, upsample: UpsampleOptions, algorithms: Algorithms) -> MakeUpsampler:
    options = dataclasses.asdict(upsample)
    name = options.pop("name")

    def make_upsampler(in_channels: int, out_channels: int) -> Upsampler:
        return build_upsampler(name, in_channels, out_channels, scale, algorithms=algorithms, **options)

    return make_upsampler


BUILDERS: dict[type, Callable[..., Autoencoder]] = {MlpModel: _fully_connected, ConvolutionalModel: _matched}
"""What makes the model of each class of options."""
