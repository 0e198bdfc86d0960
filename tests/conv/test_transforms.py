"""torch.func, torch.compile, torch.export, autocast, types, devices: wherever torch's own convolutions work."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from upsample_lab.conv import (
    CONV2D_ALGORITHMS,
    CONV_TRANSPOSE2D_ALGORITHMS,
    Conv2d,
    ConvTranspose2d,
    conv2d,
    conv_transpose2d,
)

FUNCTIONS = [(conv2d, F.conv2d, a) for a in CONV2D_ALGORITHMS if a != "native"] + [
    (conv_transpose2d, F.conv_transpose2d, a) for a in CONV_TRANSPOSE2D_ALGORITHMS if a != "native"
]
MODULES = [(Conv2d, a) for a in CONV2D_ALGORITHMS if a != "native"] + [
    (ConvTranspose2d, a) for a in CONV_TRANSPOSE2D_ALGORITHMS if a != "native"
]
over_functions = pytest.mark.parametrize(
    ("function", "torchs", "algorithm"), FUNCTIONS, ids=[f"{f.__name__}-{a}" for f, _, a in FUNCTIONS]
)
over_modules = pytest.mark.parametrize(("module", "algorithm"), MODULES, ids=[f"{m.__name__}-{a}" for m, a in MODULES])


def pair(function, torchs, algorithm):
    """Ours and torch's as functions of image, weight, bias with stride 2, padding 1 and two groups."""
    order = (2, 1, 1, 2)  # stride, padding, then dilation or output_padding, groups
    return (lambda x, w, b=None: function(x, w, b, *order, algorithm=algorithm)), (
        lambda x, w, b=None: torchs(x, w, b, *order)
    )


def tensors(function, count: int = 3, dtype=torch.float64):
    weight = (6, 2, 3, 3) if function is conv2d else (4, 3, 3, 3)
    generator = torch.Generator().manual_seed(0)
    shapes = (count, 2, 4, 5, 6), (count, *weight), (count, 6)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def same(a, b) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@over_functions
@pytest.mark.parametrize(
    "dims",
    [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, None), (0, 0, 0), (1, None, None), (2, 1, 0)],
    ids=str,
)
def test_vmap(function, torchs, algorithm, dims) -> None:
    ours, native = pair(function, torchs, algorithm)
    arguments = [t[0] if dim is None else t.movedim(0, dim) for t, dim in zip(tensors(function), dims, strict=True)]
    same(vmap(ours, dims)(*arguments), vmap(native, dims)(*arguments))


@over_functions
def test_gradients_for_each_sample(function, torchs, algorithm) -> None:
    def gradients(f):
        return vmap(grad(lambda x, w, b: f(x, w, b).pow(3).sum(), (0, 1, 2)), (0, None, None))

    ours, native = pair(function, torchs, algorithm)
    x, weight, bias = tensors(function)
    same(gradients(ours)(x, weight[0], bias[0]), gradients(native)(x, weight[0], bias[0]))


@over_functions
def test_forward_mode_jacobians_and_hessian(function, torchs, algorithm) -> None:
    ours, native = pair(function, torchs, algorithm)
    (x, dx, _), (weight, dw, _), (bias, db, _) = (t.unbind() for t in tensors(function))
    same(jvp(ours, (x, weight, bias), (dx, dw, db)), jvp(native, (x, weight, bias), (dx, dw, db)))
    small, weight = x[:1, :, :2, :2], weight[:, :, :2, :2].contiguous()
    same(jacrev(ours)(small, weight, bias), jacrev(native)(small, weight, bias))
    same(jacfwd(ours, 1)(small, weight, bias), jacfwd(native, 1)(small, weight, bias))
    same(
        hessian(lambda x: ours(x, weight, bias).pow(3).sum())(small),
        hessian(lambda x: native(x, weight, bias).pow(3).sum())(small),
    )


@pytest.mark.run
@over_modules
def test_compiles_without_a_graph_break(module, algorithm) -> None:
    torch._dynamo.reset()
    layer = module(4, 6, 4, stride=2, padding=1, algorithm=algorithm)
    compiled = torch.compile(layer, fullgraph=True, dynamic=False, backend="aot_eager")
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    expected = torch.autograd.grad(layer(x).square().sum(), (x, *layer.parameters()))
    got = torch.autograd.grad(compiled(x).square().sum(), (x, *layer.parameters()))
    torch.testing.assert_close(got, expected)


