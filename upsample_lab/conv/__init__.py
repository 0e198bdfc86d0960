"""Convolution and transposed convolution from first principles."""

from .algorithms import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS
from .functional import conv2d, conv_transpose2d
from .matrix import conv_matrix
from .modules import Conv2d, ConvTranspose2d

__all__ = [
    "CONV2D_ALGORITHMS",
    "CONV_TRANSPOSE2D_ALGORITHMS",
    "Conv2d",
    "ConvTranspose2d",
    "conv2d",
    "conv_matrix",
    "conv_transpose2d",
]
