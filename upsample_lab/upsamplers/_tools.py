"""What the upsamplers do under the tools of PyTorch (`conv/followed.py`), and for a single image."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from upsample_lab.conv import followed_by_a_tool
from upsample_lab.conv.fast.layout import format_of


def memory_format_of(image: Tensor) -> torch.memory_format:
    """Channels last or contiguous; the latter under a tool, where strides may not be asked for."""
    return torch.contiguous_format if followed_by_a_tool(image) else format_of(image)


Forward = Callable[..., Tensor]


def of_batches(forward: Forward) -> Forward:
    """A forward of batches `(self, input, guide=None)` that takes one image `[C, H, W]`, and its guide, too.

    While torch.fx traces a module that holds the layer, the layer stays one call, as torch's own do.
    """

    @wraps(forward)
    def any_input(self: nn.Module, input: Tensor, guide: Tensor | None = None) -> Tensor:
        if isinstance(input, Proxy):
            return _one_call(self, input, guide)
        if input.dim() != 3:
            return forward(self, input, guide)
        return forward(self, input.unsqueeze(0), None if guide is None else guide.unsqueeze(0)).squeeze(0)

    return any_input


def _one_call(module: nn.Module, input: Proxy, guide: Any) -> Any:
    path = input.tracer.path_of_module(module)  # type: ignore[attr-defined]  # a Tracer has it, the base class not
    if not path:
        raise TypeError(f"torch.fx: a {type(module).__name__} is one call of the module that holds it; trace that one")
    arguments = (input,) if guide is None else (input, guide)
    return input.tracer.create_proxy("call_module", path, arguments, {})
