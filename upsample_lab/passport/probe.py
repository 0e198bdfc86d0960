"""The module under test as a function of images, and how linear and repeatable that function is."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

MIN_SIZE_PX = 16  # smallest test image: an interior of 8 pixels within borders of 4
_STEP = {torch.float64: 1e-3}  # half-width of the central difference: rounding is then 1e-13, smooth curvature 1e-6
_COARSE_STEP = 2.0**-4  # for single precision, where rounding weighs more than curvature
_PIXELS_A_CALL = 2**21  # output pixels times input channels of one call, so that a wide decoder fits into memory
LINEAR_BELOW = {torch.float64: 1e-8, torch.float32: 1e-4}


class Probe:
    """Calls an isolated module in float64 (float32 where it refuses), in chunks, without gradient.

    module       the twin of `isolation.isolated`
    in_channels  channels of its input
    scale        the factor by which it is said to enlarge
    size         side of the low-resolution test images
    seed         of the random ones
    operating_point  the constant around which everything is measured; a linear module answers the same around any
    """

    def __init__(
        self, module: nn.Module, in_channels: int, scale: int, size: int, seed: int = 0, operating_point: float = 1.0
    ) -> None:
        self.module, self.in_channels, self.scale, self.size, self.seed = module, in_channels, scale, size, seed
        self.operating_point = operating_point
        tensors = [*module.parameters(), *module.buffers()]
        self.device = tensors[0].device if tensors else torch.device("cpu")
        self.needs_guide = bool(getattr(module, "needs_guide", False)) and _takes_guide(module)
        self.dtype = self._working_dtype()

    def __call__(self, images: Tensor) -> Tensor:
        """`[N, C_in, H, W] -> [N, C_out, H', W']`, float64 on the CPU."""
        height, width = images.shape[-2:]
        chunk = max(1, _PIXELS_A_CALL // (height * width * self.scale**2 * max(self.in_channels, 8)))
        with torch.no_grad():
            return torch.cat(
                [self.raw(part.to(self.device, self.dtype)).cpu().double() for part in images.split(chunk)]
            )

    def raw(self, images: Tensor) -> Tensor:
        """One call as it is: gradients, dtype and device are the caller's."""
        return self.of(self.module)(images)

    def of(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """A copy of the module as a function of images alone."""

        def call(images: Tensor) -> Tensor:
            output = module(images, corner_guide(images, self.scale)) if self.needs_guide else module(images)
            if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[0] != images.shape[0]:
                shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ValueError(f"module: must map {tuple(images.shape)} to a tensor [N, C, H, W], got {shown}")
            return output

        return call

    def slope(self, directions: Tensor) -> Tensor:
        """Derivative at the operating point along each image of a batch; for an affine module the response itself."""
        here = torch.full_like(directions, self.operating_point)
        step = _STEP.get(self.dtype, _COARSE_STEP)
        return (self(here + step * directions) - self(here - step * directions)) / (2 * step)

    def constant(self, value: float) -> Tensor:
        """The response to a constant image, cut to whole periods of the scale: `[1, C_out, s·H, s·W]`."""
        image = torch.full((1, self.in_channels, self.size, self.size), value, dtype=torch.float64)
        return self.fitted(self(image), (self.size, self.size))

    def constant_slope(self) -> Tensor:
        """How the response to the operating point grows with it: `[1, C_out, s·H, s·W]`."""
        image = torch.ones(1, self.in_channels, self.size, self.size, dtype=torch.float64)
        return self.fitted(self.slope(image), (self.size, self.size))

    def fitted(self, output: Tensor, input_size: tuple[int, int]) -> Tensor:
        """The output on the grid of `scale` times the input, anchored top left: cut, or continued with its last pixel.

        Only outputs of the wrong size change by it; they are told of in the findings and can still be looked at.
        """
        for axis, size in zip((-2, -1), input_size, strict=True):
            wanted, have = self.scale * size, output.shape[axis]
            index = torch.arange(wanted).clamp_max(have - 1)
            output = output.index_select(axis, index)
        return output

    def noise(self, count: int, size: int, salt: int) -> Tensor:
        """`[count, C_in, size, size]` white noise of deviation 0.25 around the operating point, by seed and salt."""
        generator = torch.Generator().manual_seed(self.seed * 1009 + salt)
        shape = (count, self.in_channels, size, size)
        return self.operating_point + 0.25 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def linearity_error(self) -> float:
        """`|f(au + (1-a)v) - a f(u) - (1-a) f(v)|` relative to `|f(u) - f(v)|`, for white noise and a = -0.7."""
        u, v = self.noise(2, MIN_SIZE_PX, salt=1).split(1)
        mixed, of_u, of_v = self(-0.7 * u + 1.7 * v), self(u), self(v)
        error, reference = (mixed + 0.7 * of_u - 1.7 * of_v).norm(), (of_u - of_v).norm()
        return float(error / reference) if reference > 0 else 0.0

    def repeat_error(self) -> float:
        """Relative difference between two calls with one input."""
        images = self.noise(1, MIN_SIZE_PX, salt=2)
        first, second = self(images), self(images)
        return float((first - second).norm() / first.norm()) if first.norm() > 0 else 0.0

    def _working_dtype(self) -> torch.dtype:
        small = torch.full((1, self.in_channels, MIN_SIZE_PX, MIN_SIZE_PX), self.operating_point, device=self.device)
        own = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        try:
            self.module.double()
            with torch.no_grad():
                self.raw(small.double())
        except (RuntimeError, TypeError, ValueError):  # a module that mixes in tensors of its own dtype
            self.module.to(own)
            return own
        return torch.float64


def corner_guide(images: Tensor, scale: int) -> Tensor:
    """`[N, 1, H, W]`: the positions that max-pooling leaves for a constant image, the top left pixel of each window."""
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device)[:, None] * scale
    columns = torch.arange(width, device=images.device) * scale
    return (rows * (width * scale) + columns).expand(count, 1, height, width)


