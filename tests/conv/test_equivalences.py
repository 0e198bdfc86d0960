"""One operation, many names: the equalities between upsampling layers, in float64, borders included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from upsample_lab.conv import conv2d, conv_transpose2d
from upsample_lab.conv.geometry import Geometry
from upsample_lab.conv.zero_insert import flip_kernel, insert_zeros

pairs = {
    name: st.tuples(st.integers(low, high), st.integers(low, high))
    for name, low, high in (("size", 1, 8), ("kernel", 1, 4), ("stride", 1, 3), ("padding", 0, 3), ("dilation", 1, 3))
}


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    assert a.shape == b.shape
    assert float((a - b).abs().max()) <= tolerance * max(1.0, float(b.abs().max()))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(groups=st.integers(1, 2), **pairs)
def test_the_transposed_convolution_is_the_vector_jacobian_product(size, kernel, stride, padding, dilation, groups):
    g = Geometry(stride, padding, dilation, groups)
    output_size = g.output_size(size, kernel)
    if min(output_size) < 1:
        return
    x = randn(2, 2 * groups, *size).requires_grad_()
    weight, y = randn(3 * groups, 2, *kernel, seed=1), randn(2, 3 * groups, *output_size, seed=2)
    (grad,) = torch.autograd.grad(conv2d(x, weight, None, *g[:3], groups), x, y)
    extra = tuple(a - b for a, b in zip(size, g.transposed_size(output_size, kernel), strict=True))
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        return
    assert torch.equal(grad, conv_transpose2d(y, weight, None, stride, padding, extra, groups, dilation))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(extra=st.integers(0, 2), groups=st.integers(1, 2), **pairs)
def test_it_is_a_convolution_of_the_zero_inserted_input(size, kernel, stride, padding, dilation, extra, groups):
    g = Geometry(stride, padding, dilation, groups)
    output_padding = tuple(min(extra, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    output_size = g.transposed_size(size, kernel, output_padding)
    if min(output_size) < 1:
        return
    y, weight = randn(2, 2 * groups, *size), randn(2 * groups, 3, *kernel, seed=1)
    spread = insert_zeros(y, kernel, output_size, g)
    by_convolution = conv2d(spread, flip_kernel(weight, groups), dilation=dilation, groups=groups)
    same(by_convolution, conv_transpose2d(y, weight, None, stride, padding, output_padding, groups, dilation))


def interleaved(kernel: Tensor, r: int) -> Tensor:
    """A sub-pixel convolution's kernel `[C_out·r², C_in, K, K]` as the transposed one's `[C_in, C_out, rK, rK]`.

    Tap ``t`` for phase ``a`` reaches output ``r·i + a`` from input ``i + t - P``; the transposed one's tap ``u``
    does so where ``u = a + r·(K - 1 - t)``.
    """
    size = kernel.shape[-1]
    phases = kernel.unflatten(0, (-1, r, r)).flip(-1, -2)  # [C_out, a, b, C_in, K, K], taps reversed
    return phases.permute(3, 0, 4, 1, 5, 2).reshape(kernel.shape[1], -1, r * size, r * size)


@pytest.mark.parametrize("r", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_sub_pixel_convolution_is_a_transposed_one_with_interleaved_taps(size, r) -> None:
    x, kernel = randn(2, 3, 5, 6), randn(2 * r * r, 3, size, size, seed=1)
    sub_pixel = F.pixel_shuffle(conv2d(x, kernel, padding=size // 2), r)
    same(conv_transpose2d(x, interleaved(kernel, r), stride=r, padding=r * (size - 1) // 2), sub_pixel)


def test_kernel_4_stride_2_is_a_sub_pixel_convolution_with_five_of_nine_taps_zero() -> None:
    x, weight = randn(2, 3, 5, 6), randn(3, 2, 4, 4, seed=1)
    six = F.pad(weight, (1, 1, 1, 1))  # the same layer with kernel 6, padding 2
    same(conv_transpose2d(x, six, stride=2, padding=2), conv_transpose2d(x, weight, stride=2, padding=1))
    phases = six.unflatten(2, (3, 2)).unflatten(4, (3, 2)).permute(1, 3, 5, 0, 2, 4).flip(-1, -2)
    kernel = phases.flatten(0, 2)
    assert torch.equal(interleaved(kernel, 2), six)
    same(F.pixel_shuffle(conv2d(x, kernel, padding=1), 2), conv_transpose2d(x, weight, stride=2, padding=1))
    assert (kernel[:, 0].flatten(1) == 0).sum(1).tolist() == [5] * 8


@pytest.mark.parametrize("r", [2, 3, 4])
@pytest.mark.parametrize("k", [1, 3, 4, 5])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_nearest_then_convolution_is_one_transposed_convolution(r, k, padding) -> None:
    if padding > k - 1:
        pytest.skip("more padding than the kernel reaches: the transposed convolution would need a negative one")
    x, kernel = randn(2, 3, 5, 6), randn(2, 3, k, k, seed=1)
    two_steps = conv2d(F.interpolate(x, scale_factor=r, mode="nearest"), kernel, padding=padding)
    ones = torch.ones(1, 1, r, r, dtype=torch.float64)
    widened = F.conv2d(kernel.flip(2, 3).flatten(0, 1)[:, None], ones, padding=r - 1)  # kernel convolved with ones(r)
    weight = widened.view(2, 3, k + r - 1, k + r - 1).transpose(0, 1)
    same(conv_transpose2d(x, weight, stride=r, padding=k - 1 - padding), two_steps)


@pytest.mark.parametrize("r", [2, 3, 4, 5])
def test_bilinear_is_a_depthwise_transposed_convolution_with_the_tent(r) -> None:
    x = randn(2, 3, 5, 6)
    taps = 2 * r - r % 2
    tent = 1 - (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2).abs() / r
    weight = (tent[:, None] * tent).expand(3, 1, taps, taps)
    replicated = F.pad(x, (1, 1, 1, 1), mode="replicate")
    ours = conv_transpose2d(replicated, weight, stride=r, padding=(taps + r) // 2, groups=3)
    same(ours, F.interpolate(x, scale_factor=r, mode="bilinear", align_corners=False))


def test_bilinear_by_two_is_nearest_then_121() -> None:
    x = randn(2, 3, 5, 6)
    row = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    weight = (row[:, None] * row).expand(3, 1, 3, 3)
    nearest = F.pad(F.interpolate(x, scale_factor=2, mode="nearest"), (1, 1, 1, 1), mode="replicate")
    same(conv2d(nearest, weight, groups=3), F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
