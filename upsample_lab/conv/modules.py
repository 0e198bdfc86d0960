"""Chapter 10: `Conv2d` and `ConvTranspose2d`, torch.nn's modules with ``algorithm=``; weights go both ways.

They inherit everything that holds no arithmetic (arguments, attributes, initialisation, `state_dict`, repr) and replace
the one call that does.

>>> import torch
>>> ours, torchs = ConvTranspose2d(1, 1, 4, 2, 1, algorithm="polyphase"), nn.ConvTranspose2d(1, 1, 4, 2, 1)
>>> ours.load_state_dict(torchs.state_dict())
<All keys matched successfully>
>>> ours
ConvTranspose2d(1, 1, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1), algorithm=polyphase)
>>> image = torch.ones(1, 1, 5, 5)
>>> torch.allclose(ours(image), torchs(image), atol=1e-6)
True
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .algorithms import check_algorithm
from .functional import conv2d, conv_transpose2d
from .names import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, DEFAULT_ALGORITHM

Size = int | tuple[int, int]


class Conv2d(nn.Conv2d):
    """`[N, C_in, H, W] -> [N, C_out, H_out, W_out]` by `conv2d` of this package, otherwise `torch.nn.Conv2d`.

    Raises what `torch.nn.Conv2d` raises, and ValueError for an unknown ``algorithm``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        algorithm: str = DEFAULT_ALGORITHM,
    ) -> None:
        check_algorithm(algorithm, CONV2D_ALGORITHMS, "Conv2d")
        modes: Any = padding_mode  # torch's annotation lists the four names, and its constructor checks them
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, modes, device, dtype
        )
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
    """`[N, C_in, H, W] -> [N, C_out, H_out, W_out]` by `conv_transpose2d` of this package, otherwise torch.nn's module.

    Raises what `torch.nn.ConvTranspose2d` raises, and ValueError for an unknown ``algorithm``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        algorithm: str = DEFAULT_ALGORITHM,
    ) -> None:
        check_algorithm(algorithm, CONV_TRANSPOSE2D_ALGORITHMS, "ConvTranspose2d")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,
            padding_mode,  # type: ignore[arg-type]  # torch's constructor checks the name
            device,
            dtype,
        )
        self.algorithm = algorithm

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """The transposed convolution; ``output_size``, `(H_out, W_out)`, overrides ``output_padding`` (as in torch.nn).

        Each of its numbers may lie between the smallest possible size and ``stride - 1`` above it. Raises ValueError
        where ``padding_mode`` was set to anything but zeros, as torch.nn does.
        """
        if self.padding_mode != "zeros":
            raise ValueError(f"ConvTranspose2d: padding_mode={self.padding_mode!r} must be 'zeros'")
        stride, kernel, dilation = list(self.stride), list(self.kernel_size), list(self.dilation)
        padding: Any = list(self.padding)  # numbers: the transposed module takes no names
        output_padding = self._output_padding(input, output_size, stride, padding, kernel, 2, dilation)
        return conv_transpose2d(
            input,
            self.effective_weight(self.weight),
            self.bias,
            stride,
            padding,
            output_padding,
            self.groups,
            dilation,
            algorithm=self.algorithm,
        )

    def effective_weight(self, weight: Tensor) -> Tensor:
        """The kernel that is applied, of the parameter: itself, unless a subclass says otherwise."""
        return weight

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, algorithm={self.algorithm}"
