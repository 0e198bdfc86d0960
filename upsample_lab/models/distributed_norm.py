"""Batch norm whose statistics are those of the global batch, where each process holds a part of it.

`torch.nn.SyncBatchNorm` does this on CUDA only. Here it takes two exchanges of a few numbers a channel, on any device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv.fast.layout import format_of

Gather = Callable[[Tensor], Tensor]
"""`gather(x)`: the tensors of all processes, `[*] -> [K, *]`, in the same order everywhere."""


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over the batches of all processes together; parameters, buffers and names are the same.

    All processes must hold equally many values a channel. In evaluation nothing is exchanged.
    """

    def __init__(self, like: nn.BatchNorm2d, gather: Gather) -> None:
        super().__init__(like.num_features)
        self.__dict__.update(like.__dict__)  # parameters and buffers themselves, the mode, hooks
        self.gather = gather

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        output, mean, var, count = _Normalise.apply(input, self.weight, self.bias, self.eps, self.gather)
        self._track(mean, var, count)
        result: Tensor = output
        return result

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """As PyTorch does: the running variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var), momentum)


class _Normalise(torch.autograd.Function):
    """1. mean and variance of each process's part  2. gathered and combined  3. y = (x - mean) / σ · w + b.

    Backward, with x̂ = (x - mean) / σ and means over the global batch:
    dx = w / σ · (dy - mean(dy) - x̂ · mean(dy · x̂)). The gradients of w and b stay those of this process's part, as all
    other gradients are before they are averaged. All by the kernels behind `nn.BatchNorm2d`.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float, gather: Gather
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        wide = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input  # for exact statistics
        own_mean, own_var = torch.batch_norm_update_stats(wide, None, None, 0.0)
        means, variances = gather(torch.stack([own_mean, own_var])).unbind(1)
        mean = means.mean(0)
        # Of equal parts: the mean of their variances and the variance of their means (Chan et al. 1983, equation 2.1).
        var = (variances + (means - mean).square()).mean(0)
        count = len(means) * input.numel() // input.shape[1]
        ctx.save_for_backward(input, weight, mean, var)
        ctx.eps, ctx.gather = eps, gather
        ctx.mark_non_differentiable(mean, var)
        return F.batch_norm(input, mean, var, weight, bias, training=False, eps=eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        input, weight, mean, var = ctx.saved_tensors
        grad = grad.contiguous(memory_format=format_of(input))
        _, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, input, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
        )
        sums = ctx.gather(torch.stack([grad_weight, grad_bias]))
        grad_normalised, grad_mean = (sums.sum(0) / (len(sums) * input.numel() // input.shape[1])).unbind(0)
        gain = weight * torch.rsqrt(var + ctx.eps)
        common = F.batch_norm(input, mean, var, -gain * grad_normalised, -gain * grad_mean, training=False, eps=ctx.eps)
        grad_input = torch.addcmul(common, grad, gain.to(grad.dtype).view(1, -1, 1, 1))
        return grad_input, grad_weight, grad_bias, None, None


def share_statistics(model: nn.Module, gather: Gather) -> None:
    """Give every batch norm of `model` the statistics of the global batch, in place; `state_dict` stays as it is.

    Raises TypeError for any other module that keeps running statistics: it would silently use those of its own part.
    """
    for name, module in model.named_children():
        if type(module) is nn.BatchNorm2d:  # a subclass has a forward of its own, or parametrized weights
            if not module.affine:
                raise TypeError(f"{name}: batch norm without weights has no global form here")
            setattr(model, name, GlobalBatchNorm2d(module, gather))
        elif "running_mean" in module._buffers:
            raise TypeError(f"{name}: {type(module).__name__} keeps statistics that cannot be shared")
        else:
            share_statistics(module, gather)
