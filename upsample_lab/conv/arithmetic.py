"""Counting: sizes, receptive fields and multiplications, one axis at a time. Integers only, no torch.

Every size and every count of this module follows from the one index of `geometry.py` (Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning", arXiv:1603.07285, relationships 6 and 14).

An encoder of stride 2 takes 5 pixels to 3, and a transposed convolution of kernel 4 brings 3 to 6; one more of padding
and of output padding give the 5 back. Of its 3·4 products 9 are with pixels of the 5 that there are:

>>> conv_output_size(5, 3, stride=2, padding=1), conv_transpose_output_size(3, 4, stride=2, padding=1)
(3, 6)
>>> conv_transpose_output_size(3, 4, stride=2, padding=2, output_padding=1), tap_count(3, 5, 4, 2, 2)
(5, 9)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .geometry import Geometry, Pair, convolved_size, kernel_span, positions_inside, transposed_size


def conv_output_size(input_size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Size of a convolution's output along one axis: ``⌊(n + 2p - d(k-1) - 1) / s⌋ + 1``.

    Raises ValueError if an argument is out of range, or if the kernel does not fit into the padded input.
    """
    _require_geometry(kernel_size, stride, padding, dilation)
    _require_at_least("input_size", input_size, 1)
    padded_size, span = input_size + 2 * padding, kernel_span(kernel_size, dilation)
    if span > padded_size:
        raise ValueError(
            f"kernel_size={kernel_size} with dilation={dilation} spans {span} pixels, more than the padded input has: "
            f"input_size={input_size} + 2·padding={padding} is {padded_size}"
        )
    return convolved_size(input_size, kernel_size, stride, padding, dilation)


def conv_transpose_output_size(
    input_size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0
) -> int:
    """Size of a transposed convolution's output along one axis: ``(n - 1)s - 2p + d(k-1) + 1 + output_padding``.

    The arguments are in the order of `conv_output_size`, with ``output_padding`` last.
    Raises ValueError if an argument is out of range (``output_padding`` must be below the larger of stride and
    dilation), or if the padding cuts the whole output away.
    """
    _require_geometry(kernel_size, stride, padding, dilation)
    _require_at_least("input_size", input_size, 1)
    _require_at_least("output_padding", output_padding, 0)
    if output_padding >= max(stride, dilation):
        raise ValueError(
            f"output_padding={output_padding} must be smaller than stride={stride} or dilation={dilation}, "
            f"so at most {max(stride, dilation) - 1}"
        )
    output_size = transposed_size(input_size, kernel_size, stride, padding, dilation, output_padding)
    if output_size < 1:
        cropped = 2 * padding - output_padding
        raise ValueError(
            f"padding={padding} leaves an output of {output_size} pixels: without padding it would have "
            f"{output_size + cropped}, and 2·padding - output_padding must be smaller than that"
        )
    return output_size


