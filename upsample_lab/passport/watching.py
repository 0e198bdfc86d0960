"""The base of what watches the operations that PyTorch dispatches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Watch(TorchDispatchMode):
    """A dispatch mode that does not load the compiler.

    PyTorch wraps a mode's `__torch_dispatch__` so that it is never compiled, and for that imports `torch._dynamo` at
    its first operation: some four seconds, in which a whole passport is measured. Nothing is compiled here.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def hookable_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a module, itself included, that take hooks, with their paths: all but what TorchScript compiled."""
    for name, part in module.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            yield name, part


def strided_tensors(tree: Any) -> list[Tensor]:
    """The tensors in a nest of lists, tuples and dicts that have memory of the usual kind."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]
