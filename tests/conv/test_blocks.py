"""The blocked algorithm: the size of its blocks changes memory, never the result."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from upsample_lab.conv import conv2d, conv_transpose2d, has_fast_bf16
from upsample_lab.conv.fast import blocks

SHAPES = [
    ("stride-1", conv2d, F.conv2d, (6, 4, 3, 3), {"padding": 1}),
    ("stride-2", conv2d, F.conv2d, (6, 4, 3, 3), {"stride": 2, "padding": 1}),
    ("groups", conv2d, F.conv2d, (6, 2, 3, 2), {"groups": 2, "dilation": 2, "padding": 2}),
    ("depthwise", conv2d, F.conv2d, (4, 1, 3, 3), {"groups": 4}),
    ("transposed", conv_transpose2d, F.conv_transpose2d, (4, 6, 4, 4), {"stride": 2, "padding": 1}),
    ("gaps", conv_transpose2d, F.conv_transpose2d, (4, 6, 2, 2), {"stride": 3, "output_padding": 1}),
]


@pytest.mark.parametrize("row_length", [1, 10**9], ids=["row-of-taps", "all-taps"])
@pytest.mark.parametrize("block_bytes", [1, 3_000, 10**9], ids=["row-by-row", "few-images", "one-block"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("ours", "torchs", "weight", "arguments"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_any_block_gives_the_same(
    monkeypatch, ours, torchs, weight, arguments, memory_format, block_bytes, row_length
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK_BYTES_CPU", block_bytes)
    monkeypatch.setattr(blocks, "_SHORTEST_PRODUCT", row_length)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, 7, 6, generator=generator, dtype=torch.float64).contiguous(memory_format=memory_format)
    w = torch.randn(weight, generator=generator, dtype=torch.float64)
    channels = weight[1] if ours is conv_transpose2d else weight[0]
    b = torch.randn(channels, generator=generator, dtype=torch.float64)
    arguments_needing_gradients = [t.requires_grad_() for t in (x, w, b)]
    y = ours(x, w, b, **arguments, algorithm="custom")
    expected = torchs(x, w, b, **arguments)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    seed = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    got = torch.autograd.grad(y, arguments_needing_gradients, seed)
    torch.testing.assert_close(
        got, torch.autograd.grad(expected, arguments_needing_gradients, seed), rtol=1e-12, atol=1e-12
    )


class LargestResult(TorchDispatchMode):
    """The most numbers that any operator's result had of its own."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.untyped_storage().nbytes() // result.element_size())
        return result


@pytest.mark.run
@pytest.mark.parametrize(("function", "batch"), [(conv2d, 1), (conv2d, 64), (conv_transpose2d, 64)])
def test_patches_never_take_a_multiple_of_the_image(function, batch) -> None:
    """Every pass of a 5 x 5 kernel, whose patches would be 25 times the input."""
    size = 512 if batch == 1 else 64
    x = torch.randn(batch, 16, size, size, requires_grad=True)
    weight = torch.randn(16, 16, 5, 5, requires_grad=True)
    with LargestResult() as largest:
        torch.autograd.grad(function(x, weight, padding=2, algorithm="custom").sum(), (x, weight))
    assert largest.numbers <= 1.2 * x.numel()


@pytest.mark.parametrize("block_bytes", [1, 10**9], ids=["image-by-image", "one-block"])
@pytest.mark.parametrize(("padding", "dilation"), [(1, 1), (0, 1), (3, 2)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_few_outputs_multiply_first_and_give_the_same(
    monkeypatch, memory_format, padding, dilation, block_bytes
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK_BYTES_CPU", block_bytes)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 20, 7, 6, generator=generator, dtype=torch.float64).contiguous(memory_format=memory_format)
    w = torch.randn(2, 20, 3, 3, generator=generator, dtype=torch.float64)
    b = torch.randn(2, generator=generator, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, w, b)]
    y = conv2d(x, w, b, 1, padding, dilation, algorithm="custom")
    expected = F.conv2d(x, w, b, 1, padding, dilation)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    seed = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    got = torch.autograd.grad(y, inputs, seed)
    torch.testing.assert_close(got, torch.autograd.grad(expected, inputs, seed), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("function", "torchs"), [(conv2d, F.conv2d), (conv_transpose2d, F.conv_transpose2d)])
def test_half_precision_is_rounded_once(function, torchs, dtype) -> None:
    """Where the CPU multiplies in float32, the result is the exact one, or the 16-bit number next to it."""
    if has_fast_bf16(torch.device("cpu")) and dtype == torch.bfloat16:
        pytest.skip("this CPU multiplies in bfloat16, and adds blocks of rounded numbers")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 32, 9, 9, generator=generator).to(dtype).requires_grad_()
    w = torch.randn(32, 32, 3, 3, generator=generator).to(dtype).requires_grad_()
    b = torch.randn(32, generator=generator).to(dtype).requires_grad_()
    y = function(x, w, b, 2, 1, algorithm="custom")
    doubles = [t.detach().double().requires_grad_() for t in (x, w, b)]
    expected = torchs(*doubles, 2, 1)
    seed = torch.randn(y.shape, generator=generator).to(dtype)
    got = [y, *torch.autograd.grad(y, (x, w), seed)]
    exact = [expected, *torch.autograd.grad(expected, doubles[:2], seed.double())]
    for ours, theirs in zip(got, exact, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), theirs, rtol=torch.finfo(dtype).eps, atol=1e-4)
