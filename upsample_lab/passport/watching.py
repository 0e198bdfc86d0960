"""The parts of a foreign module that can be hooked, and the tensors that it hands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def hookable_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a module, itself included, that take hooks, with their paths: all but what TorchScript compiled."""
    for name, part in module.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            yield name, part


def strided_tensors(tree: Any) -> list[Tensor]:
    """The tensors in a nest of lists, tuples and dicts that have memory of the usual kind."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]
