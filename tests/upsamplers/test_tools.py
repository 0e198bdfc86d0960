"""Every upsampler under every tool: the numbers of the unfolded definition with torch's kernels, or one line.

The tools that make tensors of their own also come first, in a fresh process.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.export import Dim
from torch.func import functional_call, grad, jacfwd, jvp, linearize, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from tests.conftest import by_tier
from tests.upsamplers.upsampler_cases import OUT_CHANNELS, VARIANTS, build, guide_for, image, label
from upsample_lab.upsamplers import Upsampler, build_upsampler
from upsample_lab.upsamplers.dysample import DySample

Cell = tuple[str, dict[str, Any]]
SIZES = [(5, 4, 2), (9, 33, 1), (2, 3, 4)]
EACH = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}


def made(cell: Cell, **options: Any) -> Upsampler:
    name, values = cell
    return build(name, **values, **options)


def definition(module: Upsampler) -> Upsampler:
    """The layer unfolded, its convolutions torch's."""
    plain = copy.deepcopy(module)
    plain.fold = "never"
    for part in plain.modules():
        if hasattr(part, "algorithm"):
            part.algorithm = "native"  # type: ignore[assignment]
    return plain


def inputs(module: Upsampler, height: int = 5, width: int = 4, batch: int = 2) -> tuple[Tensor, ...]:
    x = image(height, width, batch=batch)
    guide = guide_for(module, x)
    return (x,) if guide is None else (x, guide)


def same(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    assert type(actual) is Tensor
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def export(module: Upsampler, strict: bool = False) -> None:
    arguments = inputs(module)
    program = torch.export.export(module, arguments, strict=strict)
    same(program.module()(*arguments), definition(module)(*arguments))


def export_any_size(module: Upsampler) -> None:
    arguments = inputs(module, 6, 8, 3)
    shapes = {"input": EACH, "guide": EACH} if len(arguments) > 1 else {"input": EACH}
    program = torch.export.export(module, arguments, dynamic_shapes=shapes)
    for size in SIZES:
        same(program.module()(*inputs(module, *size)), definition(module)(*inputs(module, *size)))


def fake(module: Upsampler) -> None:
    arguments = inputs(module)
    with FakeTensorMode() as mode:
        parameters = {key: mode.from_tensor(value) for key, value in module.named_parameters()}
        output = functional_call(module, parameters, tuple(map(mode.from_tensor, arguments)))
    assert output.shape == definition(module)(*arguments).shape


def recorded(module: Upsampler) -> None:
    arguments, parameters = inputs(module), dict(module.named_parameters())
    for mode in ("real", "fake"):
        graph = make_fx(lambda p, *a: functional_call(module, p, a), tracing_mode=mode)(parameters, *arguments)
        other = (2 * arguments[0] + 1, *arguments[1:])
        same(graph(parameters, *other), definition(module)(*other))


def meta(module: Upsampler) -> None:
    arguments = [tensor.to("meta") for tensor in inputs(module)]
    arguments[0].requires_grad_()
    output = copy.deepcopy(module).to("meta")(*arguments)
    output.sum().backward()
    assert (output.device.type, output.shape) == ("meta", module(*inputs(module)).shape)


def vmap_over_images(module: Upsampler) -> None:
    arguments = inputs(module, batch=6)
    groups = [tensor.unflatten(0, (3, 2)) for tensor in arguments]
    same(vmap(module)(*groups).flatten(0, 1), definition(module)(*arguments))
    same(vmap(module)(*arguments), definition(module)(*arguments))


def vmap_over_modules(module: Upsampler) -> None:
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    state, arguments = stack_module_state([module, other]), inputs(module)  # type: ignore[list-item]
    found = vmap(lambda p, b: functional_call(module, (p, b), arguments))(*state)
    same(found, torch.stack([definition(each)(*arguments) for each in (module, other)]))


def forward_mode(module: Upsampler) -> None:
    x, *guide = inputs(module, 3, 4)
    tangent = image(3, 4, seed=8)
    plain = definition(module)
    jacobian = torch.autograd.functional.jacobian(lambda x: plain(x, *guide), x)
    expected = torch.einsum("abcdefgh,efgh->abcd", jacobian, tangent)
    same(jvp(lambda x: module(x, *guide), (x,), (tangent,))[1], expected)
    same(linearize(lambda x: module(x, *guide), x)[1](tangent), expected)
    same(jacfwd(lambda x: module(x, *guide))(x), jacobian)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(module(forward_ad.make_dual(x, tangent), *guide)).tangent
        assert found is not None
        same(found, expected)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(plain(leaf, *guide).square().sum(), leaf)
    same(grad(lambda x: module(x, *guide).square().sum())(x), expected)


def twice_backward(module: Upsampler) -> None:
    x, *guide = inputs(module, 3, 2, 1)
    assert torch.autograd.gradgradcheck(lambda x: module(x, *guide), x.requires_grad_(), fast_mode=True)


IN_PLACE: list[Callable[[Tensor], Tensor]] = [
    lambda output: output.relu_(),
    lambda output: output.add_(1).mul_(3),
    lambda output: output.flatten(1).add_(1),
]


def in_place(module: Upsampler) -> None:
    x, *guide = inputs(module)
    x.requires_grad_()
    plain = definition(module)
    for change in IN_PLACE:
        output, expected = change(module(x, *guide)), change(plain(x, *guide).clone())
        same(output, expected)
        found = torch.autograd.grad(output.square().sum(), (x, *module.parameters()))
        wanted = torch.autograd.grad(expected.square().sum(), (x, *plain.parameters()))
        for one, other in zip(found, wanted, strict=True):
            same(one, other)


def empty_batch(module: Upsampler) -> None:
    x, *guide = (tensor[:0] for tensor in inputs(module))
    output = module(x.requires_grad_(), *guide)
    assert output.shape == (0, OUT_CHANNELS, 10, 8)
    output.sum().backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in module.parameters())


