"""What every upsampler is: a module from `[N, C_in, H, W]` to `[N, C_out, s·H, s·W]`."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Algorithms(NamedTuple):
    """Which algorithm of `upsample_lab.conv` each kind of convolution uses."""

    conv2d: str
    conv_transpose2d: str


class Upsampler(nn.Module):
    """The base of all upsamplers.

    forward(input, guide=None)
        input   [N, C_in, H, W]
        guide   None, or what the encoder remembers of the place that it downsampled: the positions of the maxima of
                each s x s window, `[N, C_guide, H, W]` as `torch.nn.functional.max_pool2d(..., return_indices=True)`
                gives them. Only upsamplers with `needs_guide` read it.
        returns [N, C_out, s·H, s·W]
    """

    needs_guide: ClassVar[bool] = False

    def __init__(self, in_channels: int, out_channels: int, scale: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.scale = scale

    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")
