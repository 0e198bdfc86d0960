"""Memory formats: which one torch's own convolution would answer in."""

from __future__ import annotations

import torch
from torch import Tensor


def is_channels_last(image: Tensor) -> bool:
    """Whether the strides of a `[N, C, H, W]` tensor read as channels last, by torch's own reading.

    Torch decides by the order of the strides, not by contiguity: they must not fall in the order C, W, H, N, and a
    tensor that is only ambiguous (one channel, one pixel) counts as contiguous.
    """
    last = image.is_contiguous(memory_format=torch.channels_last)
    if last != image.is_contiguous():
        return last
    smallest = 0
    if image.stride(1) == 0:
        return False
    for axis in (1, 3, 2, 0):
        stride, size = image.stride(axis), image.shape[axis]
        if stride < smallest or (size == 0 and axis != 0) or (axis == 0 and smallest == image.stride(1)):
            return False
        smallest = stride * max(size, 1)
    return True


def format_of(image: Tensor) -> torch.memory_format:
    """Channels last or contiguous."""
    return torch.channels_last if is_channels_last(image) else torch.contiguous_format


def result_format(image: Tensor, weight: Tensor) -> torch.memory_format:
    """The memory format in which torch's convolution of these two would answer: channels last if either of them is."""
    decides = image if image.shape[0] == 0 or is_channels_last(image) else weight
    return format_of(decides)


def empty_result(image: Tensor, weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Uninitialised memory for the result: `[N, channels, height, width]` in `result_format`."""
    shape = (image.shape[0], channels, height, width)
    return torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=result_format(image, weight))


def in_result_format(result: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """The result, copied only where its strides are not already those of `result_format`."""
    memory_format = result_format(image, weight)
    _, c, height, width = result.shape
    if memory_format is torch.channels_last:
        strides = (height * width * c, 1, width * c, c)
    else:
        strides = (c * height * width, height * width, width, 1)
    if result.stride() == strides:
        return result
    return result.clone(memory_format=memory_format)
