"""What every registered upsampler promises. A new one is tested here the moment its file exists."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.upsamplers.upsampler_cases import (
    IN_CHANNELS,
    NAMES,
    OUT_CHANNELS,
    SCALES,
    VARIANTS,
    build,
    guide_for,
    image,
    interior,
    label,
)
from upsample_lab.upsamplers import Algorithms, build_upsampler

variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=label)
SIZES = [(5, 7), (4, 6), (1, 1), (1, 4), (33, 2)]


@variants
@pytest.mark.parametrize("scale", SCALES)
def test_output_is_scale_times_the_input(name: str, options: dict[str, Any], scale: int) -> None:
    module = build(name, scale, **options)
    for height, width in SIZES:
        input = image(height, width)
        output = module(input, guide_for(module, input))
        assert output.shape == (2, OUT_CHANNELS, scale * height, scale * width)
        assert output.dtype == torch.float64
        assert output.isfinite().all()


@variants
def test_memory_format_is_kept(name: str, options: dict[str, Any]) -> None:
    module = build(name, **options)
    planes = image(5, 6)
    guide = guide_for(module, planes)
    expected = module(planes, guide)
    assert expected.is_contiguous()

    pixels_first = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    output = pixels_first(planes.contiguous(memory_format=torch.channels_last), guide)
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12, check_stride=False)


@variants
@pytest.mark.parametrize("scale", [2, 3])
def test_gradients(name: str, options: dict[str, Any], scale: int) -> None:
    module = build(name, scale, **options)
    input = image(3, 2, batch=1)
    guide = guide_for(module, input)
    names = [key for key, _ in module.named_parameters()]

    def call(input: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (input, guide))

    leaves = [input, *(parameter.detach() for parameter in module.parameters())]
    assert torch.autograd.gradcheck(call, [leaf.clone().requires_grad_() for leaf in leaves], fast_mode=True)


@variants
def test_state_dict_round_trip(name: str, options: dict[str, Any]) -> None:
    module, other = build(name, seed=0, **options), build(name, seed=1, **options)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    input = image(4, 3)
    guide = guide_for(module, input)
    assert torch.equal(module(input, guide), other(input, guide))


@variants
def test_deepcopy_is_independent(name: str, options: dict[str, Any]) -> None:
    module = build(name, **options)
    input = image(4, 3)
    guide = guide_for(module, input)
    before = module(input, guide).detach()
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(module(input, guide), before)
    assert repr(twin) == repr(module)


@variants
def test_same_seed_same_weights(name: str, options: dict[str, Any]) -> None:
    first, second = (build(name, seed=3, **options).state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@variants
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_other_dtypes(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    module = build(name, **options)
    input = image(6, 5)
    guide = guide_for(module, input)
    exact = module(input, guide)
    output = module.to(dtype)(input.to(dtype), guide)
    assert output.dtype == dtype
    error = (output.double() - exact).abs().max() / exact.abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 0.05)


@variants
def test_autocast(name: str, options: dict[str, Any]) -> None:
    module = build(name, **options).float()
    input = image(6, 5).float().requires_grad_()
    guide = guide_for(module, input)
    exact = module(input, guide)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(input, guide)
    output.float().sum().backward()
    assert (output.float() - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.float32 for leaf in (input, *module.parameters()))


@variants
def test_linear_as_declared(name: str, options: dict[str, Any]) -> None:
    module = build(name, **options)
    first, second = image(5, 4, seed=1), image(5, 4, seed=2)
    guide = guide_for(module, first)
    affine = module(first + second, guide) - module(first, guide) - module(second, guide) + module(0 * first, guide)
    if module.linear:
        assert affine.abs().max() < 1e-12
    else:
        assert affine.abs().max() > 1e-7


@variants
@pytest.mark.parametrize("scale", SCALES)
def test_shifts_with_the_input(name: str, options: dict[str, Any], scale: int) -> None:
    module = build(name, scale, **options)
    input = image(14, 12, batch=1)
    shifted = module(input.roll(1, 2), guide_for(module, input, shift_rows=1))
    expected = module(input, guide_for(module, input)).roll(scale, 2)
    torch.testing.assert_close(interior(shifted, 5 * scale), interior(expected, 5 * scale), rtol=1e-10, atol=1e-12)


class _Calls(TorchDispatchMode):
    """The names of the operators that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))

    def convolutions(self) -> Iterator[str]:
        return (name for name in self.names if "conv" in name or "upsample" in name)


@variants
def test_custom_algorithms_call_no_kernel_of_torch(name: str, options: dict[str, Any]) -> None:
    module = build_upsampler(name, IN_CHANNELS, OUT_CHANNELS, algorithms=Algorithms("custom", "custom"), **options)
    input = image(6, 6).float().requires_grad_()
    with _Calls() as calls:
        module(input, guide_for(module, input)).sum().backward()
    assert calls.names
    assert not list(calls.convolutions())


@pytest.mark.parametrize("name", NAMES)
def test_native_gives_the_same(name: str) -> None:
    torch.manual_seed(0)
    native = build_upsampler(name, IN_CHANNELS, OUT_CHANNELS, algorithms=Algorithms("native", "native")).double()
    torch.manual_seed(0)
    custom = build_upsampler(name, IN_CHANNELS, OUT_CHANNELS).double()
    assert native.state_dict().keys() == custom.state_dict().keys()
    input = image(6, 5)
    guide = guide_for(native, input)
    torch.testing.assert_close(native(input, guide), custom(input, guide), rtol=1e-10, atol=1e-12)


@variants
def test_trains(name: str, options: dict[str, Any]) -> None:
    """A few steps lower the loss of a decoder stage: the gradients point the right way and reach what learns."""
    module = nn.Sequential(nn.Conv2d(IN_CHANNELS, IN_CHANNELS, 1).double(), build(name, **options))
    input, target = image(4, 4), image(8, 8, channels=OUT_CHANNELS, seed=5)
    guide = guide_for(module[1], input)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(12):
        loss = (module[1](module[0](input), guide) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.run  # all of them compile; these two have what is special about resizing, and the rest is plain PyTorch
@pytest.mark.parametrize("name", ["nearest", "bilinear"])
def test_compiles_whole(name: str) -> None:
    """`trainer.compile=true` sees one graph, forward and backward, on short axes and long ones."""
    module = build(name)
    input = image(3, 34, batch=1).requires_grad_()
    guide = guide_for(module, input)
    torch.compiler.reset()
    output = torch.compile(module, backend="aot_eager", fullgraph=True)(input, guide)
    expected = module(input, guide)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(result.square().sum(), input)[0] for result in (output, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-11)
