"""The weights with which another upsampler does what a layer did: exact where there are such weights, else the nearest.

An upsampler is affine in the weights of its last convolution, whatever its fixed part is. So the nearest ones, on
given activations, are a problem of linear least squares with one solution for each output channel: the features are
what the layer gives for each single weight, and the normal equations are solved in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from upsample_lab.conv.geometry import Pair
from upsample_lab.doctor.convert import Spread, own_kernel
from upsample_lab.settings import ConfigError
from upsample_lab.upsamplers import Upsampler
from upsample_lab.upsamplers.deconv import Deconv
from upsample_lab.upsamplers.dysample import DySample
from upsample_lab.upsamplers.pixel_shuffle import PixelShuffle

MOST_BYTES = 4 << 30  # of the features of one image, and of the normal equations
RANDOM_WEIGHT = 1e-8
"""Weight of white noise beside the activations: directions that these never take are then matched on noise."""
ROUNDING_WEIGHT = 1e-11
REFINEMENTS = 4
"""Steps of iterated regularisation: each takes off what the two weights put on, by a factor of 1e-8 in directions that
have the mean energy."""


@dataclass(frozen=True)
class Source:
    """The layer that is replaced.

    layer    one module `[N, C_in, H, W] -> [N, C_out, s·H + extra, s·W + extra]`
    spread   its kernel, or None where it has none; `exact` tells whether that is all, and no phase has its own bias
    shift    pixels by which its output begins later than that of an upsampler with half-pixel centres
    """

    layer: nn.Module
    in_channels: int
    out_channels: int
    scale: int
    spread: Spread | None = None
    exact: bool = False
    shift: Pair = (0, 0)
    extra: Pair = (0, 0)


class Fitted(nn.Module):
    """An upsampler in the place of a layer whose output is not exactly s times its input, or lies elsewhere.

    `[N, C_in, H, W] -> [N, C_out, s·H + extra, s·W + extra]`: zeros around the input, and a window of the output.
    """

    def __init__(self, upsampler: Upsampler, shift: Pair, extra: Pair) -> None:
        super().__init__()
        self.upsampler, self.extra = upsampler, extra
        s = upsampler.scale
        sides = [max(0, -(shift[a] // s), -(-(shift[a] + extra[a]) // s)) for a in (0, 1)]
        self.zeros = (sides[1], sides[1], sides[0], sides[0])
        self.start = (s * sides[0] + shift[0], s * sides[1] + shift[1])

    def forward(self, input: Tensor) -> Tensor:
        (top, left), s = self.start, self.upsampler.scale
        height, width = (s * input.shape[axis - 2] + self.extra[axis] for axis in (0, 1))
        output: Tensor = self.upsampler(F.pad(input, self.zeros))
        return output[..., top : top + height, left : left + width]

    def extra_repr(self) -> str:
        return f"start={self.start}, extra={self.extra}"


def in_place_of(source: Source, upsampler: Upsampler) -> nn.Module:
    """The upsampler, in a `Fitted` where it has to be."""
    same = source.shift == source.extra == (0, 0)
    return upsampler if same else Fitted(upsampler, source.shift, source.extra)


@torch.no_grad()
def match_exactly(source: Source, upsampler: Upsampler) -> bool:
    """Give the upsampler the weights with which it is the same map; False, and nothing done, where there are none."""
    spread = source.spread
    if spread is None or not source.exact or type(upsampler) not in (Deconv, PixelShuffle):
        return False
    assert isinstance(upsampler, Deconv | PixelShuffle)
    if isinstance(upsampler, Deconv) and upsampler.phase_equal:
        return False
    name = "deconv" if isinstance(upsampler, Deconv) else "pixel_shuffle"
    weight = own_kernel(spread, name, upsampler.kernel_size, source.shift)
    if weight is None:
        return False
    upsampler.conv.weight.copy_(weight)
    bias = torch.zeros(source.out_channels) if spread.bias is None else spread.bias
    if isinstance(upsampler, PixelShuffle) and not upsampler.tie_bias:
        bias = bias.repeat_interleave(source.scale**2)
    own = upsampler.bias if isinstance(upsampler, PixelShuffle) and upsampler.tie_bias else upsampler.conv.bias
    own.copy_(bias)  # type: ignore[union-attr]  # it has one
    return True


@torch.no_grad()
def match_nearest(source: Source, layer: nn.Module, activations: Sequence[Tensor]) -> float:
    """Give the layer the weights that are nearest on the activations, each `[N, C_in, H, W]`, in least squares.

    The layer is `in_place_of(source, upsampler)`, in float64. Where the activations leave weights undecided, these are
    matched on white noise. Returns the share of the energy that the equations promise to keep. Raises ConfigError where
    the layer has no last convolution, or its equations are too large.
    """
    upsampler = layer.upsampler if isinstance(layer, Fitted) else layer
    assert isinstance(upsampler, Upsampler)
    probe = _Probe(layer, upsampler)
    data = _Equations(probe, source)
    for batch in activations:
        for image in batch:
            data.add(image[None])
    noise = _Equations(probe, source)
    noise.add(_noise(source, activations[0]))
    solution = _solved(data, noise)
    probe.assign(solution)
    explained = 2 * (data.right * solution).sum() - (solution * (data.gram @ solution)).sum()
    return float(explained / data.whole) if data.whole else 1.0


def energies(layer: nn.Module, other: nn.Module, activations: Sequence[Tensor]) -> tuple[float, float]:
    """`Σ ‖y' - y‖²` and `Σ ‖y‖²` of what two layers in float64 make of the activations."""
    apart, whole = 0.0, 0.0
    with torch.no_grad():
        for batch in activations:
            for image in batch.double().split(1):
                expected = layer(image)
                apart += float((other(image) - expected).square().sum())
                whole += float(expected.square().sum())
    return apart, whole


def _noise(source: Source, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, source.in_channels, *like.shape[2:], dtype=torch.float64, generator=generator).to(like.device)


class _Probe:
    """The features of an upsampler: what it gives for each single weight of its last convolution, and its bias."""

    def __init__(self, layer: nn.Module, upsampler: Upsampler) -> None:
        self.layer = layer
        name = "values" if hasattr(upsampler, "values") else "conv"
        conv = getattr(upsampler, name, None)
        if not isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) or conv.groups != 1:
            raise ConfigError(f"{type(upsampler).__name__} has no last convolution to match; use init='random'")
        if isinstance(upsampler, DySample):  # exactly bilinear, so that all groups of channels have the same features
            upsampler.offset.weight.zero_()
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        self.phases = upsampler.scale**2 if isinstance(upsampler, PixelShuffle) else 1
        prefix = "upsampler." if isinstance(layer, Fitted) else ""
        own_bias = isinstance(upsampler, PixelShuffle) and upsampler.tie_bias
        bias = upsampler.bias if own_bias else conv.bias
        assert isinstance(bias, Tensor)
        self.weight, self.bias = conv.weight, bias
        self.shape = conv.weight.transpose(0, 1).shape[1:] if self.transposed else conv.weight.shape[1:]
        self.weights = self.phases * self.shape.numel()
        self.biases = 1 if own_bias else self.phases
        count = self.weights + self.biases
        channels = -(-count // upsampler.groups) * upsampler.groups if isinstance(upsampler, DySample) else count
        if 8 * channels * self.phases * self.shape.numel() > MOST_BYTES or 24 * count**2 > MOST_BYTES:
            raise ConfigError(f"{count} weights for each output channel are too many to match; use init='random'")
        like = {"dtype": torch.float64, "device": conv.weight.device}
        each = torch.zeros(channels, self.phases, *self.shape, **like)  # type: ignore[call-overload]
        each.flatten(1)[: self.weights].fill_diagonal_(1)
        each = each.flatten(0, 1)
        biases = torch.zeros(channels, self.biases, **like)  # type: ignore[call-overload]
        biases[self.weights : count].fill_diagonal_(1)
        self.count = count
        self.single = {
            f"{prefix}{name}.weight": each.transpose(0, 1).contiguous() if self.transposed else each,
            f"{prefix}bias" if own_bias else f"{prefix}{name}.bias": biases.flatten(),
        }

    def features(self, image: Tensor) -> Tensor:
        """`[1, C_in, H, W] -> [pixels, weights and biases]`"""
        output: Tensor = functional_call(self.layer, self.single, (image,))
        return output[0, : self.count].flatten(1).T

    def assign(self, solution: Tensor) -> None:
        """The solution, `[weights and biases, C_out]`, as the convolution's weight and bias."""
        weight = solution[: self.weights].T.unflatten(1, (self.phases, *self.shape)).flatten(0, 1)
        self.weight.copy_(weight.transpose(0, 1) if self.transposed else weight)
        self.bias.copy_(solution[self.weights :].T.flatten())


