"""The module under test as a function of images, and how linear and repeatable that function is."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from upsample_lab.passport.isolation import cast

MIN_SIZE_PX = 16  # smallest test image: an interior of 8 pixels within borders of 4
_STEP = {torch.float64: 1e-3}  # half-width of the central difference: rounding is then 1e-13, smooth curvature 1e-6
_COARSE_STEP = 2.0**-4  # for single precision, where rounding weighs more than curvature, and for affine modules
_PIXELS_A_CALL = 2**21  # output pixels times input channels of one call, so that a wide decoder fits into memory
LINEAR_BELOW = {torch.float64: 1e-8, torch.float32: 1e-4}


OperatingPoint = float | tuple[float, ...]


class Refused(ValueError):
    """The module took the images, or what it was asked, not; the message is one line."""


class Probe:
    """Calls an isolated module in float64 (float32 where it refuses), in chunks, without gradient.

    All test images have the same size but for those of `output_sizes`, since some modules take one size only.

    Args:
        module: the twin of `isolation.isolated`.
        in_channels: channels of its input.
        scale: the factor by which it is said to enlarge.
        size: side of the low-resolution test images.
        seed: of the random ones.
        operating_point: the constant around which everything is measured, one for all channels or a tuple of one for
            each; a linear module answers the same around any.
        on_images: is told how many images have gone through, as they do.
    """

    def __init__(
        self,
        module: nn.Module,
        in_channels: int,
        scale: int,
        size: int,
        seed: int = 0,
        operating_point: OperatingPoint = 1.0,
        on_images: Callable[[int], None] | None = None,
    ) -> None:
        self.module, self.in_channels, self.scale, self.size, self.seed = module, in_channels, scale, size, seed
        self.operating_point = operating_point
        self.point = torch.tensor(operating_point, dtype=torch.float64).expand(in_channels)[:, None, None]
        several = isinstance(operating_point, tuple)
        self.level = float(self.point.square().mean().sqrt() if several else self.point[0])
        self.on_images = on_images
        tensors = [*module.parameters(), *module.buffers()]
        self.device = tensors[0].device if tensors else torch.device("cpu")
        if self.device.type == "meta":
            raise Refused("module: is on the meta device, without values; give it some, as by module.to_empty")
        self.needs_guide = bool(getattr(module, "needs_guide", False)) and _takes_guide(module)
        self.affine = False  # until `linearity_error` has measured it
        self.dtype = self._working_dtype()

    def __call__(self, images: Tensor) -> Tensor:
        """`[N, C_in, H, W] -> [N, C_out, H', W']`, float64 on the CPU. Raises Refused."""
        height, width = images.shape[-2:]
        chunk = max(1, _PIXELS_A_CALL // (height * width * self.scale**2 * max(self.in_channels, 8)))
        outputs = []
        for part in images.split(chunk):
            # A copy, since some modules write to their input.
            own = part.to(self.device, self.dtype, copy=True)
            try:
                with torch.no_grad():
                    outputs.append(self.raw(own).detach().cpu().double())
            except Refused:
                raise
            except Exception as error:  # whatever a third party's forward raises
                raise Refused(
                    f"module: fails for an input of {height} x {width} pixels: {first_line(error)}"
                ) from error
            if self.on_images is not None:
                self.on_images(len(part))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def raw(self, images: Tensor) -> Tensor:
        """One call as it is: gradients, dtype and device are the caller's."""
        return self.of(self.module)(images)

    def of(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """A copy of the module as a function of images alone. Raises Refused for what is no batch of images."""

        def call(images: Tensor) -> Tensor:
            output = module(images, corner_guide(images, self.scale)) if self.needs_guide else module(images)
            if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[0] != images.shape[0]:
                shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise Refused(f"module: must map {tuple(images.shape)} to a tensor [N, C, H, W], got {shown}")
            if output.is_complex():
                raise Refused(f"module: gives complex numbers ({_word(output.dtype)}), and images are real")
            return output

        return call

    def slope(self, directions: Tensor) -> Tensor:
        """Derivative at the operating point along each image of a batch; for an affine module the response itself."""
        here = self.point.expand_as(directions)
        if self.affine:
            # One difference, from the point itself, is as exact as the central one, and takes half the calls.
            return (self(here + _COARSE_STEP * directions) - self(here[:1])) / _COARSE_STEP
        step = _STEP.get(self.dtype, _COARSE_STEP)
        return (self(here + step * directions) - self(here - step * directions)) / (2 * step)

    def image(self, height: int, width: int) -> Tensor:
        """The operating point everywhere: `[1, C_in, H, W]`."""
        return self.point.expand(1, -1, height, width)

    def constant(self) -> Tensor:
        """The response to the operating point, cut to whole periods of the scale: `[1, C_out, s·H, s·W]`."""
        return self.fitted(self(self.image(self.size, self.size)), (self.size, self.size))

    def constant_slope(self) -> Tensor:
        """How the response to the operating point grows with its level: `[1, C_out, s·H, s·W]`."""
        return self.fitted(self.slope(self.image(self.size, self.size) / self.level), (self.size, self.size))

    def fitted(self, output: Tensor, input_size: tuple[int, int]) -> Tensor:
        """The output on the grid of `scale` times the input, anchored top left: cut, or continued with its last pixel.

        Only outputs of the wrong size change by it; they are told of in the findings and can still be looked at.
        """
        for axis, size in zip((-2, -1), input_size, strict=True):
            wanted, have = self.scale * size, output.shape[axis]
            if wanted == have:
                continue
            index = torch.arange(wanted).clamp_max(have - 1)
            output = output.index_select(axis, index)
        return output

    def noise(self, count: int, size: int, salt: int) -> Tensor:
        """`[count, C_in, size, size]` white noise around the operating point, a quarter of its level deep."""
        generator = torch.Generator().manual_seed(self.seed * 1009 + salt)
        shape = (count, self.in_channels, size, size)
        return self.point + 0.25 * abs(self.level) * torch.randn(shape, generator=generator, dtype=torch.float64)

    def linearity_error(self) -> float:
        """`|f(au + (1-a)v) - a f(u) - (1-a) f(v)|` relative to `|f(u) - f(v)|`, for white noise and a = -0.7."""
        u, v = self.noise(2, self.size, salt=1).split(1)
        mixed, of_u, of_v = self(-0.7 * u + 1.7 * v), self(u), self(v)
        error, reference = (mixed + 0.7 * of_u - 1.7 * of_v).norm(), (of_u - of_v).norm()
        relative = float(error / reference) if reference > 0 else 0.0
        self.affine = self.dtype == torch.float64 and relative < LINEAR_BELOW[torch.float64]
        return relative

    def repeat_error(self) -> float:
        """Relative difference between two calls with one input."""
        images = self.noise(1, self.size, salt=2)
        first, second = self(images), self(images)
        return float((first - second).norm() / first.norm()) if first.norm() > 0 else 0.0

    def _working_dtype(self) -> torch.dtype:
        image = self.image(self.size, self.size).to(self.device).contiguous()
        own = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        try:
            cast(self.module, torch.float64)
            with torch.no_grad():
                self.raw(image)
        except Exception:  # a module that mixes in tensors of its own dtype; other refusals are met again, and told
            cast(self.module, own)
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


def check_arguments(module: object, in_channels: int, scale: int, size: int, operating_point: OperatingPoint) -> None:
    """Refuse, in one line, what cannot be measured. Raises TypeError or ValueError."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: must be a torch.nn.Module, got {type(module).__name__}")
    for name, value, low in (("in_channels", in_channels, 1), ("scale", scale, 2), ("size", size, MIN_SIZE_PX)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name}={value!r}: must be an integer from {low} up")
    values = [operating_point] if isinstance(operating_point, int | float) else list(operating_point)
    if len(values) not in (1, in_channels) or not all(map(math.isfinite, values)) or not any(values):
        raise ValueError(
            f"operating_point={operating_point!r}: must be a number other than 0, or one for each of the {in_channels} "
            "channels, not all of them 0"
        )


def output_sizes(probe: Probe) -> tuple[dict[str, str], tuple[str, ...]]:
    """Output sizes by input size, odd and unequal sides included, and those that are not `scale` times the input.

    Raises Refused if the module refuses the main size, enlarges it by another factor, or gives NaN or infinity there.
    """
    sizes, wrong = {}, []
    for height, width in ((probe.size, probe.size), (15, 15), (12, 17)):
        key, is_main = f"{height} x {width}", height == probe.size
        try:
            output = probe(probe.image(height, width))
        except Refused:
            if is_main:
                raise
            sizes[key] = "refused"
            wrong.append(key)
            continue
        if is_main:
            if not bool(output.isfinite().all()):
                raise Refused(f"module: gives values that are not finite for a constant image of {key} pixels")
            _check_factor(output, probe.size, probe.scale)
        sizes[key] = f"{output.shape[-2]} x {output.shape[-1]}"
        if tuple(output.shape[-2:]) != (probe.scale * height, probe.scale * width):
            wrong.append(key)
    return sizes, tuple(wrong)


def _check_factor(output: Tensor, size: int, scale: int) -> None:
    """A few pixels too many or too few can be looked at; another factor cannot. Raises Refused, with advice if any."""
    have = tuple(output.shape[-2:])
    if all(abs(side - scale * size) < size / 2 for side in have):
        return
    factors = sorted({side / size for side in have})
    shown = f"scale={scale}: not the module's factor, {size} x {size} becomes {have[0]} x {have[1]}"
    if len(factors) > 1:
        raise Refused(f"{shown}; a passport is of one factor for both axes")
    if factors[0] <= 1:
        raise Refused(f"{shown}; it does not enlarge: give the upsampling layer inside it")
    near = _whole_factor(have[0], size)
    if near is None:
        raise Refused(f"{shown}, {factors[0]:.4g} times as large; a passport is of a whole factor")
    raise Refused(f"{shown}; give scale={near}")


def _whole_factor(side: int, size: int) -> int | None:
    """The whole factor that `_check_factor` would let pass, 2 or more; None where that is a guess.

    An odd pixel or two at the border, as paddings leave them, does not make a factor; a quarter of an image does.
    """
    near = round(side / size)
    return near if near >= 2 and abs(side - near * size) <= max(2, near // 2) else None


def first_line(error: BaseException) -> str:
    """An error in one line: what it says, or its name."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text if text and not isinstance(error, KeyError) else f"{type(error).__name__} {text}".strip()


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
