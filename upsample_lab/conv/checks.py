"""What the convolutions refuse, and why: everything that torch's own refuse, with the shapes in the message."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from .geometry import Geometry, Pair, kernel_span


def as_int(name: str, value: Any) -> int:
    """An integer (Python's, NumPy's, a tensor of one), not a bool and not a float; TypeError otherwise."""
    if type(value) is int or isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]  # a SymInt stands for an int while torch.compile traces
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool") or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    try:
        return operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})") from error


def as_pair(name: str, value: Any) -> Pair:
    """An integer, or a sequence of one or two, as (vertical, horizontal). TypeError or ValueError for anything else."""
    if isinstance(value, (tuple, list)):
        if len(value) not in (1, 2):
            raise ValueError(f"{name} must be one integer or a pair (vertical, horizontal), got {value!r}")
        numbers = [as_int(name, number) for number in value]
        return numbers[0], numbers[-1]
    number = as_int(name, value)
    return number, number


def as_geometry(stride: Any, padding: Any, dilation: Any, groups: Any) -> Geometry:
    """The four as a geometry, their ranges unchecked. TypeError or ValueError as of `as_pair` and `as_int`."""
    pairs = (as_pair("stride", stride), as_pair("padding", padding), as_pair("dilation", dilation))
    return Geometry(*pairs, as_int("groups", groups))


def check_conv2d(name: str, input: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> None:
    """Refuse the sizes that `torch.nn.functional.conv2d` refuses (ValueError), in the name of ``name``."""
    _check_geometry(name, g)
    out, per_group = weight.shape[:2]
    if out < g.groups or out % g.groups:
        raise ValueError(
            f"{name}: weight has {out} output channels (dimension 0 of {list(weight.shape)}), which groups={g.groups} "
            "does not divide into equal parts"
        )
    if input.shape[-3] != per_group * g.groups:
        raise ValueError(
            f"{name}: input {list(input.shape)} has {input.shape[-3]} channels, but weight {list(weight.shape)} with "
            f"groups={g.groups} needs {per_group} x {g.groups} = {per_group * g.groups}"
        )
    _check_bias(name, bias, out, weight)
    padded = tuple(input.shape[axis - 2] + 2 * g.padding[axis] for axis in (0, 1))
    spans = kernel_span(weight.shape[2], g.dilation[0]), kernel_span(weight.shape[3], g.dilation[1])
    if spans[0] > padded[0] or spans[1] > padded[1]:
        raise ValueError(
            f"{name}: the kernel ({weight.shape[2]} x {weight.shape[3]}, with dilation={g.dilation} "
            f"{spans[0]} x {spans[1]}) is larger than the padded input ({padded[0]} x {padded[1]}: "
            f"input {list(input.shape)}, padding={g.padding})"
        )


def check_conv_transpose2d(
    name: str, input: Tensor, weight: Tensor, bias: Tensor | None, output_padding: Pair, g: Geometry
) -> None:
    """Refuse the sizes that `torch.nn.functional.conv_transpose2d` refuses (ValueError)."""
    _check_geometry(name, g)
    channels, per_group = weight.shape[:2]
    if channels < g.groups or channels % g.groups:
        raise ValueError(
            f"{name}: weight has {channels} input channels (dimension 0 of {list(weight.shape)}), which "
            f"groups={g.groups} does not divide into equal parts"
        )
    if input.shape[-3] != channels:
        raise ValueError(
            f"{name}: input {list(input.shape)} has {input.shape[-3]} channels, but weight {list(weight.shape)} "
            f"needs {channels}"
        )
    if per_group < 1:
        raise ValueError(f"{name}: weight {list(weight.shape)} has no output channels (dimension 1)")
    _check_bias(name, bias, per_group * g.groups, weight)
    for axis, label in enumerate(("vertical", "horizontal")):
        limit = max(g.stride[axis], g.dilation[axis])
        too_large = output_padding[axis] >= limit and input.shape[0] > 0  # torch does not look where nothing is made
        if output_padding[axis] < 0 or too_large:
            raise ValueError(
                f"{name}: output_padding={output_padding} must be at least 0 and below the larger of stride and "
                f"dilation, per axis; the {label} limit is max({g.stride[axis]}, {g.dilation[axis]}) = {limit}"
            )
    size = g.transposed_size((input.shape[-2], input.shape[-1]), (weight.shape[2], weight.shape[3]), output_padding)
    # An output without pixels is torch's to allow: its float64 kernel does not, the others do.
    least = 1 if input.dtype == torch.float64 and input.numel() else 0
    if min(size) < least:
        raise ValueError(
            f"{name}: padding={g.padding} leaves nothing of the output, {size[0]} x {size[1]} for input "
            f"{list(input.shape)} and weight {list(weight.shape)}; use less padding"
        )


def check_dtype(name: str, dtype: torch.dtype, algorithm: str, *, transposed: bool, dilated: bool) -> None:
    """Refuse the types that torch refuses, and those that only its own kernels know (TypeError)."""
    if dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128):
        return
    if dtype == torch.complex32:
        if algorithm != "native":
            raise TypeError(f"{name}: algorithm {algorithm!r} does not do {dtype}; algorithm 'native' does")
        return
    integers = (torch.int64,) if transposed or dilated else _INTEGERS
    if dtype not in integers:
        raise TypeError(
            f"{name}: tensors of {dtype} cannot be convolved"
            + ("; of the integers, only torch.int64 can be transposed or dilated" if dtype in _INTEGERS else "")
        )


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_tensors(name: str, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse what is no dense tensor, has another number of dimensions, or another type than the rest."""
    for label, tensor in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(tensor, Tensor) and not (label == "bias" and tensor is None):
            raise TypeError(f"{name}: {label} must be a Tensor, got {type(tensor).__name__}")
        if isinstance(tensor, Tensor) and tensor.layout != torch.strided:
            raise TypeError(f"{name}: {label} must be a dense tensor, got layout {tensor.layout}")
    if weight.dim() != 4:
        raise ValueError(f"{name}: weight must have 4 dimensions, got {list(weight.shape)}")
    if input.dim() not in (3, 4):
        raise ValueError(f"{name}: input must be [N, C, H, W] or [C, H, W], got {list(input.shape)}")
    if input.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype):
        bias_dtype = "" if bias is None else f", bias {bias.dtype}"
        raise TypeError(
            f"{name}: all tensors must have one dtype, got input {input.dtype}, weight {weight.dtype}{bias_dtype}"
        )
    if weight.shape[2] < 1 or weight.shape[3] < 1:
        raise ValueError(f"{name}: weight {list(weight.shape)} has a kernel without taps")
    if input.shape[-1] < 1 or input.shape[-2] < 1:
        batch_is_empty = input.dim() == 4 and input.shape[0] == 0
        if not batch_is_empty:
            raise ValueError(f"{name}: input {list(input.shape)} has no pixels; only the batch may be empty")


def _check_geometry(name: str, g: Geometry) -> None:
    for label, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = getattr(g, label)
        if value[0] < least or value[1] < least:
            raise ValueError(f"{name}: {label}={value} must be at least {least}")
    if g.groups < 1:
        raise ValueError(f"{name}: groups={g.groups} must be at least 1")


def _check_bias(name: str, bias: Tensor | None, channels: int, weight: Tensor) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"{name}: bias must be [{channels}] for weight {list(weight.shape)}, got {list(bias.shape)}")
