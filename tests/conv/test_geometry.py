"""The sizes that the algorithms use are those that `arithmetic` explains."""

from __future__ import annotations

import itertools

import pytest

from upsample_lab.conv.arithmetic import conv_output_size, conv_transpose_output_size
from upsample_lab.conv.geometry import Geometry


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), itertools.product((1, 3, 4), (1, 3), (0, 2), (1, 2))
)
def test_sizes_agree_with_the_arithmetic(kernel, stride, padding, dilation) -> None:
    g = Geometry((stride, stride), (padding, padding), (dilation, dilation))
    size = conv_output_size(9, kernel, stride, padding, dilation)
    assert g.output_size((9, 9), (kernel, kernel)) == (size, size)
    for extra in range(max(stride, dilation)):
        back = conv_transpose_output_size(size, kernel, stride, padding, dilation, extra)
        assert g.transposed_size((size, size), (kernel, kernel), (extra, extra)) == (back, back)
