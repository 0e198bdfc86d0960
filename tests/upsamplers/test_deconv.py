"""The transposed convolution as an upsampler: its padding, its initial kernel, its projection."""

from __future__ import annotations

import pytest
import torch

from tests.upsamplers.upsampler_cases import image, interior
from upsample_lab.resize import resize
from upsample_lab.upsamplers import build_upsampler
from upsample_lab.upsamplers._channels import matching_channels
from upsample_lab.upsamplers.deconv import bilinear_kernel, phase_projection


@pytest.mark.parametrize(("kernel_size", "scale"), [(4, 2), (6, 2), (8, 2), (6, 3), (7, 3), (8, 4)])
def test_long_bilinear_kernels_interpolate(kernel_size: int, scale: int) -> None:
    module = build_upsampler("deconv", 3, 3, scale, kernel_size=kernel_size, init="bilinear").double()
    input = image(5, 6, channels=3)
    expected = resize(input, scale, mode="bilinear")
    torch.testing.assert_close(interior(module(input), scale), interior(expected, scale), rtol=1e-6, atol=1e-6)


def test_shortest_bilinear_kernel_is_the_nearest_neighbour() -> None:
    for scale in (2, 3, 4):
        torch.testing.assert_close(bilinear_kernel(scale, scale), torch.ones(scale, scale, dtype=torch.float64))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((2, 2), [[1, 0], [0, 1]]),
        ((4, 2), [[0.5, 0], [0, 0.5], [0.5, 0], [0, 0.5]]),
        ((1, 3), [[1, 1, 1]]),
        ((3, 2), [[0.5, 0], [0, 1], [0.5, 0]]),
    ],
)
def test_matching_channels(counts: tuple[int, int], expected: list[list[float]]) -> None:
    matrix = matching_channels(*counts)
    torch.testing.assert_close(matrix, torch.tensor(expected, dtype=matrix.dtype))


@pytest.mark.parametrize(("kernel_size", "scale"), [(2, 2), (3, 2), (4, 3), (5, 2), (8, 3), (8, 4)])
def test_projection_is_orthogonal_and_hits_the_set(kernel_size: int, scale: int) -> None:
    projection = phase_projection(kernel_size, scale)
    torch.testing.assert_close(projection, projection.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(projection @ projection, projection, rtol=0, atol=1e-12)
    kernel = image(kernel_size, kernel_size, batch=1, channels=1)[0, 0]
    projected = (kernel.flatten() @ projection).view_as(kernel)
    sums = [projected[a::scale, b::scale].sum() for a in range(scale) for b in range(scale)]
    torch.testing.assert_close(torch.stack(sums), sums[0].expand(scale**2), rtol=0, atol=1e-12)
    # as many directions are lost as there are equations, and no more
    assert torch.linalg.matrix_rank(projection) == kernel_size**2 - (scale**2 - 1)


def test_weights_load_into_torch() -> None:
    module = build_upsampler("deconv", 3, 5, 3, kernel_size=5).double()
    theirs = torch.nn.ConvTranspose2d(3, 5, 5, stride=3, padding=1).double()
    theirs.load_state_dict({key.removeprefix("conv."): value for key, value in module.state_dict().items()})
    input = image(4, 5, channels=3)
    torch.testing.assert_close(module(input), theirs(input), rtol=1e-10, atol=1e-12)
