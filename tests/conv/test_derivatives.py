"""First and second derivatives by finite differences, for every algorithm, and every subset of what needs them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from upsample_lab.conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, conv2d, conv_transpose2d

FUNCTIONS = [(conv2d, name) for name in CONV2D_ALGORITHMS] + [
    (conv_transpose2d, name) for name in CONV_TRANSPOSE2D_ALGORITHMS
]
IDS = [f"{function.__name__}-{name}" for function, name in FUNCTIONS]
ARGUMENTS = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}


def tensors(function, dtype=torch.float64, needs=(True, True, True)):
    generator = torch.Generator().manual_seed(0)
    weight = (4, 1, 2, 3) if function is conv2d else (4, 2, 2, 3)
    shapes = (2, weight[1] * 2 if function is conv2d else 4, 4, 5), weight, (4,)
    made = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
    return [t.requires_grad_(need) for t, need in zip(made, needs, strict=True)]


@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_first_derivatives(function, algorithm) -> None:
    gradcheck(lambda *t: function(*t, **ARGUMENTS, algorithm=algorithm), tensors(function), check_forward_ad=True)


@pytest.mark.run
@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_second_derivatives(function, algorithm) -> None:
    gradgradcheck(lambda *t: function(*t, **ARGUMENTS, algorithm=algorithm), tensors(function))


@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_complex_derivatives(function, algorithm) -> None:
    gradcheck(
        lambda *t: function(*t, **ARGUMENTS, algorithm=algorithm),
        tensors(function, torch.complex128),
        fast_mode=True,
    )


@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_any_subset_may_need_a_gradient(function, algorithm) -> None:
    for needs in itertools.product((False, True), repeat=3):
        if not any(needs):
            continue
        arguments = tensors(function, needs=needs)
        wanted = [t for t, need in zip(arguments, needs, strict=True) if need]
        ours = function(*arguments, **ARGUMENTS, algorithm=algorithm)
        native = function(*arguments, **ARGUMENTS, algorithm="native")
        seed = torch.randn(native.shape, dtype=native.dtype, generator=torch.Generator().manual_seed(1))
        for a, b in zip(
            torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(native, wanted, seed), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_second_derivative_of_one_argument_alone(function, algorithm) -> None:
    """A gradient penalty: the derivative, by the weights, of the norm of the gradient for the input."""

    def penalty(name: str) -> tuple[torch.Tensor, ...]:
        x, weight, bias = tensors(function)
        y = function(x, weight, bias, **ARGUMENTS, algorithm=name)
        (grad,) = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), (weight, bias))

    for a, b in zip(penalty(algorithm), penalty("native"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
@pytest.mark.parametrize("seed", ["expanded", "strided", "channels_last"])
def test_gradients_that_are_not_contiguous(function, algorithm, seed) -> None:
    arguments = tensors(function)
    native = function(*arguments, **ARGUMENTS, algorithm="native")
    ours = function(*arguments, **ARGUMENTS, algorithm=algorithm)
    dense = torch.randn(native.shape, dtype=native.dtype, generator=torch.Generator().manual_seed(1))
    grad = {
        "expanded": dense[:1, :1, :1, :1].expand_as(native),
        "strided": torch.stack((dense, dense), -1)[..., 0],
        "channels_last": dense.contiguous(memory_format=torch.channels_last),
    }[seed]
    for a, b in zip(
        torch.autograd.grad(ours, arguments, grad), torch.autograd.grad(native, arguments, grad), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_an_empty_batch_gives_zero_gradients(function, algorithm) -> None:
    x, weight, bias = tensors(function)
    x = x.detach()[:0].requires_grad_()
    y = function(x, weight, bias, **ARGUMENTS, algorithm=algorithm)
    assert y.shape[0] == 0
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    for parameter in (weight, bias):
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_the_gradient_of_one_is_the_other() -> None:
    """What `derivatives.py` says in words: same weights, roles of input and output exchanged."""
    x, weight, _ = tensors(conv2d)
    y = conv2d(x, weight, None, **ARGUMENTS, algorithm="im2col")
    seed = torch.randn_like(y)
    (grad,) = torch.autograd.grad(y, x, seed)
    extra = [(x.shape[2 + axis] - conv_transpose2d(seed, weight, **ARGUMENTS).shape[2 + axis]) for axis in (0, 1)]
    assert torch.equal(grad, conv_transpose2d(seed, weight, output_padding=extra, **ARGUMENTS))
