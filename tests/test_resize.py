"""Resizing against its definition, one output pixel at a time, and its gradients, formats and refusals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from upsample_lab.resize import (
    DENSE_SIZE,
    KERNELS,
    MODES,
    Kernel,
    interpolation_matrix,
    is_channels_last,
    phase_taps,
    remembered,
    resample,
    resize,
)

LONG = DENSE_SIZE + 3  # an axis that is resized by shifted sums
CASES = [("nearest", False), *itertools.product(("bilinear", "bicubic"), (False, True))]
cases = pytest.mark.parametrize(("mode", "align_corners"), CASES, ids=str)


def weight(mode: str, t: float) -> float:
    """The interpolation kernels, as the module's docstring writes them."""
    a, distance = -0.75, abs(t)
    if mode == "nearest":
        return 1.0 if -0.5 <= t < 0.5 else 0.0
    if mode == "bilinear":
        return max(0.0, 1 - distance)
    if distance < 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else 0.0


def by_definition(line: Tensor, scale: int, mode: str, align_corners: bool) -> Tensor:
    """`y[o] = Σ_k w(x - k) u[clamp(k)]` for a line of pixels."""
    size = len(line)
    output = torch.zeros(scale * size, dtype=line.dtype)
    for o in range(scale * size):
        x = o * (size - 1) / max(scale * size - 1, 1) if align_corners else (o + 0.5) / scale - 0.5
        for k in range(math.floor(x) - 3, math.floor(x) + 5):
            output[o] += weight(mode, x - k) * line[min(max(k, 0), size - 1)]
    return output


def random_image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@cases
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [1, 2, 7, LONG])
def test_by_definition(size: int, scale: int, mode: str, align_corners: bool) -> None:
    line = random_image(size)
    expected = by_definition(line, scale, mode, align_corners)
    column = resize(line[None, :, None], scale, mode=mode, align_corners=align_corners)
    row = resize(line[None, None, :], scale, mode=mode, align_corners=align_corners)
    torch.testing.assert_close(column, expected[None, :, None].expand(1, -1, scale), rtol=0, atol=1e-12)
    torch.testing.assert_close(row, expected[None, None].expand(1, scale, -1), rtol=0, atol=1e-12)


@cases
@pytest.mark.parametrize("size", [(3, 4), (2, LONG), (1, 1)], ids=str)
def test_gradients_of_first_and_second_order(size: tuple[int, int], mode: str, align_corners: bool) -> None:
    input = random_image(1, 2, *size).requires_grad_()

    def call(image: Tensor) -> Tensor:
        return resize(image, 2, mode=mode, align_corners=align_corners)

    assert torch.autograd.gradcheck(call, [input], fast_mode=True)
    assert torch.autograd.gradgradcheck(call, [input], fast_mode=True)


@cases
@pytest.mark.parametrize("size", [(3, 4), (5, LONG), (LONG, 2)], ids=str)
def test_memory_format_is_kept_forward_and_backward(size: tuple[int, int], mode: str, align_corners: bool) -> None:
    planes = random_image(2, 3, *size)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        image = planes.contiguous(memory_format=memory_format).requires_grad_()
        output = resize(image, 3, mode=mode, align_corners=align_corners)
        (gradient,) = torch.autograd.grad(output, image, random_image(*output.shape, seed=1))
        assert output.is_contiguous(memory_format=memory_format)
        results.append((output, gradient))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-12, check_stride=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [5, LONG])
