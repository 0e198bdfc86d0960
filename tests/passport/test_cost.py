"""Counts are exact by the stated conventions, and agree with formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.cost import Counter, count_macs, count_passes
from upsample_lab.passport import passport
from upsample_lab.upsamplers import Algorithms, build_upsampler

IMAGE = (2, 8, 6, 5)
PIXELS = 2 * 6 * 5


class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input)


MACS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "convolution": (lambda: nn.Conv2d(8, 3, 3, padding=1), PIXELS * 8 * 3 * 9),
    "strided": (lambda: nn.Conv2d(8, 3, 2, stride=(2, 1), padding=(0, 0)), 2 * 3 * 4 * 8 * 3 * 4),
    "grouped": (lambda: nn.Conv2d(8, 8, 3, padding=1, groups=4), PIXELS * 8 * 2 * 9),
    "transposed": (lambda: nn.ConvTranspose2d(8, 3, 4, 2, 1), PIXELS * 8 * 3 * 16),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=2), PIXELS * 8 * 4 * 4),
    "nearest": (lambda: nn.Upsample(scale_factor=2), 0),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), 4 * PIXELS * 8 * 4),
    "bicubic": (lambda: nn.Upsample(scale_factor=3, mode="bicubic"), 9 * PIXELS * 8 * 16),
    "fully connected": (lambda: nn.Linear(5, 7), 2 * 8 * 6 * 5 * 7),
    "batched product": (lambda: Call(lambda x: x @ x.transpose(-1, -2)), 2 * 8 * 6 * 5 * 6),
    "element-wise": (lambda: Call(lambda x: F.relu(x * 2 + 1)), 0),
}


@pytest.mark.parametrize(("make", "macs"), MACS.values(), ids=MACS)
def test_macs(make: Callable[[], nn.Module], macs: int) -> None:
    assert count_macs(make(), torch.zeros(IMAGE)) == macs


@pytest.mark.parametrize("algorithms", [("im2col", "col2im"), ("native", "native")], ids=["custom", "native"])
def test_custom_and_native_convolutions_cost_the_same_products(algorithms: tuple[str, str]) -> None:
    """Products with padding are counted by the kernels that compute them, and left out by those that do not."""
    module = build_upsampler("deconv", 8, 4, algorithms=Algorithms(*algorithms), kernel_size=4)
    assert count_macs(module, torch.zeros(1, 8, 16, 16)) == pytest.approx(16 * 16 * 8 * 4 * 16, rel=0.01)


def test_the_backward_pass_of_a_convolution_needs_two_more_of_its_products() -> None:
    forward, backward = count_passes(nn.Conv2d(8, 8, 3, padding=1), torch.ones(IMAGE))
    assert backward.macs == 2 * forward.macs > 0


# Products of the backward pass of a resize, from 8 channels of 6 x 5 pixels in a batch of 2: each of the forward pass.
RESIZES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "nearest": (lambda x: F.interpolate(x, scale_factor=2.0), 0),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"), 4 * PIXELS * 8 * 4),
    "bilinear to a size": (lambda x: F.interpolate(x, size=(9, 10), mode="bilinear"), 2 * 8 * 90 * 4),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"), 4 * PIXELS * 8 * 16),
    "antialiased, larger": (
        lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", antialias=True), 4 * PIXELS * 8 * 4
    ),
    "antialiased, a third": (
        lambda x: F.interpolate(x, size=(2, 5), mode="bilinear", antialias=True), 2 * 8 * 10 * (6 * 2)
    ),
    "module": (nn.Upsample(scale_factor=2, mode="bilinear"), 4 * PIXELS * 8 * 4),
}  # fmt: skip


@pytest.mark.parametrize(("resize", "macs"), RESIZES.values(), ids=RESIZES)
def test_the_backward_pass_of_a_library_resize_is_counted(resize: Callable[[Tensor], Tensor], macs: int) -> None:
    forward, backward = count_passes(resize, torch.ones(IMAGE))
    assert (forward.macs, backward.macs) == (macs, macs)


def test_the_backward_pass_of_a_sampled_grid_is_counted() -> None:
    """Each of four taps once for the image, and twice for the grid where that has a gradient."""
    grid = torch.zeros(2, 12, 10, 2)
    forward, backward = count_passes(lambda x: F.grid_sample(x, grid, align_corners=False), torch.ones(IMAGE))
    assert forward.macs == backward.macs == 4 * PIXELS * 8 * 4
    grid.requires_grad_()
    _, backward = count_passes(lambda x: F.grid_sample(x, grid, align_corners=False), torch.ones(IMAGE))
    assert backward.macs == 3 * forward.macs


def test_bytes_moved_are_those_read_and_written_without_views() -> None:
    image = torch.zeros(4, 8)
    with Counter() as counter:
        (image + 1).view(8, 4).t()
    assert counter.bytes_moved == 2 * 4 * 8 * 4


def test_peak_bytes_forget_what_is_freed() -> None:
    image = torch.zeros(1000)
    with Counter() as counter:
        for _ in range(5):
            image = image * 2  # the old one is freed once the new one is there
    assert counter.peak_bytes == 2 * 4000


def test_peak_bytes_keep_what_the_backward_pass_needs() -> None:
    layers = nn.Sequential(*[nn.Sequential(nn.Conv2d(8, 8, 1), nn.Tanh()) for _ in range(4)])
    forward, both = count_passes(layers, torch.ones(IMAGE))
    assert both.peak_bytes > 2 * forward.peak_bytes


def test_the_cost_of_a_passport() -> None:
    module = build_upsampler("deconv", 8, 4, kernel_size=4)
    cost = passport(module, 8, 2, size=16).cost
    assert cost is not None
    assert cost.parameter_count == cost.trainable_count == 8 * 4 * 16 + 4
    assert cost.input_shape == (8, 8, 16, 16)
    assert cost.macs_per_pixel == pytest.approx(module.macs_per_pixel(16, 16), rel=0.01) == 8 * 4 * 4
    assert {(t.dtype, t.memory_format) for t in cost.timings} >= {
        ("float32", "contiguous"), ("float32", "channels_last"), ("bfloat16", "channels_last"),
    }  # fmt: skip
    for timing in cost.timings:
        assert timing.note == ""
        assert timing.forward_ms is not None
        assert timing.forward_ms > 0
        assert timing.backward_ms is not None
        assert timing.forward_peak_bytes is not None
        assert timing.backward_peak_bytes > timing.forward_peak_bytes > 0


def test_what_does_not_run_in_a_dtype_is_told_and_not_hidden() -> None:
    def only_float32(input: Tensor) -> Tensor:
        if input.dtype == torch.bfloat16:
            raise NotImplementedError("bfloat16 is not for this layer\nand more")
        return F.interpolate(input, scale_factor=2.0)

    cost = passport(Call(only_float32), 1, 2, size=16).cost
    assert cost is not None
    notes = {timing.note for timing in cost.timings if timing.forward_ms is None}
    assert notes == {"bfloat16 is not for this layer"}
