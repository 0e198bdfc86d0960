"""The output convolution to one channel: the numbers of PyTorch's, every derivative, and out of the way elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from upsample_lab.conv.fast import grey_output
from upsample_lab.conv.fast.grey_output import GreyOutput

SHAPES = [(2, 8, 7, 5), (1, 3, 1, 6), (3, 1, 2, 2), (0, 4, 5, 5)]


def layer(channels: int, out: int = 1, kernel: int = 3, algorithm: str = "native") -> GreyOutput:
    torch.manual_seed(0)
    return GreyOutput(channels, out, kernel, algorithm=algorithm).double().to(memory_format=torch.channels_last)


def image(*shape: int) -> torch.Tensor:
    numbers = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return numbers.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time that the fast form is taken."""
    calls: list[int] = []
    original = grey_output._OneChannel.apply

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return original(*arguments)

    monkeypatch.setattr(grey_output._OneChannel, "apply", counted)
    return calls


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_convolution(
    shape: tuple[int, ...], kernel: int, applied: list[int]
) -> None:
    conv, x = layer(shape[1], kernel=kernel), image(*shape)
    inputs = (x, conv.weight, conv.bias)
    expected = F.conv2d(x, conv.weight, conv.bias, padding=kernel // 2)
    output = conv(x)
    assert applied
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(2))
    ours, theirs = torch.autograd.grad(output, inputs, grad), torch.autograd.grad(expected, inputs, grad)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_derivatives_of_every_order(applied: list[int]) -> None:
    conv = layer(3)
    x = image(2, 3, 4, 3)

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return grey_output._OneChannel.apply(x, weight, bias)

    assert torch.autograd.gradcheck(run, (x, conv.weight, conv.bias))
    assert torch.autograd.gradgradcheck(run, (x, conv.weight, conv.bias))
    assert applied


@pytest.mark.parametrize("frozen", ["x", "weight", "bias"])
def test_what_needs_no_gradient_gets_none(frozen: str) -> None:
    conv, x = layer(3), image(2, 3, 4, 4)
    tensors = {"x": x, "weight": conv.weight, "bias": conv.bias}
    tensors[frozen].requires_grad_(False)
    conv(x).square().sum().backward()
    assert {name for name, tensor in tensors.items() if tensor.grad is None} == {frozen}


@pytest.mark.parametrize("algorithm", ["im2col", "matrix"])
def test_algorithms_that_are_there_to_be_seen_stay(algorithm: str, applied: list[int]) -> None:
    layer(3, algorithm=algorithm)(image(1, 3, 4, 4))
    assert not applied


def test_whatever_has_rules_of_its_own_takes_the_plain_convolution(applied: list[int]) -> None:
    conv, x = layer(3), image(2, 3, 4, 4)
    expected = conv(x).detach()
    applied.clear()
    torch.testing.assert_close(conv(x.detach().contiguous()), expected)  # another memory format
    assert layer(3, out=2)(x).shape == (2, 2, 4, 4)
    torch.testing.assert_close(torch.func.vmap(conv)(x[:, None])[:, 0], expected)
    torch.testing.assert_close(torch.func.jacrev(lambda b: torch.func.functional_call(conv, {"bias": b}, (x,)))(
        conv.bias.detach()), torch.ones_like(expected)[..., None])  # fmt: skip
    with torch.autocast("cpu", torch.bfloat16):
        assert conv.float()(x.float()).dtype == torch.bfloat16
    assert not applied


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size=2 must be odd"):
        layer(3, kernel=2)


@pytest.mark.parametrize(
    ("attribute", "value"), [("padding_mode", "reflect"), ("stride", (2, 2)), ("padding", (0, 0)), ("dilation", (2, 2))]
)
def test_what_is_set_later_counts(attribute: str, value: object, applied: list[int]) -> None:
    conv, x = layer(3), image(2, 3, 7, 6)
    twin = torch.nn.Conv2d(3, 1, 3, padding=1, dtype=torch.float64)
    twin.load_state_dict(conv.state_dict())
    for module in (conv, twin):
        setattr(module, attribute, value)
        module._reversed_padding_repeated_twice = [1, 1, 1, 1]
    torch.testing.assert_close(conv(x), twin(x), rtol=1e-12, atol=1e-12)
    assert not applied


def test_without_a_bias_and_with_spectral_norm() -> None:
    conv, x = layer(3), image(2, 3, 7, 6)
    twin = torch.nn.Conv2d(3, 1, 3, padding=1, dtype=torch.float64)
    twin.load_state_dict(conv.state_dict())
    for module in (conv, twin):
        torch.manual_seed(0)
        torch.nn.utils.parametrizations.spectral_norm(module)
        module.register_parameter("bias", None)
    for _ in range(3):  # each call iterates once
        torch.testing.assert_close(conv(x), twin(x), rtol=1e-12, atol=1e-12)
