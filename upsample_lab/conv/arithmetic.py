"""Sizes and counts of convolutions and transposed convolutions: integers only, one axis at a time, no torch.

Along one axis, a convolution with kernel ``k``, stride ``s``, padding ``p`` and dilation ``d`` multiplies tap ``a`` for
output ``i`` with input pixel ``i·s + a·d - p``. A transposed convolution uses the same pairs with input and output
exchanged. Every size and every count of this module follows from that one index (Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning", arXiv:1603.07285, relationships 6 and 14).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Pair = int | tuple[int, int]


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
    return (padded_size - span) // stride + 1


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
    full_size = (input_size - 1) * stride + kernel_span(kernel_size, dilation)
    output_size = full_size - 2 * padding + output_padding
    if output_size < 1:
        raise ValueError(
            f"padding={padding} leaves an output of {output_size} pixels: without padding it would have {full_size}, "
            f"and 2·padding - output_padding must be smaller than that"
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


def kernel_span(kernel_size: int, dilation: int = 1) -> int:
    """Pixels from the first tap of a kernel to its last, both included: ``d(k-1) + 1``."""
    return dilation * (kernel_size - 1) + 1


def _require_geometry(kernel_size: int, stride: int, padding: int, dilation: int) -> None:
    _require_at_least("kernel_size", kernel_size, 1)
    _require_at_least("stride", stride, 1)
    _require_at_least("padding", padding, 0)
    _require_at_least("dilation", dilation, 1)


def _require_at_least(name: str, value: int, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name}={value!r} must be an integer of at least {minimum}")


# ---------------------------------------------------------------------------------------------------- receptive field


@dataclass(frozen=True)
class Layer:
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


def receptive_field(layers: Iterable[Layer]) -> ReceptiveField:
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