def test_strided_views_are_read_right(size: int, mode: str) -> None:
    image = random_image(2, 6, size, 2 * size)[:, ::2, :, 1::2]
    torch.testing.assert_close(resize(image, 2, mode=mode), resize(image.contiguous(), 2, mode=mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", [6, LONG])
def test_dtypes(size: int, dtype: torch.dtype, mode: str) -> None:
    image = random_image(1, 2, size, 5).to(dtype)
    output = resize(image, 2, mode=mode)
    assert output.dtype == dtype
    error = (output.double() - resize(image.double(), 2, mode=mode)).abs().max()
    assert error < 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize("mode", MODES)
def test_autocast_does_not_round(mode: str) -> None:
    image = random_image(1, 2, 6, LONG).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = resize(image, 2, mode=mode)
    torch.testing.assert_close(output, resize(image, 2, mode=mode), rtol=0, atol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [4, LONG])
def test_trains_after_inference_mode(size: int, mode: str) -> None:
    """What is remembered of a first call in inference mode must serve training later."""
    scale = 7  # used by no other test, so that nothing is remembered yet
    with torch.inference_mode():
        resize(random_image(1, 1, size, 3), scale, mode=mode)
    input = random_image(1, 1, size, 3).requires_grad_()
    resize(input, scale, mode=mode).sum().backward()
    assert input.grad is not None


def test_what_is_remembered_within_a_transform_serves_outside_of_it() -> None:
    input = random_image(1, 1, 5, 3)
    torch.func.grad(lambda image: resize(image, 11, mode="bicubic").sum())(input)  # a scale of no other test
    matrix = remembered(interpolation_matrix, 5, 11, KERNELS["bicubic"], False, like=input)
    assert not torch._C._functorch.is_functorch_wrapped_tensor(matrix)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [4, LONG])
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
def test_empty_batches_and_input_left_alone(size: int, mode: str, channels_last: bool) -> None:
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    empty = torch.zeros(0, 2, size, 3).contiguous(memory_format=format_)
    assert resize(empty, 2, mode=mode).shape == (0, 2, 2 * size, 6)
    image = random_image(1, 2, size, 3).contiguous(memory_format=format_)
    before = image.clone()
    for scale in (1, 2):
        resize(image, scale, mode=mode).add_(1)
        assert torch.equal(image, before)


def test_constants_stay_exactly_in_half_precision() -> None:
    """At scale 3 the weights 1/3 and 2/3 are rounded; along long axes differences are weighted, and vanish."""
    image = torch.full((1, 1, LONG, LONG), 0.7, dtype=torch.bfloat16)
    assert torch.equal(resize(image, 3, mode="bilinear"), torch.full_like(resize(image, 3), 0.7))


@pytest.mark.parametrize(("mode", "reach"), [("bilinear", 1), ("bicubic", 2)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_kernels_are_what_they_claim(mode: str, reach: int, scale: int) -> None:
    kernel = KERNELS[mode]
    assert kernel.reach == reach
    assert kernel.weight(0) == 1
    assert all(kernel.weight(t) == pytest.approx(0, abs=1e-15) for t in (-3, -2, -1, 1, 2, 3, reach + 0.5))
    for phase in phase_taps(scale, kernel):
        assert sum(w for _, w in phase) == pytest.approx(1)
        assert len(phase) <= 2 * reach
    matrix = interpolation_matrix(6, scale, kernel)
    torch.testing.assert_close(matrix.sum(1), torch.ones(6 * scale, dtype=torch.float64))
    torch.testing.assert_close(matrix, matrix.flip(0, 1))  # centres are half-pixel centres: no side is preferred


@pytest.mark.parametrize("size", [8, LONG])
def test_any_kernel_can_filter(size: int) -> None:
    """A kernel at scale 1 is a filter: here the difference to the pixel before, down and to the right."""
    difference = Kernel(lambda t: {0.0: 1.0, 1.0: -1.0}.get(float(t), 0.0), 2)
    expected = image = random_image(1, 2, size, size + 1)
    for dim in (2, 3):
        before = torch.cat([expected.narrow(dim, 0, 1), expected.narrow(dim, 0, expected.shape[dim] - 1)], dim)
        expected = expected - before
    torch.testing.assert_close(resample(image, 1, difference), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mode": "linear"}, ValueError, "mode='linear': must be one of nearest, bilinear, bicubic"),
        ({"scale": 0}, ValueError, "scale=0: must be a number above 0"),
        ({"scale": "2"}, TypeError, "scale=.2.: must be a number above 0"),
        ({"scale": True}, TypeError, "scale=True: must be a number above 0"),
        ({"input": torch.zeros(3, 3)}, ValueError, r"input has the shape \[3, 3\]: must be \[N, C, H, W\]"),
        ({"input": torch.zeros(1, 1, 0, 3)}, ValueError, "an image needs at least one pixel"),
        ({"input": torch.zeros(1, 1, 3, 3, dtype=torch.uint8)}, TypeError, "input has the dtype torch.uint8"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refusals(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resize(**{"input": torch.zeros(1, 1, 3, 3), "scale": 2, **arguments})


def test_strides_decide_for_images_of_one_pixel() -> None:
    planes, pixels_first = torch.zeros(2, 3, 1, 1), torch.empty_strided((2, 3, 1, 1), (3, 1, 3, 3))
    assert not is_channels_last(planes)
    assert is_channels_last(pixels_first)
    for image in (planes, pixels_first):
        assert is_channels_last(resize(image, 2, mode="bilinear")) == is_channels_last(image)
