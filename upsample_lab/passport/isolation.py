"""Measuring a module without leaving a trace in it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def isolated(module: nn.Module) -> Iterator[nn.Module]:
    """A twin of the module in evaluation mode, to be measured in its place; random number generators are put back.

    The twin is a deep copy. Where Python cannot make one (a module that keeps a computed tensor as an attribute), it is
    the module itself, and its parameters, buffers, gradients and modes are put back as they were.
    """
    devices = sorted({tensor.get_device() for tensor in _tensors(module) if tensor.is_cuda})
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        # Inference mode of the caller's would leave nothing to differentiate, and its tensors cannot be put back.
        with torch.inference_mode(False), torch.random.fork_rng(devices=devices), _twin(module) as twin:
            twin.eval()
            yield twin
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def duplicate(module: nn.Module) -> nn.Module:
    """A deep copy. Raises whatever a third party's `__deepcopy__` or `__reduce__` raises."""
    if not any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        return copy.deepcopy(module)
    with torch.no_grad():  # a copy of a ScriptModule is computed, and its parameters would not be leaves
        twin = copy.deepcopy(module)
    for own, copied in zip(module.parameters(), twin.parameters(), strict=True):
        copied.requires_grad_(own.requires_grad)
    return twin


def cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module, its real parameters and buffers in `dtype`, and its complex ones in the complex dtype that fits.

    `module.to(dtype)` would make complex ones real, and throw away their imaginary parts.
    """
    complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64

    def convert(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(complex_dtype)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return module._apply(convert)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


@contextmanager
def _twin(module: nn.Module) -> Iterator[nn.Module]:
    try:
        twin = duplicate(module)
    except Exception:  # whatever a third party's __deepcopy__ or __reduce__ raises
        twin = None
    if twin is not None:
        yield twin
        return
    put_back = _snapshot(module)
    try:
        yield module
    finally:
        put_back()


def _snapshot(module: nn.Module) -> Callable[[], None]:
    """A function that puts modes, parameters, gradients and buffers back: the same tensors with the same values.

    Converting a module to another dtype gives its parameters new memory and replaces its buffers, so both the objects
    and their values are kept.
    """
    modes = {part: part.training for part in module.modules()}
    buffers = [(part, dict(part._buffers)) for part in module.modules()]
    values = {
        tensor: tensor.detach().clone() for _, named in buffers for tensor in named.values() if tensor is not None
    }
    parameters = [(p, p.data, p.detach().clone(), p.grad) for p in module.parameters()]
    for parameter in module.parameters():
        parameter.grad = None  # else it would be converted, and added to

    def put_back() -> None:
        for part, training in modes.items():
            part.training = training
        with torch.no_grad():
            for part, named in buffers:
                part._buffers.update(named)
            for tensor, value in values.items():
                tensor.copy_(value)
            for parameter, data, value, gradient in parameters:
                parameter.grad = None  # of another dtype by now
                parameter.data = data.copy_(value)
                parameter.grad = gradient

    return put_back