def inverting_output_padding(
    input_size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """The ``output_padding`` with which a transposed convolution gives back ``input_size`` after this convolution.

    It is what the floor in `conv_output_size` threw away: ``(n + 2p - d(k-1) - 1) mod s``; always below the stride.
    """
    conv_output_size(input_size, kernel_size, stride, padding, dilation)  # refuses what no convolution could do
    return (input_size + 2 * padding - kernel_span(kernel_size, dilation)) % stride


def exact_padding(kernel_size: int, scale: int) -> tuple[int, int]:
    """Padding p and output padding q of the transposed convolution whose output is exactly s times its input.

    From `(n - 1)s - 2p + k + q = s·n`. Of the solutions of `2p - q = k - s` the one with the smallest q, so that
    nothing is cut off at the right only to be added again.
    """
    padding = max(0, -(-(kernel_size - scale) // 2))
    return padding, 2 * padding - (kernel_size - scale)


def _require_geometry(kernel_size: int, stride: int, padding: int, dilation: int) -> None:
    _require_at_least("kernel_size", kernel_size, 1)
    _require_at_least("stride", stride, 1)
    _require_at_least("padding", padding, 0)
    _require_at_least("dilation", dilation, 1)


def _require_at_least(name: str, value: int, minimum: int) -> None:
    # NumPy's integers and torch's symbolic ones are no `int`, but they can index; a bool can too, and is refused.
    is_integer = isinstance(value, int) or hasattr(value, "__index__")
    if isinstance(value, bool) or not is_integer or value < minimum:
        raise ValueError(f"{name}={value!r} must be an integer of at least {minimum}")


# ---------------------------------------------------------------------------------------------------- receptive field


@dataclass(frozen=True)
class Axis:
    """What decides a convolution's geometry along one axis."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def __post_init__(self) -> None:
        _require_geometry(self.kernel_size, self.stride, self.padding, self.dilation)


@dataclass(frozen=True)
class ReceptiveField:
    """Output pixel ``i`` sees input pixels ``offset + i·stride`` … ``offset + i·stride + size - 1``.

    The offset is negative where the first output pixel sees into the padding. With dilation, the field is the span from
    the first pixel seen to the last; the pixels between them are not all used.
    """

    size: int
    stride: int
    offset: int

    def interval(self, output_index: int) -> tuple[int, int]:
        """First and last input pixel, both included, that this output pixel sees (padding counts as pixels)."""
        first = self.offset + output_index * self.stride
        return first, first + self.size - 1


def receptive_field(layers: Iterable[Axis]) -> ReceptiveField:
    """Receptive field of a stack of convolutions, first layer first; an empty stack sees one pixel.

    Each layer widens the field by ``d(k-1)`` steps of the stride so far, and moves its start back by ``p`` of them
    (Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019, eq. 2-5).
    """
    size, stride, offset = 1, 1, 0
    for layer in layers:
        size += (kernel_span(layer.kernel_size, layer.dilation) - 1) * stride
        offset -= layer.padding * stride
        stride *= layer.stride
    return ReceptiveField(size, stride, offset)


# ----------------------------------------------------------------------------------------------- multiply-accumulates
#
# The convention: a multiply-accumulate (MAC) is the product of a weight with a *real* input pixel. Zeros put there by
# padding or zero insertion are not multiplied by any sensible implementation, and are not counted. Adding a bias is no
# MAC. Counters that multiply a transposed convolution's k² taps with its *output* pixels count s² times too many.


def mac_count(weight_shape: Sequence[int], fine_size: Pair, coarse_size: Pair, g: Geometry) -> int:
    """MACs of a convolution of one image, `fine_size` to `coarse_size`, and of the transposed one back, borders exact.

    These are the stored entries of the matrix ``C``. ``weight_shape`` is `[C_out, C_in/groups, k_h, k_w]`.
    """
    out, per_group, *kernel = weight_shape
    taps = (tap_count(coarse_size[axis], fine_size[axis], kernel[axis], *g.along(axis)) for axis in (0, 1))
    return out * per_group * math.prod(taps)


def tap_count(
    coarse_size: int, fine_size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Pairs of pixels that a kernel connects along one axis.

    The coarse side is a convolution's output, or a transposed convolution's input. Counted are taps ``a`` and coarse
    pixels ``i`` with ``0 <= i·s + a·d - p < fine_size``.
    """
    inside = (positions_inside(coarse_size, stride, a * dilation - padding, fine_size) for a in range(kernel_size))
    return sum(places.stop - places.start for places in inside)


# ------------------------------------------------------------------------------------------------------- size planner


@dataclass(frozen=True)
class InverseOption:
    """A transposed convolution that gives back the size an encoder's stage started from.

    ``shift_px`` is how far, in output pixels, each input pixel's kernel lies from the middle of the ``s`` output pixels
    that stand for it; zero is centred, negative is towards the top left.
    """

    kernel_size: int
    stride: int
    padding: int
    output_padding: int

    @property
    def stride_divides_kernel(self) -> bool:
        """Whether every output pixel gets as many taps as its neighbours; if not, it starts as a checkerboard."""
        return self.kernel_size % self.stride == 0

    @property
    def leaves_gaps(self) -> bool:
        """Whether some output pixels hold nothing but the bias: between the kernels, or behind the last of them."""
        return self.kernel_size < self.stride or self.output_padding > self.padding

    @property
    def shift_px(self) -> float:
        return (self.kernel_size - self.stride) / 2 - self.padding


@dataclass(frozen=True)
class PlannedStage:
    """One stage of the decoder: from ``input_size`` back to ``output_size``, and all the layers that can do it."""

    input_size: int
    output_size: int
    options: tuple[InverseOption, ...]


@dataclass(frozen=True)
class SizePlan:
    """The sizes of an encoder's stages, and for each the transposed convolutions that give its input size back."""

    image_size: int
    stage_count: int
    scale: int
    encoder: Axis
    encoder_sizes: tuple[int, ...]
    decoder: tuple[PlannedStage, ...]

    @property
    def upsampled_sizes(self) -> tuple[int, ...]:
        """Sizes of a decoder whose every stage multiplies by ``scale``, which is what an upsampler does."""
        return tuple(self.encoder_sizes[-1] * self.scale**stage for stage in range(self.stage_count + 1))

    @property
    def is_exact(self) -> bool:
        """Whether multiplying by ``scale`` in every stage gives back every size of the encoder."""
        return self.upsampled_sizes == self.encoder_sizes[::-1]

    @property
    def encoder_divides(self) -> bool:
        """Whether the encoder's kernel and padding take every multiple of the scale to exactly that part of it."""
        excess = self.encoder.kernel_size - self.scale
        return excess <= 2 * self.encoder.padding < excess + self.scale

    @property
    def shared_options(self) -> tuple[InverseOption, ...]:
        """The layers that are right in every stage."""
        first, *others = (stage.options for stage in self.decoder)
        return tuple(option for option in first if all(option in options for options in others))

    @property
    def exact_stage_count(self) -> int:
        """How many stages of this scale the image size can be divided by."""
        count, size = 0, self.image_size
        while size % self.scale == 0:
            count, size = count + 1, size // self.scale
        return count

    @property
    def exact_image_sizes(self) -> tuple[int, ...]:
        """The nearest image sizes below and above that this many stages divide (itself, if it is one)."""
        total = self.scale**self.stage_count
        below, above = self.image_size // total * total, -(-self.image_size // total) * total
        return tuple(size for size in dict.fromkeys((below, above)) if size > 0)


def plan_sizes(
    image_size: int,
    stages: int,
    scale: int = 2,
    encoder_kernel_size: int = 3,
    encoder_padding: int = 1,
    max_kernel_size: int | None = None,
) -> SizePlan:
    """Every transposed convolution, stage by stage, that gives back the sizes of a strided encoder.

    The encoder has ``stages`` convolutions of stride ``scale``; its default kernel rounds sizes up. Kernels of up to
    ``max_kernel_size`` (default: three times the scale) and paddings below the kernel size are listed: a larger padding
    would crop whole input pixels away.

    Raises ValueError if an argument is out of range or the encoder's kernel does not fit into one of its sizes.
    """
    _require_at_least("stages", stages, 1)
    _require_at_least("scale", scale, 2)
    encoder = Axis(encoder_kernel_size, scale, encoder_padding)
    sizes = [image_size]
    for _ in range(stages):
        sizes.append(conv_output_size(sizes[-1], encoder.kernel_size, scale, encoder.padding))
    max_kernel_size = 3 * scale if max_kernel_size is None else max_kernel_size
    _require_at_least("max_kernel_size", max_kernel_size, 1)
    decoder = tuple(
        PlannedStage(small, large, _inverse_options(small, large, scale, max_kernel_size))
        for large, small in zip(sizes[-2::-1], sizes[:0:-1], strict=True)
    )
    return SizePlan(image_size, stages, scale, encoder, tuple(sizes), decoder)


def _inverse_options(small: int, large: int, scale: int, max_kernel_size: int) -> tuple[InverseOption, ...]:
    return tuple(
        InverseOption(kernel_size, scale, padding, output_padding)
        for kernel_size in range(1, max_kernel_size + 1)
        for padding in range(kernel_size)
        for output_padding in range(scale)
        if transposed_size(small, kernel_size, scale, padding, 1, output_padding) == large
    )
