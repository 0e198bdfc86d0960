"""A convolution as an ordinary module: whether anything observes or alters it, and the weight that it applies.

A layer that computes its convolution in another order reads the weight and passes the call by. It may do so only where
nobody can tell: a hook would not run, a pruned or normalised weight would be that of the last call, a padding mode or a
module put in the convolution's place would count for nothing.
"""

from __future__ import annotations

from typing import TypeGuard, TypeVar, cast

from torch import Tensor, nn
from torch.nn.modules import module as of_all_modules
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .modules import ConvTranspose2d

Kind = TypeVar("Kind", bound=nn.Module)


def is_ordinary(module: nn.Module, kind: type[Kind]) -> TypeGuard[Kind]:
    """Whether calling the module is no more than `kind.forward` with its own weight and bias.

    False where it is of another class (a wrapper, a parametrization, a module of the user's own), has a hook of any
    sort, also one for all modules, has a forward of its own or a compiled one, or holds a weight that is no parameter.
    """
    return (
        type(module) is kind
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and not (of_all_modules._global_forward_hooks or of_all_modules._global_forward_pre_hooks)
        and not (of_all_modules._global_backward_hooks or of_all_modules._global_backward_pre_hooks)
        and not ("forward" in module.__dict__ or "_conv_forward" in module.__dict__)
        and module._compiled_call_impl is None
        and type(module._parameters.get("weight")) in (nn.Parameter, Tensor)  # a plain one within functional_call
    )


def keeps_size(conv: nn.Conv2d, weight: Tensor) -> bool:
    """Whether a convolution is still what a resize layer builds: stride 1, one group, k//2 zeros around the image."""
    k = conv.kernel_size[0]
    return (
        conv.padding_mode == "zeros"
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding == (k // 2, k // 2)
        and conv.groups == 1
        and weight.shape[1:] == (conv.in_channels, k, k)
    )


def applied_weight(module: nn.Module) -> Tensor:
    """The weight that the module's next call multiplies with, differentiable; the module stays as it is.

    - A hook that makes the weight anew before each call (`prune`, the older `weight_norm` and `spectral_norm`) is asked
      for it: the attribute is that of the last call, or of the last step.
    - A parametrization is asked in evaluation mode, in which `spectral_norm` does not iterate once more.
    - Where another kernel than the parameter is applied, `ConvTranspose2d.effective_weight` says so.
    """
    weight: Tensor | None = None
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == "weight":
            weight = hook.apply_mask(module)
        elif isinstance(hook, WeightNorm) and hook.name == "weight":
            weight = hook.compute_weight(module)
        elif isinstance(hook, SpectralNorm) and hook.name == "weight":
            weight = hook.compute_weight(module, do_power_iteration=False)
    if weight is None:
        weight = _parametrized(module) if parametrize.is_parametrized(module, "weight") else cast(Tensor, module.weight)
    return module.effective_weight(weight) if isinstance(module, ConvTranspose2d) else weight


def _parametrized(module: nn.Module) -> Tensor:
    parametrizations = cast(nn.ModuleDict, module.parametrizations)["weight"]
    were_training = {part: part.training for part in parametrizations.modules()}
    try:
        parametrizations.eval()
        return cast(Tensor, module.weight)
    finally:
        for part, training in were_training.items():
            part.training = training
