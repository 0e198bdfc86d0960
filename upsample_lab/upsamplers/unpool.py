"""Max-unpooling: each value goes back to where the encoder found its maximum."""

from __future__ import annotations

import torch
from torch import Tensor

from upsample_lab.conv import Conv2d, followed_by_a_tool, is_channels_last
from upsample_lab.upsamplers._tools import of_batches
from upsample_lab.upsamplers.base import Algorithms, Upsampler


class Unpool(Upsampler):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: `u[c, guide[c, i]] = (Conv_1 x)[c, i]`, else 0; `y = Conv_k(u)`.

    The 1x1 convolution gives the image the channels of the guide; the k x k one fills the empty pixels.

    guide   int64 `[N, C_out, H, W]`, or `[N, 1, H, W]` for all channels: positions in the output plane, counted row by
            row, as `torch.nn.functional.max_pool2d(features, s, return_indices=True)` gives them.

    Raises ValueError if the guide is missing or has another shape, and TypeError if it does not hold int64.

    Source: V. Badrinarayanan, A. Kendall, R. Cipolla, "SegNet: a deep convolutional encoder-decoder architecture for
    image segmentation", arXiv:1511.00561, section 3.
    """

    needs_guide = True
    equation = "y = Conv_k(u),  u[guide[i]] = (Conv_1 x)[i], zero elsewhere"
    source = "Badrinarayanan, Kendall and Cipolla, SegNet, arXiv:1511.00561, sec. 3"
    linear = True
    shift_equivariant = "by whole input pixels, when the guide shifts too"
    failure_modes = (
        "one pixel in s² is not empty, so its gain depends on the guide and texture follows it; "
        "needs the encoder: no use for generating"
    )
    parameter_count_formula = "C_in·C_out + C_out + C_out·C_out·k² + C_out"
    macs_per_pixel_formula = "C_in·C_out/s² + C_out·C_out·k²"

    def __init__(
        self, in_channels: int, out_channels: int, scale: int, *, algorithms: Algorithms, kernel_size: int
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        self.to_guide_channels = Conv2d(in_channels, out_channels, 1, algorithm=algorithms.conv2d)
        self.conv = Conv2d(
            out_channels, out_channels, kernel_size, padding=kernel_size // 2, algorithm=algorithms.conv2d
        )

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        values = self.to_guide_channels(input)
        output: Tensor = self.conv(unpool(values, checked_guide(guide, values), self.scale))
        return output

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "k": self.kernel_size}


def checked_guide(guide: Tensor | None, values: Tensor) -> Tensor:
    """The guide, one plane for each channel of the values. Raises ValueError or TypeError, see `Unpool`."""
    batch, channels, height, width = values.shape
    expected = f"[{batch}, {channels} or 1, {height}, {width}]"
    if guide is None:
        raise ValueError(f"guide=None: unpool needs the positions of the encoder's maxima, of the shape {expected}")
    if tuple(guide.shape) not in ((batch, channels, height, width), (batch, 1, height, width)):
        raise ValueError(f"guide has the shape {list(guide.shape)}: must be {expected}")
    if guide.dtype != torch.int64:
        raise TypeError(f"guide has the dtype {guide.dtype}: must be torch.int64, positions in the output plane")
    return guide.expand_as(values)


def unpool(values: Tensor, guide: Tensor, scale: int) -> Tensor:
    """`torch.nn.functional.max_unpool2d` with windows of s x s: `[N, C, H, W] -> [N, C, s·H, s·W]`, format kept."""
    batch, channels, height, width = values.shape
    size = (scale * height, scale * width)
    if not followed_by_a_tool(values) and is_channels_last(values):
        pixels, places = (image.permute(0, 2, 3, 1).flatten(1, 2) for image in (values, guide))
        empty = values.new_zeros(batch, size[0] * size[1], channels)
        return empty.scatter(1, places, pixels).reshape(batch, *size, channels).permute(0, 3, 1, 2)
    empty = values.new_zeros(batch, channels, size[0] * size[1])
    return empty.scatter(2, guide.flatten(2), values.flatten(2)).reshape(batch, channels, *size)
