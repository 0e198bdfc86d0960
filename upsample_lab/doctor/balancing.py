"""Balance: the nearest kernels with which a flat area stays flat, put into anybody's model without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from upsample_lab.conv import applied_weight
from upsample_lab.conv.checks import as_pair
from upsample_lab.conv.geometry import Pair
from upsample_lab.doctor.calls import Inputs, run_watched
from upsample_lab.doctor.kernels import balanced, balanced_shuffle
from upsample_lab.doctor.surgery import Change, copied, described, operated, picked
from upsample_lab.doctor.watcher import SiteCall
from upsample_lab.settings import ConfigError
from upsample_lab.upsamplers import Upsampler
from upsample_lab.upsamplers.pixel_shuffle import PixelShuffle


class Balanced(nn.Module):
    """A parametrization of a transposed convolution's weight: what is applied is the nearest balanced kernel."""

    def __init__(self, stride: Pair, dilation: Pair = (1, 1)) -> None:
        super().__init__()
        self.stride, self.dilation = stride, dilation

    def forward(self, weight: Tensor) -> Tensor:
        return balanced(weight, self.stride, self.dilation)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


class BalancedShuffle(nn.Module):
    """The same for the weight of a convolution before a pixel shuffle."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return balanced_shuffle(weight, None, self.scale)[0]

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


class EvenBias(nn.Module):
    """And for its bias: one number for the phases of a channel."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, bias: Tensor) -> Tensor:
        return bias.unflatten(0, (-1, self.scale**2)).mean(1).repeat_interleave(self.scale**2)

    def right_inverse(self, bias: Tensor) -> Tensor:
        return bias


@dataclass(frozen=True)
class Balanceable:
    """A kernel that decides the phases of a site: which module holds it, under which names, and its balanced form."""

    owner: nn.Module
    weight: str
    bias: str
    form: Balanced | BalancedShuffle


def balance(
    model: nn.Module, paths: Sequence[str] | None = None, *, parametrize: bool = False, inputs: Inputs | None = None
) -> nn.Module:
    """A copy of the model whose transposed convolutions, and convolutions before pixel shuffles, leave flat areas flat.

    Each kernel becomes the nearest one whose phases have the same sum (`doctor.kernels`): closed form, no training. It
    removes what the kernels add to a constant, exactly; not what other layers or the texture of the input make.
    `changes(model)` tells how much each kernel changed, and with `inputs` how much the output did.

    Args:
        model: any module. It is left as it was; modules that are shared stay shared.
        paths: sites to balance, as `find_sites` names them; None for all of them.
        parametrize: keep them balanced through training, as a parametrization of the weight (its names in the
            state_dict become `parametrizations.weight.original`; `torch.nn.utils.parametrize.remove_parametrizations`
            bakes it in). Otherwise only the numbers change, and no name.
        inputs: what the model is called with: a tensor, a tuple of arguments, a dict of keyword arguments. They are
            needed to find functions that a forward calls, and shuffles that do not follow their convolution in an
            `nn.Sequential`.

    Raises ConfigError, a ValueError, in one line: no such site, an unknown path, a kernel smaller than its stride, or
    weights that a hook makes anew before each call.
    """
    cured = copied(model, "balance")
    found = balanceable(cured, inputs)
    if not found:
        hint = "" if inputs is not None else "; give inputs= to find what a forward calls itself"
        raise ConfigError(f"balance: no transposed convolution that enlarges and no pixel shuffle in the model{hint}")
    chosen = found if paths is None else picked("balance", found, [paths] if isinstance(paths, str) else paths)
    each = [_balance(path, kernel, parametrize) for path, kernel in chosen.items()]
    return operated(model, cured, each, inputs)


def balanceable(model: nn.Module, inputs: Inputs | None = None) -> dict[str, Balanceable]:
    """The kernels of a model that can be balanced, by the path of their site; those that are shared once."""
    found = _by_type(model) if inputs is None else _by_call(model, inputs)
    seen: set[tuple[int, str]] = set()
    once = {}
    for path, kernel in found.items():
        key = (id(kernel.owner), kernel.weight)
        if key not in seen:
            once[path] = kernel
        seen.add(key)
    return once


