"""The optimizer of a configuration, and the norm of its gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from upsample_lab.config import AdamOptions, OptimOptions, SgdOptions


def make_optimizer(optim: OptimOptions, model: nn.Module) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD, in the fused form: one pass over all weights, a few times faster than one a tensor."""
    parameters = list(model.parameters())
    if isinstance(optim, SgdOptions):
        return torch.optim.SGD(
            parameters,
            lr=optim.lr,
            momentum=optim.momentum,
            nesterov=optim.nesterov and optim.momentum > 0,
            weight_decay=optim.weight_decay,
            fused=True,
        )
    assert isinstance(optim, AdamOptions)
    kind = torch.optim.AdamW if optim.name == "adamw" else torch.optim.Adam
    betas = (optim.beta1, optim.beta2)
    return kind(parameters, lr=optim.lr, betas=betas, weight_decay=optim.weight_decay, fused=True)


def clip_gradients(model: nn.Module, max_norm: float | None) -> Tensor:
    """The norm of all gradients together, before they are scaled down to `max_norm` (None leaves them alone)."""
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if max_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm
