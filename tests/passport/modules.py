"""Modules with known defects, as they are met in the wild, built from torch.nn alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def seeded(make: object, seed: int = 0) -> nn.Module:
    """The module that `make()` gives with the weights of a seed."""
    assert callable(make)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make()
    assert isinstance(module, nn.Module)
    return module


def icnr_conv(in_channels: int, out_channels: int, *, bias: bool = True, positive: bool = False) -> nn.Conv2d:
    """A convolution whose groups of four output channels start with the same weights, and with biases of their own."""
    conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1, bias=bias)
    with torch.no_grad():
        weight = conv.weight[::4].repeat_interleave(4, dim=0)
        conv.weight.copy_(weight.abs() if positive else weight)
    return conv


def icnr(*, bias: bool = True, channels: int = 4) -> nn.Module:
    return nn.Sequential(icnr_conv(channels, channels, bias=bias), nn.PixelShuffle(2))


def pad_pool(channels: int = 4) -> nn.Module:
    """ICNR, then one pixel of padding on the left and top, then a 2 x 2 average: the released libraries' blur."""
    return nn.Sequential(
        icnr_conv(channels, channels), nn.PixelShuffle(2), nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1)
    )


def zero_padded_blur() -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.AvgPool2d(3, stride=1, padding=1))


class FunctionalBlur(nn.Module):
    """Nearest, then a depthwise binomial blur with zeros around the image; there are no submodules to inspect."""

    def forward(self, input: Tensor) -> Tensor:
        taps = torch.tensor([0.25, 0.5, 0.25], dtype=input.dtype)
        weight = (taps[:, None] * taps).expand(input.shape[1], 1, 3, 3)
        enlarged = F.interpolate(input, scale_factor=2.0)
        return F.conv2d(enlarged, weight, padding=1, groups=input.shape[1])


class FixedFilter(nn.Module):
    """Bilinear, then a depthwise filter with weights of its own on a replicated border, the same along both axes."""

    def __init__(self, taps: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("taps", torch.tensor(taps))

    def forward(self, input: Tensor) -> Tensor:
        weight = (self.taps[:, None] * self.taps).expand(input.shape[1], 1, -1, -1)
        half = len(self.taps) // 2
        enlarged = F.interpolate(input, scale_factor=2.0, mode="bilinear")
        return F.conv2d(F.pad(enlarged, (half,) * 4, mode="replicate"), weight, groups=input.shape[1])


class Unused(nn.Module):
    """A resize-convolution beside a transposed convolution that is registered, and used only to borrow its weight."""

    def __init__(self, borrow: bool = False) -> None:
        super().__init__()
        self.spare = nn.ConvTranspose2d(3, 3, 3, 2, 1, 1)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.borrow = borrow

    def forward(self, input: Tensor) -> Tensor:
        if self.borrow:
            return F.conv_transpose2d(input, 2 * self.spare.weight, stride=2, padding=1, output_padding=1)
        output: Tensor = self.conv(F.interpolate(input, scale_factor=2.0))
        return output


class MixedCorners(nn.Module):
    """Two branches whose grids do not agree."""

    def forward(self, input: Tensor) -> Tensor:
        aligned = F.interpolate(input, scale_factor=2.0, mode="bilinear", align_corners=True)
        return aligned + F.interpolate(input, scale_factor=2.0, mode="bilinear", align_corners=False)


class Noisy(nn.Module):
    """Adds noise in evaluation mode too."""

    def forward(self, input: Tensor) -> Tensor:
        output = F.interpolate(input, scale_factor=2.0)
        return output + 0.1 * torch.randn_like(output)


class Single(nn.Module):
    """Computes in float32 with a tensor of its own, whatever it is converted to."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv_transpose2d(input, torch.ones(1, 1, 2, 2), stride=2)


def decoder(stages: int, channels: int = 16, kernel_size: int = 4, *, relu: bool = False) -> nn.Module:
    """Transposed convolutions, each twice as large."""
    layers: list[nn.Module] = []
    for _ in range(stages):
        padding = (kernel_size - 1) // 2
        extra = 2 * padding + 2 - kernel_size
        layers.append(nn.ConvTranspose2d(channels, channels, kernel_size, 2, padding, extra, bias=False))
        layers += [nn.ReLU()] if relu else []
    return nn.Sequential(*layers)
