"""Multiply-accumulates of what has no formula: a plugin's layer or model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def counted_macs(module: nn.Module, call: Callable[..., Tensor], *input_shape: int) -> int:
    """Of one call with zeros of that shape, by PyTorch's own counter: products of matrices, and convolutions."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    was_training = module.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()
        call(torch.zeros(input_shape, device=device))
    module.train(was_training)
    return int(counter.get_total_flops()) // 2  # it counts a multiplication and an addition as two