def _takes_guide(module: nn.Module) -> bool:
    return len(inspect.signature(module.forward).parameters) > 1


def check_arguments(module: object, in_channels: int, scale: int, size: int, operating_point: float) -> None:
    """Refuse, in one line, what cannot be measured. Raises TypeError or ValueError."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: must be a torch.nn.Module, got {type(module).__name__}")
    for name, value, low in (("in_channels", in_channels, 1), ("scale", scale, 2), ("size", size, MIN_SIZE_PX)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name}={value!r}: must be an integer from {low} up")
    if not math.isfinite(operating_point) or operating_point == 0:
        raise ValueError(f"operating_point={operating_point!r}: must be a number other than 0")


def output_sizes(probe: Probe) -> tuple[dict[str, str], tuple[str, ...]]:
    """Output sizes by input size, odd and unequal sides included, and those that are not `scale` times the input.

    Raises ValueError if the module enlarges by another factor, refuses the main size, or gives NaN or infinity.
    """
    sizes, wrong = {}, []
    for height, width in ((probe.size, probe.size), (15, 15), (12, 17)):
        key = f"{height} x {width}"
        try:
            output = probe(
                torch.full((1, probe.in_channels, height, width), probe.operating_point, dtype=torch.float64)
            )
        except (RuntimeError, ValueError) as error:
            if (height, width) == (probe.size, probe.size):
                raise ValueError(f"module: fails for an input of {key} pixels: {_first_line(error)}") from error
            sizes[key] = "refused"
            wrong.append(key)
            continue
        if not bool(output.isfinite().all()):
            raise ValueError(f"module: gives values that are not finite for a constant image of {key} pixels")
        sizes[key] = f"{output.shape[-2]} x {output.shape[-1]}"
        _check_factor(output, (height, width), probe.scale)
        if tuple(output.shape[-2:]) != (probe.scale * height, probe.scale * width):
            wrong.append(key)
    return sizes, tuple(wrong)


def _check_factor(output: Tensor, input_size: tuple[int, int], scale: int) -> None:
    """A few pixels too many or too few can be looked at; another factor cannot."""
    for have, size in zip(output.shape[-2:], input_size, strict=True):
        if abs(have - scale * size) >= size / 2:
            shown = f"{input_size[0]} x {input_size[1]} becomes {output.shape[-2]} x {output.shape[-1]}"
            raise ValueError(
                f"scale={scale}: not the module's factor, {shown}; give scale={max(2, round(have / size))}"
            )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