class _Equations:
    """The normal equations `G w = r` of features and of what the layer made of the same images."""

    def __init__(self, probe: _Probe, source: Source) -> None:
        self.probe, self.source = probe, source
        self.gram = torch.zeros(probe.count, probe.count, dtype=torch.float64, device=probe.weight.device)
        self.right = self.gram.new_zeros(probe.count, source.out_channels)
        self.whole = 0.0

    def add(self, image: Tensor) -> None:
        image = image.double()
        wanted = self.source.layer(image)
        if 8 * self.probe.count * wanted[0, 0].numel() > MOST_BYTES:
            raise ConfigError(f"an input of {list(image.shape)} is too large to match weights on: give smaller images")
        features = self.probe.features(image)
        self.gram.addmm_(features.T, features)
        self.right.addmm_(features.T, wanted[0].flatten(1).T)
        self.whole += float(wanted.square().sum())


def _solved(data: _Equations, noise: _Equations) -> Tensor:
    """The solution of the data's equations; where these leave it open, that of the noise's."""
    size = data.gram.diagonal().mean()
    size = torch.where(size > 0, size, 1)
    weight = RANDOM_WEIGHT * size / noise.gram.diagonal().mean()
    whole = data.gram + weight * noise.gram
    whole.diagonal().add_(ROUNDING_WEIGHT * size)
    factor = torch.linalg.cholesky(whole)
    solution = torch.cholesky_solve(data.right + weight * noise.right, factor)
    for _ in range(REFINEMENTS):
        solution += torch.cholesky_solve(data.right - data.gram @ solution, factor)
    return solution