@pytest.mark.run
@pytest.mark.parametrize("module", [Conv2d, ConvTranspose2d])
def test_compiles_for_any_batch(module) -> None:
    torch._dynamo.reset()
    layer = module(4, 6, 4, stride=2, padding=1, algorithm="custom")
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (2, 3):
        x = torch.randn(batch, 4, 8, 8)
        torch.testing.assert_close(compiled(x), layer(x))


@over_modules
def test_exports(module, algorithm) -> None:
    layer = module(4, 6, 4, stride=2, padding=1, algorithm=algorithm)
    x = torch.randn(3, 4, 8, 8)
    dynamic = {"input": {0: torch.export.Dim("batch", min=2, max=64)}}
    exported = torch.export.export(layer, (x,), dynamic_shapes=dynamic).module()
    for batch in (3, 5):
        x = torch.randn(batch, 4, 8, 8)
        torch.testing.assert_close(exported(x), layer(x))


@over_functions
def test_autocast(function, torchs, algorithm) -> None:
    ours, native = pair(function, torchs, algorithm)
    arguments = [t[0].requires_grad_() for t in tensors(function, dtype=torch.float32)]
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = ours(*arguments), native(*arguments)
        mixed = ours(arguments[0].bfloat16(), *arguments[1:])
        double = ours(*(t.double() for t in arguments))
    assert y.dtype == mixed.dtype == torch.bfloat16
    assert double.dtype == torch.float64
    torch.testing.assert_close(y, expected, rtol=0.02, atol=0.05)
    for gradient, argument in zip(torch.autograd.grad(y.float().sum(), arguments), arguments, strict=True):
        assert gradient.dtype == argument.dtype == torch.float32
    y = ours(*arguments)
    with torch.autocast("cpu", torch.bfloat16):  # around the backward alone: nothing may be rounded
        (late,) = torch.autograd.grad(y.sum(), arguments[1])
    torch.testing.assert_close(late, torch.autograd.grad(native(*arguments).sum(), arguments[1])[0])


@over_functions
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision_is_as_good_as_torchs(function, torchs, algorithm, dtype) -> None:
    """Judged by float64: not further from it than torch's own kernel, give or take a rounding."""
    ours, native = pair(function, torchs, algorithm)
    exact_arguments = [t[0].to(dtype).double().requires_grad_() for t in tensors(function)]
    arguments = [t.detach().to(dtype).requires_grad_() for t in exact_arguments]
    exact = native(*exact_arguments)
    exact_all = [exact, *torch.autograd.grad(exact.sum(), exact_arguments)]
    y = ours(*arguments)
    for got, expected in zip([y, *torch.autograd.grad(y.sum(), arguments)], exact_all, strict=True):
        assert got.dtype == dtype
        assert float((got - expected).abs().max() / expected.abs().max()) < 2 * torch.finfo(dtype).eps


@over_functions
def test_integers_are_exact(function, torchs, algorithm) -> None:
    ours, native = pair(function, torchs, algorithm)
    arguments = [(t[0] * 10).to(torch.int64) for t in tensors(function)]
    assert torch.equal(ours(*arguments), native(*arguments))


@over_functions
def test_shapes_without_numbers(function, torchs, algorithm) -> None:
    ours, native = pair(function, torchs, algorithm)
    arguments = [t[0].to("meta") for t in tensors(function)]
    assert ours(*arguments).shape == native(*arguments).shape
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(t[0]) for t in tensors(function)]
        assert ours(*fakes).shape == native(*fakes).shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@over_functions
def test_on_a_gpu(function, torchs, algorithm) -> None:
    ours, native = pair(function, torchs, algorithm)
    arguments = [t[0].cuda().requires_grad_() for t in tensors(function)]
    y, expected = ours(*arguments), native(*arguments)
    same(y, expected)
    same(torch.autograd.grad(y.sum(), arguments), torch.autograd.grad(expected.sum(), arguments))