def _by_type(model: nn.Module) -> dict[str, Balanceable]:
    found: dict[str, Balanceable | None] = {}
    inside: set[nn.Module] = set()
    for path, module in model.named_modules():
        if isinstance(module, Upsampler):
            inside.update(module.modules())
            found[path] = _of_layer(getattr(module, "conv", None), module.scale * isinstance(module, PixelShuffle))
        elif module not in inside:
            found.setdefault(path, _of_layer(module))
            if isinstance(module, nn.Sequential):
                for (_, conv), (name, shuffle) in pairwise(module.named_children()):
                    if isinstance(shuffle, nn.PixelShuffle):
                        found[f"{path}.{name}" if path else name] = _of_layer(conv, shuffle.upscale_factor)
    return {path: kernel for path, _ in model.named_modules() if (kernel := found.get(path)) is not None}


def _of_layer(module: nn.Module | None, shuffled: int = 0) -> Balanceable | None:
    if isinstance(module, nn.ConvTranspose2d) and max(module.stride) > 1:
        form = Balanced(as_pair("stride", module.stride), as_pair("dilation", module.dilation))
        return Balanceable(module, "weight", "", form)
    if isinstance(module, nn.Conv2d) and shuffled > 1 and module.out_channels % shuffled**2 == 0:
        return Balanceable(module, "weight", "" if module.bias is None else "bias", BalancedShuffle(shuffled))
    return None


def _by_call(model: nn.Module, inputs: Inputs) -> dict[str, Balanceable]:
    found: dict[str, Balanceable] = {}
    names = {id(parameter): (part, name) for part in model.modules() for name, parameter in part._parameters.items()}

    def visit(call: SiteCall) -> None:
        kernel = call.kernel
        if kernel is None or kernel.weight.dim() != 4 or max(call.scale) <= 1:
            return
        held = names.get(id(kernel.weight))
        if held is None:  # a parametrization made it
            path = call.conv or call.path
            module = None if ":" in path else model.get_submodule(path)
            held = (getattr(module, "conv", module), "weight") if module is not None else None
        if held is None:
            return
        scale = (int(call.scale[0]), int(call.scale[1]))
        dilation = as_pair("dilation", kernel.dilation)
        shuffled = kernel.form == "shuffle"
        biased = names.get(id(kernel.bias), (None, ""))[1] if shuffled and kernel.bias is not None else ""
        form = BalancedShuffle(scale[0]) if shuffled else Balanced(scale, dilation)
        found[call.path] = Balanceable(held[0], held[1], biased, form)

    run_watched(model, inputs, visit)
    return found


def _balance(path: str, kernel: Balanceable, parametrize: bool) -> Change:
    owner, form = kernel.owner, kernel.form
    if kernel.weight not in owner._parameters and not is_parametrized(owner, kernel.weight):
        raise ConfigError(f"balance: {path!r}: a hook makes its weight before each call; remove that first")
    before = _weight(owner, kernel.weight)
    try:
        even = form(before)
    except ValueError as error:
        raise ConfigError(f"balance: {path!r}: {error}") from None
    if parametrize:
        register_parametrization(owner, kernel.weight, form)
        if kernel.bias:
            register_parametrization(owner, kernel.bias, EvenBias(cast(BalancedShuffle, form).scale))
    else:
        _bake(path, owner, kernel.weight, even)
        if kernel.bias:
            _bake(path, owner, kernel.bias, EvenBias(cast(BalancedShuffle, form).scale)(getattr(owner, kernel.bias)))
    norm = before.double().norm()
    moved = float((even.double() - before.double()).norm() / norm) if norm else 0.0
    return Change(path, described(owner), "held balanced" if parametrize else "balanced", weight_change=moved)


@torch.no_grad()
def _weight(owner: nn.Module, name: str) -> Tensor:
    return (applied_weight(owner) if name == "weight" else cast(Tensor, getattr(owner, name))).detach().clone()


@torch.no_grad()
def _bake(path: str, owner: nn.Module, name: str, value: Tensor) -> None:
    if not is_parametrized(owner, name):
        owner._parameters[name].copy_(value)  # type: ignore[union-attr]  # it is there
        return
    try:
        setattr(owner, name, value)  # its parametrizations take it apart
        taken = torch.allclose(_weight(owner, name), value, rtol=1e-4, atol=1e-6)
    except Exception:
        taken = False
    if not taken:
        raise ConfigError(f"balance: {path!r}: its parametrization cannot take the kernel; use parametrize=True")
