"""A custom algorithm calls no convolution kernel of PyTorch's, forward or backward."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from upsample_lab.conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, conv2d, conv_transpose2d

KERNELS = ("conv", "unfold", "fold", "im2col", "col2im", "mkldnn", "cudnn", "miopen")
FUNCTIONS = [(conv2d, a) for a in CONV2D_ALGORITHMS] + [(conv_transpose2d, a) for a in CONV_TRANSPOSE2D_ALGORITHMS]
IDS = [f"{function.__name__}-{name}" for function, name in FUNCTIONS]


class Watch(TorchDispatchMode):
    """Collects the names of all operators that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


def dispatched(function, algorithm, groups, stride) -> set[str]:
    x = torch.randn(2, 4, 7, 7, requires_grad=True)
    weight = torch.randn(4, 4 // groups, 3, 3, requires_grad=True)
    bias = torch.randn(4, requires_grad=True)
    with Watch() as watch:
        y = function(x, weight, bias, stride, 1, groups=groups, algorithm=algorithm)
        (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        grad.square().sum().backward()
    return {name for name in watch.names if any(kernel in name for kernel in KERNELS)}


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("function", "algorithm"), FUNCTIONS, ids=IDS)
def test_only_native_calls_convolution_kernels(function, algorithm, groups, stride) -> None:
    found = dispatched(function, algorithm, groups, stride)
    if algorithm == "native":
        assert found, "the watch sees nothing: it could not catch the others either"
    else:
        assert not found


def test_same_padding_calls_none_either() -> None:
    with Watch() as watch:
        conv2d(torch.randn(1, 1, 5, 5), torch.randn(1, 1, 4, 4), padding="same", algorithm="custom")
    assert not [name for name in watch.names if any(kernel in name for kernel in KERNELS)]
