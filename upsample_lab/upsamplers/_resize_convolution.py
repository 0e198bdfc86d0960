"""What the fixed resizes share: a convolution after (or before) them maps the channels and learns."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ClassVar

from torch import Tensor

from upsample_lab.conv import Conv2d
from upsample_lab.upsamplers._fold import Foldable, Resize, resize_then_convolve
from upsample_lab.upsamplers._tools import of_batches
from upsample_lab.upsamplers.base import Algorithms


class ResizeConvolution(Foldable):
    """`[N, C_in, H, W] -> [N, C_out, s·H, s·W]`: `Conv_k(Resize_s(x))`, or `Resize_s(Conv_k(x))`.

    The convolution is of odd size k with zero padding k//2 and a bias. Before the resize (`order="conv_first"`) it
    costs s² times less and sees fewer pixels; both orders gain equally in every phase.
    With `fold` the resize and the convolution are computed in one, with the same result (`_fold.py`).

    Source: A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill 2016.

    Subclasses define `resize`, `axis`, the same along an axis, and `resize_macs_formula`, the multiply-accumulates for
    one output pixel of one channel.
    """

    linear = True
    parameter_count_formula = "C_in·C_out·k² + C_out"
    resize_macs_formula: ClassVar[str]

    def __init__(
        self, in_channels: int, out_channels: int, scale: int, *, algorithms: Algorithms, kernel_size: int, order: str
    ) -> None:
        super().__init__(in_channels, out_channels, scale)
        self.kernel_size = kernel_size
        self.order = order
        self.conv = Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, algorithm=algorithms.conv2d
        )
        if order == "conv_first":
            self.macs_per_pixel_formula = self._macs("C_in·C_out·k²/s²", resized="C_out")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.macs_per_pixel_formula = cls._macs("C_in·C_out·k²", resized="C_in")

    @classmethod
    def _macs(cls, convolution: str, resized: str) -> str:
        resize = cls.resize_macs_formula
        return convolution if resize == "0" else f"{convolution} + {resized}·({resize})"

    def resize(self, image: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no resize")

    def axis(self) -> tuple[Callable[..., Tensor], tuple[Hashable, ...]]:
        """`make` and `arguments` of the matrix `make(n, *arguments)`, `[s·n, n]`, that resizes an axis of n pixels."""
        raise NotImplementedError(f"{type(self).__name__} defines no axis")

    @of_batches
    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        if self.order == "conv_first":
            return self.resize(self.conv(input))
        return resize_then_convolve(input, Resize(self.scale, self.resize, *self.axis()), self.conv, self.fold)

    def symbols(self) -> dict[str, int]:
        return {**super().symbols(), "k": self.kernel_size}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, order={self.order}, fold={self.fold}"
