"""What every upsampler is: a module from `[N, C_in, H, W]` to `[N, C_out, s·H, s·W]` that can say what it costs."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from upsample_lab.conv import DEFAULT_ALGORITHM
from upsample_lab.cost import count_macs_of_shape, parameter_count
from upsample_lab.upsamplers._formula import evaluate


class Algorithms(NamedTuple):
    """Which algorithm of `upsample_lab.conv` each kind of convolution uses."""

    conv2d: str = DEFAULT_ALGORITHM
    conv_transpose2d: str = DEFAULT_ALGORITHM


class Upsampler(nn.Module):
    """The base of all upsamplers.

    forward(input, guide=None)
        input   [N, C_in, H, W]
        guide   None, or what the encoder remembers of the place that it downsampled: the positions of the maxima of
                each s x s window, `[N, C_guide, H, W]` as `torch.nn.functional.max_pool2d(..., return_indices=True)`
                gives them. Only upsamplers with `needs_guide` read it.
        returns [N, C_out, s·H, s·W], channels-last in memory where the input is
    Without the N, one image is taken and given; a batch may be empty. Under export, torch.func and other tools the
    plain definition runs (`conv/followed.py`). torch.jit.script is refused with a TypeError.

    A class says of itself, for the table of docs/upsamplers.md:

    equation                 the definition in one line
    source                   where it comes from
    linear                   whether the output is an affine function of the input (the guide held fixed)
    shift_equivariant        which shifts of the input shift the output, away from borders
    failure_modes            what is known to go wrong
    parameter_count_formula  trainable numbers
    macs_per_pixel_formula   multiply-accumulates for one output pixel, all channels, mean over the phases, away from
                             borders, of the definition; an instance replaces it where its options change it

    Formulas use the names that `symbols` gives: `C_in`, `C_out`, `s`, `k`, …, and `H`, `W` for the input's size.
    """

    needs_guide: ClassVar[bool] = False
    equation: ClassVar[str]
    source: ClassVar[str]
    linear: ClassVar[bool]
    shift_equivariant: ClassVar[str]
    failure_modes: ClassVar[str]
    parameter_count_formula: ClassVar[str | None] = None  # of a plugin's layer without one, it is counted
    macs_per_pixel_formula: str | None = None

    def __init__(self, in_channels: int, out_channels: int, scale: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.scale = scale

    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def symbols(self) -> dict[str, int]:
        """The values of the names in the formulas; subclasses add their own."""
        return {"C_in": self.in_channels, "C_out": self.out_channels, "s": self.scale}

    def parameter_count(self) -> int:
        """`parameter_count_formula` for this instance."""
        if self.parameter_count_formula is None:
            return parameter_count(self)
        return int(evaluate(self.parameter_count_formula, self.symbols()))

    def macs_per_pixel(self, height: int = 32, width: int = 32) -> float:
        """`macs_per_pixel_formula` for this instance; the size of the input in pixels matters to `fourier` alone."""
        if self.macs_per_pixel_formula is None:
            pixels = height * width * self.scale**2
            return count_macs_of_shape(self, self, 1, self.in_channels, height, width) / pixels
        return evaluate(self.macs_per_pixel_formula, {**self.symbols(), "H": height, "W": width})

    def __prepare_scriptable__(self) -> Any:
        raise TypeError(f"torch.jit.script: a {type(self).__name__} cannot be scripted; use torch.export")

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, scale={self.scale}"