def one_image(module: Upsampler) -> None:
    arguments = inputs(module)
    same(module(*(tensor[0] for tensor in arguments)), definition(module)(*arguments)[0])


def inference(module: Upsampler) -> None:
    arguments = inputs(module)
    with torch.inference_mode():
        output = module(*arguments)
    same(output.clone(), definition(module)(*arguments))
    module(arguments[0].requires_grad_(), *arguments[1:]).sum().backward()


def traced_by_fx(module: Upsampler) -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = module

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.up(x)
            return output.relu()

    class AroundGuided(Around):
        def forward(self, x: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
            output: Tensor = self.up(x, guide)
            return output.relu()

    arguments = inputs(module)
    graph = torch.fx.symbolic_trace(Around() if len(arguments) == 1 else AroundGuided())
    same(graph(*arguments), definition(module)(*arguments).relu())
    with pytest.raises(TypeError, match=r"^torch\.fx: a \w+ is one call of the module that holds it"):
        torch.fx.symbolic_trace(module)


def scripted(module: Upsampler) -> None:
    with pytest.raises(TypeError, match=r"^torch\.jit\.script: a \w+ cannot be scripted; use torch\.export$"):
        torch.jit.script(nn.Sequential(module))


def traced_by_jit(module: Upsampler) -> None:
    arguments = inputs(module)
    same(torch.jit.trace(module, arguments, check_trace=False)(*arguments), definition(module)(*arguments))


def pickled(module: Upsampler) -> None:
    arguments = inputs(module)
    same(pickle.loads(pickle.dumps(module))(*arguments), definition(module)(*arguments))


def threads(module: Upsampler) -> None:
    arguments = inputs(module)
    with ThreadPoolExecutor(4) as pool:
        for output in pool.map(lambda _: module(*arguments), range(8)):
            same(output, definition(module)(*arguments))


class _Named(torch.Tensor):
    """A subclass of a user's own, which torch's functions keep."""


def subclass(module: Upsampler) -> None:
    arguments = inputs(module)
    output = module(arguments[0].as_subclass(_Named), *arguments[1:])
    assert type(output) is _Named
    same(output.as_subclass(Tensor), definition(module)(*arguments))


def default_float64(module: Upsampler) -> None:
    single = module.float()
    arguments = tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in inputs(module))
    torch.set_default_dtype(torch.float64)
    try:
        output = single(*arguments)
    finally:
        torch.set_default_dtype(torch.float32)
    assert output.dtype == torch.float32
    same(output, definition(single)(*arguments), 1e-5)


def autocast(module: Upsampler) -> None:
    single = module.float()
    arguments = tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in inputs(module))
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            output, expected = single(*arguments), definition(single)(*arguments)
        assert output.dtype == expected.dtype == dtype
        torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)


