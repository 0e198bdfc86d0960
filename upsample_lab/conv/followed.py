"""Under the tools of PyTorch: who looks on, while a layer or a function is called.

Export, make_fx, fake tensors and torch.func know PyTorch's operators. While they are at work everything is computed
with those, in functions that leave their arguments alone: the ways that are faster in eager mode write into memory, or
would be recorded for one size. `torch.compile` traces the fast ways as they are.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

_KEYS = torch._C._TorchDispatchModeKey


def under_a_mode() -> bool:
    """Whether tensors that are made now may be a tracer's, and not to be kept."""
    if torch.compiler.is_compiling():  # which looks into neither of the following
        return torch.compiler.is_exporting()
    return (
        torch._C._are_functorch_transforms_active()
        or torch._C._get_dispatch_mode(_KEYS.PROXY) is not None
        or torch._C._get_dispatch_mode(_KEYS.FAKE) is not None
        or torch._C._is_tracing()
    )


def followed_by_a_tool(input: Tensor) -> bool:
    """Whether what is computed with this input is recorded, transformed, or has no numbers at all."""
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return type(input) not in (Tensor, nn.Parameter) or input.device.type == "meta" or under_a_mode()


def transformed_or_traced() -> bool:
    """Whether torch.func or torch.compile is at work, which know what to do with PyTorch's operators, not with ours."""
    return torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()


def under_autocast(tensor: Tensor) -> bool:
    """Whether autocast is on for the tensor's device."""
    return tensor.device.type != "meta" and torch.is_autocast_enabled(tensor.device.type)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Nothing is rounded to autocast's type inside; on a device that has no autocast, nothing is done."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def own_tensor(result: Tensor) -> Tensor:
    """The same memory as a tensor that is no view of another: what leaves an autograd function as a view could neither
    be changed in place nor have a forward derivative. Called where no gradient is recorded."""
    if torch.compiler.is_compiling() or not result._is_view() or type(result) is not Tensor:
        return result
    return torch.empty(0, dtype=result.dtype, device=result.device).set_(result)  # type: ignore[call-overload]
