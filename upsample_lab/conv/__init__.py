"""Convolution and transposed convolution from first principles, to be read like a book.

 1  `geometry`      where a tap falls, how large the output is             no torch needed
 2  `definition`    the three readings, tap by tap
 3  `matrix`        the convolution as a matrix, the transposed as `Cᵀ`
 4  `im2col`        one matrix product, read forwards and backwards
 5  `zero_insert`   the transposed convolution as an ordinary one
 6  `polyphase`     as small ones, one a phase: where checkerboards come from
 7  `algorithms`    all of these by name; the default
 8  `derivatives`   whose derivatives are each other: one table
 9  `functional`    with torch's face, and
10  `modules`       as torch's modules

Each opens with a small example that a test runs, and imports no chapter that comes after it. `arithmetic` counts:
sizes, receptive fields, multiplications, and which layers invert which (no torch either). Helpers: `checks`
refuses what torch refuses, `transforms` has forward mode and vmap, `followed` and `ordinary` behave under torch's
tools, `kept` keeps what is worked out once.
`fast/` holds kernels that nobody must read to understand the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arithmetic import (
        Axis,
        ReceptiveField,
        conv_output_size,
        conv_transpose_output_size,
        exact_padding,
        inverting_output_padding,
        plan_sizes,
        receptive_field,
    )
    from .fast.hardware import has_fast_bf16
    from .fast.layout import is_channels_last
    from .followed import followed_by_a_tool, own_tensor, transformed_or_traced, under_a_mode, without_autocast
    from .functional import conv2d, conv_transpose2d
    from .matrix import conv_matrix
    from .modules import Conv2d, ConvTranspose2d
    from .names import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, DEFAULT_ALGORITHM, TRANSPOSED_TWIN
    from .ordinary import applied_weight, is_ordinary, keeps_size

__all__ = [
    "CONV2D_ALGORITHMS",
    "CONV_TRANSPOSE2D_ALGORITHMS",
    "DEFAULT_ALGORITHM",
    "TRANSPOSED_TWIN",
    "Axis",
    "Conv2d",
    "ConvTranspose2d",
    "ReceptiveField",
    "applied_weight",
    "conv2d",
    "conv_matrix",
    "conv_output_size",
    "conv_transpose2d",
    "conv_transpose_output_size",
    "exact_padding",
    "followed_by_a_tool",
    "has_fast_bf16",
    "inverting_output_padding",
    "is_channels_last",
    "is_ordinary",
    "keeps_size",
    "own_tensor",
    "plan_sizes",
    "receptive_field",
    "transformed_or_traced",
    "under_a_mode",
    "without_autocast",
]


def __getattr__(name: str) -> Any:
    """Each name when it is first asked for, so that who counts with `arithmetic` waits for no torch."""
    homes = "arithmetic names functional modules matrix ordinary followed fast.hardware fast.layout"
    for home in homes.split() if name in __all__ else ():
        if hasattr(module := import_module(f".{home}", __name__), name):
            return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
