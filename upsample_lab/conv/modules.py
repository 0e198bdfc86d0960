"""`Conv2d` and `ConvTranspose2d`: torch.nn's modules with ``algorithm=``; their weights can be exchanged."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .algorithms import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, check_algorithm
from .functional import conv2d, conv_transpose2d


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` whose arithmetic is `conv2d` of this package: same arguments, attributes and `state_dict`."""

    def __init__(self, *args: Any, algorithm: str = "im2col", **kwargs: Any) -> None:
        check_algorithm(algorithm, CONV2D_ALGORITHMS, "Conv2d")
        super().__init__(*args, **kwargs)
        self.algorithm = algorithm

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return conv2d(input, weight, bias, self.stride, padding, self.dilation, self.groups, algorithm=self.algorithm)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, algorithm={self.algorithm}"


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` whose arithmetic is `conv_transpose2d` of this package."""

    def __init__(self, *args: Any, algorithm: str = "col2im", **kwargs: Any) -> None:
        check_algorithm(algorithm, CONV_TRANSPOSE2D_ALGORITHMS, "ConvTranspose2d")
        super().__init__(*args, **kwargs)
        self.algorithm = algorithm

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        stride, kernel, dilation = list(self.stride), list(self.kernel_size), list(self.dilation)
        padding: Any = list(self.padding)  # numbers: the transposed module takes no names
        output_padding = self._output_padding(input, output_size, stride, padding, kernel, 2, dilation)
        return conv_transpose2d(
            input,
            self.weight,
            self.bias,
            stride,
            padding,
            output_padding,
            self.groups,
            self.dilation,
            algorithm=self.algorithm,
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, algorithm={self.algorithm}"
