"""Floating-point operations and bytes of a training step, counted from the shapes of its layers.

A multiply-accumulate is two operations. A convolution of a training step is done three times: forward, for the
gradient of its weights, and for the gradient of its input, but for the first layer's, whose input needs none. An
upsampler counts with the formula that its class gives (`macs_per_pixel`), which is its definition's, also where it is
computed in a cheaper, folded order; `executed_flops` counts what is really multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from upsample_lab.config import TrainConfig
from upsample_lab.models import ConvolutionalAutoencoder

FLOPS_A_MAC = 2
# Each line is one walk through memory of a tensor that large, where no two operators are merged and nothing is cached.
INPUT_PASSES = 3  # a convolution's input: read forward and for the weights' gradient, its own gradient written
OUTPUT_PASSES = 3  # its output: written forward, its gradient read twice
NORM_PASSES = 8  # batch norm: read twice (moments, values) and written; backward, two tensors read twice, one written
ACTIVATION_PASSES = 5  # read and written; backward, the gradient and the result read, one written


class Layer(NamedTuple):
    """One convolution or upsampler of a model: numbers are those of one image."""

    name: str
    macs: float
    in_numbers: int
    out_numbers: int
    normalised: bool
    """Whether batch norm and an activation follow."""


def layers(config: TrainConfig, model: ConvolutionalAutoencoder, image_shape: tuple[int, int, int]) -> list[Layer]:
    """Every convolution and upsampler of the encoder-decoder, in order."""
    channels, height, width = image_shape
    scale, widths, latent = model.scale, list(config.model.widths), config.model.latent_channels
    found = []
    kernel = 2 * -(-scale // 2) + 1
    for number, (c_in, c_out) in enumerate(pairwise([channels, *widths])):
        before, (height, width) = height * width, (height // scale, width // scale)
        macs = c_in * c_out * kernel**2 * height * width
        found.append(Layer(f"encoder {number}", macs, c_in * before, c_out * height * width, True))
    pixels = height * width
    macs = widths[-1] * latent * pixels
    found.append(Layer("to latent", macs, widths[-1] * pixels, latent * pixels, False))
    found.append(Layer("from latent", macs, latent * pixels, widths[-1] * pixels, True))
    decoder: Any = model.decoder
    for number, stage in enumerate(decoder):
        upsampler = stage.upsampler
        before, after = height * width, height * width * scale**2
        macs = upsampler.macs_per_pixel(height, width) * after
        in_numbers, out_numbers = upsampler.in_channels * before, upsampler.out_channels * after
        found.append(Layer(f"decoder {number}", macs, in_numbers, out_numbers, True))
        height, width = height * scale, width * scale
    pixels = height * width
    found.append(Layer("to image", widths[0] * channels * 9 * pixels, widths[0] * pixels, channels * pixels, False))
    return found


def step_flops(counted: list[Layer], batch: int) -> float:
    """Operations of one training step: forward and both gradients, the first layer's without that of its input."""
    return FLOPS_A_MAC * batch * (3 * sum(layer.macs for layer in counted) - counted[0].macs)


def step_bytes(counted: list[Layer], batch: int, bytes_a_number: int) -> float:
    """Bytes that one step carries to and from memory where each operator reads and writes its tensors once a pass.

    Weights and optimizer are left out: they stay in the cache, and are some hundredths of the images.
    """
    numbers = 0
    for layer in counted:
        numbers += INPUT_PASSES * layer.in_numbers + OUTPUT_PASSES * layer.out_numbers
        numbers += (NORM_PASSES + ACTIVATION_PASSES) * layer.out_numbers * layer.normalised
    return float(batch * bytes_a_number * (numbers - counted[0].in_numbers))


def executed_flops(step: Callable[[], object]) -> float:
    """Operations of the matrix products and convolutions that a step really calls, by torch's own counter."""
    counts = {
        torch.ops.aten.convolution_backward: _convolution_backward_flops,
        torch.ops.aten.addmm_: _addmm_flops,
        torch.ops.aten.baddbmm_: _addmm_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=counts) as counter:
        step()
    return float(counter.get_total_flops())


def _addmm_flops(_sum: list[int], a: list[int], b: list[int], *_: Any, out_shape: Any = None, **__: Any) -> int:
    return FLOPS_A_MAC * math.prod(a) * b[-1]


def _convolution_backward_flops(
    grad: list[int],
    x: list[int],
    weight: list[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: list[bool],
    *_: Any,
    out_shape: Any = None,
    **__: Any,
) -> int:
    """Each gradient costs what the forward pass costs; torch's own formula is wrong where there are groups."""
    pixels = x if transposed else grad
    return FLOPS_A_MAC * pixels[0] * math.prod(pixels[2:]) * math.prod(weight) * sum(output_mask[:2])
