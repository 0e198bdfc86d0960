"""Chapter 9: `conv2d` and `conv_transpose2d`, torch.nn.functional's arguments and refusals, a choice of algorithm.

>>> import torch
>>> x, w = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)
>>> conv2d(x, w).flatten().tolist(), conv2d(x, w, padding=1, stride=2, algorithm="definition").flatten().tolist()
([4.0, 4.0, 4.0, 4.0], [1.0, 2.0, 2.0, 4.0])
>>> conv2d(x, w, stride=0)
Traceback (most recent call last):
ValueError: conv2d: stride=(0, 0) must be at least 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import torch
import torch.nn.functional as F
from torch import Tensor

from .algorithms import check_algorithm
from .checks import as_geometry, as_pair, check_conv2d, check_conv_transpose2d, check_dtype, check_tensors
from .derivatives import reading
from .fast import native
from .fast.layout import in_result_format
from .followed import followed_by_a_tool, under_autocast
from .geometry import Pair
from .names import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, DEFAULT_ALGORITHM

IntOrPair = SupportsIndex | Sequence[SupportsIndex]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = DEFAULT_ALGORITHM,
) -> Tensor:
    """Convolution (strictly, cross-correlation): `[N, C_in, H, W] -> [N, C_out, H_out, W_out]`, or without the `N`.

    ``weight`` is `[C_out, C_in/groups, k_h, k_w]` and ``bias`` `[C_out]`; the arguments are those of
    `torch.nn.functional.conv2d`, in its order. ``padding="same"`` keeps the size (stride 1 only; an odd pixel goes to
    the bottom or right), ``"valid"`` is none. ``algorithm`` is one of `CONV2D_ALGORITHMS`.

    Raises TypeError, ValueError or RuntimeError for whatever torch's function refuses, naming argument, value and rule.
    """
    check_algorithm(algorithm, CONV2D_ALGORITHMS, "conv2d")
    input, weight, bias = _autocast(input), _autocast(weight), None if bias is None else _autocast(bias)
    check_tensors("conv2d", input, weight, bias)
    if isinstance(padding, str):
        input, padding = _pad_by_name(input, weight, padding, as_pair("stride", stride), as_pair("dilation", dilation))
    g = as_geometry(stride, padding, dilation, groups)
    check_conv2d("conv2d", input, weight, bias, g)
    check_dtype("conv2d", input.dtype, algorithm, transposed=False, dilated=g.dilation != (1, 1))
    if algorithm == "native" or followed_by_a_tool(input):
        return native.convolve(input, weight, bias, g)
    images = input.unsqueeze(0) if input.dim() == 3 else input
    size = g.output_size(_size(images), _size(weight))
    output = reading("y", images, weight, bias, size, g, algorithm)
    if images.shape[1] == 0:  # torch answers images without channels with images without channels
        output = output[:, :0]
    output = in_result_format(output, images, weight)
    return output.squeeze(0) if input.dim() == 3 else output


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
    *,
    algorithm: str = DEFAULT_ALGORITHM,
) -> Tensor:
    """Transposed convolution, the convolution read backwards: `[N, C_in, H, W] -> [N, C_out, H_out, W_out]`.

    ``weight`` is `[C_in, C_out/groups, k_h, k_w]`, the kernel of the convolution that maps the output's shape to the
    input's, and ``bias`` `[C_out]`; the arguments are those of `torch.nn.functional.conv_transpose2d`, in its order
    (``output_padding`` and ``groups`` come before ``dilation``). ``algorithm`` is one of `CONV_TRANSPOSE2D_ALGORITHMS`.

    Raises TypeError, ValueError or RuntimeError for whatever torch's function refuses, naming argument, value and rule.
    """
    check_algorithm(algorithm, CONV_TRANSPOSE2D_ALGORITHMS, "conv_transpose2d")
    input, weight, bias = _autocast(input), _autocast(weight), None if bias is None else _autocast(bias)
    check_tensors("conv_transpose2d", input, weight, bias)
    g = as_geometry(stride, padding, dilation, groups)
    extra = as_pair("output_padding", output_padding)
    check_conv_transpose2d("conv_transpose2d", input, weight, bias, extra, g)
    check_dtype("conv_transpose2d", input.dtype, algorithm, transposed=True, dilated=g.dilation != (1, 1))
    if algorithm == "native" or followed_by_a_tool(input):
        return native.convolve_transposed(input, weight, bias, g, extra)
    images = input.unsqueeze(0) if input.dim() == 3 else input
    size = g.transposed_size(_size(images), _size(weight), extra)
    output = reading("x", images, weight, bias, size, g, algorithm)
    output = in_result_format(output, images, weight)
    return output.squeeze(0) if input.dim() == 3 else output


def _pad_by_name(input: Tensor, weight: Tensor, name: str, stride: Pair, dilation: Pair) -> tuple[Tensor, Pair]:
    """``"same"`` and ``"valid"`` as numbers; an odd pixel of "same" is added to the input at the bottom or right."""
    if name == "valid":
        return input, (0, 0)
    if name != "same":
        raise ValueError(f"conv2d: padding={name!r} is neither a number, a pair of numbers, 'same' nor 'valid'")
    if stride != (1, 1):
        raise ValueError(f"conv2d: padding='same' keeps the size, so it needs stride=1, got stride={stride}")
    height, width = dilation[0] * (weight.shape[2] - 1), dilation[1] * (weight.shape[3] - 1)
    if height % 2 or width % 2:
        input = F.pad(input, (0, width % 2, 0, height % 2))
    return input, (height // 2, width // 2)


def _autocast(tensor: Tensor) -> Tensor:
    """Under autocast, floating-point numbers (but for float64) in autocast's type, as in torch's convolutions."""
    if not isinstance(tensor, Tensor) or not under_autocast(tensor):
        return tensor
    if not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(tensor.device.type))


def _size(tensor: Tensor) -> Pair:
    return tensor.shape[2], tensor.shape[3]
