"""The nearest kernels whose phases gain equally: on the set, nearest on it, flat areas flat, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from upsample_lab.doctor.kernels import balanced, balanced_shuffle
from upsample_lab.metrics.phases import dc_phase_variation

GEOMETRIES = [  # kernel, stride, dilation
    ((2, 2), (2, 2), (1, 1)),
    ((3, 3), (2, 2), (1, 1)),
    ((4, 5), (2, 3), (1, 1)),
    ((7, 2), (3, 1), (1, 1)),
    ((9, 4), (4, 4), (1, 1)),
    ((3, 4), (2, 3), (3, 2)),
]
geometries = pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def phase_sums(weight: Tensor, stride: tuple[int, int], dilation: tuple[int, int]) -> Tensor:
    """`[C_in, C_out, s_h·s_w]`: one loop over taps."""
    sums = torch.zeros(*weight.shape[:2], *stride, dtype=weight.dtype)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            sums[:, :, row * dilation[0] % stride[0], column * dilation[1] % stride[1]] += weight[:, :, row, column]
    return sums.flatten(2)


@geometries
def test_the_phases_of_each_pair_of_channels_have_one_sum(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    sums = phase_sums(balanced(drawn(3, 2, *kernel), stride, dilation), stride, dilation)
    torch.testing.assert_close(sums, sums[..., :1].expand_as(sums), rtol=0, atol=1e-12)


@geometries
def test_no_other_kernel_on_the_set_is_nearer(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    """The change is orthogonal to every difference of two kernels of the set, as least squares asks."""
    weight = drawn(3, 2, *kernel)
    change = balanced(weight, stride, dilation) - weight
    within = balanced(drawn(3, 2, *kernel) + drawn(4, 3, *kernel)[:3, :2], stride, dilation)
    within = within - balanced(weight, stride, dilation)
    assert within.abs().max() > 0.1
    torch.testing.assert_close((change * within).sum((2, 3)), torch.zeros(3, 2, dtype=weight.dtype), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_constant_comes_out_constant(groups: int, dtype: torch.dtype) -> None:
    weight, constant = drawn(4, 3, 5, 5, dtype=dtype), torch.full((1, 4, 24, 24), 0.7, dtype=dtype)
    before = F.conv_transpose2d(constant, weight, stride=2, padding=2, output_padding=1, groups=groups)
    after = F.conv_transpose2d(constant, balanced(weight, (2, 2)), stride=2, padding=2, output_padding=1, groups=groups)
    assert dc_phase_variation(before, 2) > 0.3
    assert dc_phase_variation(after, 2) < (1e-6 if dtype == torch.float32 else 1e-14)


def test_balancing_twice_is_balancing_once() -> None:
    once = balanced(drawn(2, 2, 5, 5), (2, 2))
    torch.testing.assert_close(balanced(once, (2, 2)), once, rtol=0, atol=1e-13)


def test_gradients_flow_through() -> None:
    weight = drawn(2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda kernel: balanced(kernel, (2, 3)), weight)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [((3, 2), (2, 3), (1, 1)), ((1, 1), (2, 2), (1, 1)), ((4, 4), (2, 2), (2, 2))]
)
def test_a_kernel_that_leaves_pixels_empty_is_refused_in_one_line(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    with pytest.raises(
        ValueError, match=f"kernel of {kernel[0]} x {kernel[1]} with stride {stride[0]} x {stride[1]}"
    ) as told:
        balanced(drawn(1, 1, *kernel), stride, dilation)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_constant_stays_constant_through_a_balanced_shuffle(scale: int) -> None:
    weight, bias = drawn(2 * scale**2, 3, 3, 3), drawn(2 * scale**2)
    constant = torch.full((1, 3, 24, 24), 0.7, dtype=torch.float64)
    even = balanced_shuffle(weight, bias, scale)
    outputs = [F.pixel_shuffle(F.conv2d(constant, *pair, padding=1), scale) for pair in ((weight, bias), even)]
    assert dc_phase_variation(outputs[0], scale) > 0.3
    assert dc_phase_variation(outputs[1], scale) < 1e-14
    # the nearest: the mean over phases stays, and each kernel changes by the same number at all of its taps
    torch.testing.assert_close(*(F.avg_pool2d(output, scale)[..., 1:-1, 1:-1] for output in outputs))
    change = (even[0] - weight).flatten(2)
    torch.testing.assert_close(change, change[..., :1].expand_as(change))


def test_a_shuffle_with_channels_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[C_out·4"):
        balanced_shuffle(drawn(6, 3, 3, 3), None, 2)
