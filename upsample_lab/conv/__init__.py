"""Convolution and transposed convolution from first principles.

To be read in this order: `geometry` (where a tap falls), `definition` (three loops over taps), `algorithms` (the three
readings of one trilinear form), `autograd` (whose derivatives are each other), then one file an algorithm: `matrix`,
`im2col`, `zero_insert`, `polyphase`, and `blocks`, the fast one; `native` calls PyTorch's. `functional`, `checks`,
`layout` and `modules` give them torch's face, `followed` and `ordinary` under its tools. `kept` keeps what is worked
out once; `hardware` says what the processor can do. `arithmetic` counts: sizes, receptive fields, parameters,
multiplications, and which layers invert which.
"""

from .algorithms import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS
from .arithmetic import (
    Layer,
    ReceptiveField,
    conv_output_size,
    conv_transpose_output_size,
    inverting_output_padding,
    plan_sizes,
    receptive_field,
)
from .followed import followed_by_a_tool, own_tensor, under_a_mode, without_autocast
from .functional import conv2d, conv_transpose2d
from .hardware import has_fast_bf16
from .matrix import conv_matrix
from .modules import Conv2d, ConvTranspose2d
from .native import transformed_or_traced
from .ordinary import applied_weight, is_ordinary, keeps_size

__all__ = [
    "CONV2D_ALGORITHMS",
    "CONV_TRANSPOSE2D_ALGORITHMS",
    "Conv2d",
    "ConvTranspose2d",
    "Layer",
    "ReceptiveField",
    "applied_weight",
    "conv2d",
    "conv_matrix",
    "conv_output_size",
    "conv_transpose2d",
    "conv_transpose_output_size",
    "followed_by_a_tool",
    "has_fast_bf16",
    "inverting_output_padding",
    "is_ordinary",
    "keeps_size",
    "own_tensor",
    "plan_sizes",
    "receptive_field",
    "transformed_or_traced",
    "under_a_mode",
    "without_autocast",
]