TOOLS: dict[str, Callable[[Upsampler], None]] = {
    "export": export,
    "export, strict": lambda module: export(module, strict=True),
    "export, any size": export_any_size,
    "fake tensors": fake,
    "make_fx": recorded,
    "meta": meta,
    "vmap, images": vmap_over_images,
    "vmap, modules": vmap_over_modules,
    "forward mode": forward_mode,
    "double backward": twice_backward,
    "in place": in_place,
    "empty batch": empty_batch,
    "one image": one_image,
    "inference mode": inference,
    "torch.fx": traced_by_fx,
    "torch.jit.script": scripted,
    "torch.jit.trace": traced_by_jit,
    "pickle": pickled,
    "threads": threads,
    "tensor subclass": subclass,
    "default float64": default_float64,
    "autocast": autocast,
}


@pytest.mark.parametrize("cell", VARIANTS, ids=lambda cell: f"{cell[0]}-{label(cell[1])}")
@pytest.mark.parametrize(
    "tool", by_tier(TOOLS, run={*(tool for tool in TOOLS if "export" in tool), "forward mode", "make_fx"})
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_layer_under_a_tool(tool: str, cell: Cell) -> None:
    module = made(cell)
    TOOLS[tool](module)
    arguments = tuple(
        tensor.to(next(module.parameters()).dtype) if tensor.is_floating_point() else tensor
        for tensor in inputs(module)
    )
    same(module(*arguments), definition(module)(*arguments), 1e-10 if arguments[0].dtype == torch.float64 else 1e-5)


COLD = """
import sys, torch
from tests.upsamplers import test_tools
from tests.upsamplers.upsampler_cases import VARIANTS
for cell in VARIANTS:
    module = test_tools.made(cell)
    test_tools.TOOLS[sys.argv[1]](module)
    arguments = test_tools.inputs(module)
    test_tools.same(module(*arguments), test_tools.definition(module)(*arguments))
"""


@pytest.mark.process
@pytest.mark.parametrize("tool", ["export", "fake tensors", "make_fx", "meta", "inference mode"])
def test_a_tool_comes_first_in_a_fresh_process(tool: str) -> None:
    """What it made must not be what eager mode is given afterwards."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-W", "ignore", "-c", COLD, tool], check=True, env=environment, timeout=300)


@pytest.mark.run  # three seconds each
@pytest.mark.parametrize("cell", VARIANTS, ids=lambda cell: f"{cell[0]}-{label(cell[1])}")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_onnxruntime_runs_what_is_exported(cell: Cell, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    module = made(cell).float()
    arguments = _single(inputs(module, 6, 8, 3))
    shapes = {"input": EACH, "guide": EACH} if len(arguments) > 1 else {"input": EACH}
    torch.onnx.export(module, arguments, tmp_path / "layer.onnx", dynamo=True, verbose=False, dynamic_shapes=shapes)
    session = runtime.InferenceSession(tmp_path / "layer.onnx")
    names = [each.name for each in session.get_inputs()]
    for size in SIZES:
        arguments = _single(inputs(module, *size))
        fed = {name: tensor.numpy() for name, tensor in zip(names, arguments, strict=True)}
        same(torch.from_numpy(session.run(None, fed)[0]), definition(module)(*arguments), 1e-5)


def _single(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors)


@pytest.mark.parametrize("channels", [(3, 1), (5, 5), (9, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("cell", VARIANTS, ids=lambda cell: f"{cell[0]}-{label(cell[1])}")
def test_odd_channels(cell: Cell, channels: tuple[int, int]) -> None:
    name, options = cell
    groups = {"groups": 1} if name == "dysample" else {}
    for scale in (2, 3, 4):
        module = build_upsampler(name, *channels, scale, **options, **groups).double()
        x = image(5, 4, channels=channels[0])
        guide = guide_for(module, x)
        for given in (x, x.contiguous(memory_format=torch.channels_last)):
            same(module(given, guide), definition(module)(given, guide))


@pytest.mark.parametrize("lost", [torch.nan, torch.inf, -torch.inf])
def test_offsets_that_are_no_numbers_give_none(lost: float) -> None:
    """PyTorch's sampler reads beyond its memory there, backward: a training that diverged would end the process."""
    module = build("dysample")
    assert isinstance(module, DySample)
    with torch.no_grad():
        module.offset.bias.fill_(lost)  # type: ignore[union-attr]
    x = image(5, 4).requires_grad_()
    output = module(x)
    output.sum().backward()
    assert output.isnan().all() == (lost != lost)
