"""The algorithms by name, and the default. No torch: a configuration's choices are these."""

from __future__ import annotations

CONV2D_ALGORITHMS = ("custom", "definition", "matrix", "im2col", "native")
CONV_TRANSPOSE2D_ALGORITHMS = ("custom", "definition", "matrix", "col2im", "zero_insert", "polyphase", "native")
TRANSPOSED_TWIN = {name: "col2im" if name == "im2col" else name for name in CONV2D_ALGORITHMS}
"""The transposed convolution's name of each of the convolution's algorithms."""

DEFAULT_ALGORITHM = "custom"
"""Of `conv2d`, `conv_transpose2d`, their modules and `build_upsampler`. A run has what its `conv=` says."""
