"""Which algorithms the convolutions use, `conv.<option>=`."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from upsample_lab.conv.names import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS
from upsample_lab.settings import option, setting


@option("conv", "custom")
@option("conv", "native")
@option("conv", "matrix")
@dataclass
class ConvOptions:
    name: str = MISSING
    conv2d: str = setting("algorithm of every convolution", choices=CONV2D_ALGORITHMS)
    conv_transpose2d: str = setting("algorithm of every transposed convolution", choices=CONV_TRANSPOSE2D_ALGORITHMS)
