"""Surgery on anybody's model: a copy to work on, the layers that are meant, and what was done, told afterwards."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from upsample_lab.doctor.calls import Inputs, run_watched
from upsample_lab.passport.watching import strided_tensors
from upsample_lab.settings import ConfigError, nearest

Item = TypeVar("Item")
EXACT = 1e-9
"""Share of the energy that rounding to float32 may leave: its square root is 3e-5."""


@dataclass(frozen=True)
class Change:
    """What was done to one layer.

    path            of the layer in the model
    was, now        the layer before and after, in a few words
    weight_change   ‖w' - w‖ / ‖w‖ of a kernel that was balanced
    kept            1 - ‖y' - y‖² / ‖y‖² of the layer's output on the given inputs: the share of its energy that the
                    new layer makes too; None where it starts anew
    parameters      names of the parameters that are new in the model
    gone            names of those that are no longer in it
    """

    path: str
    was: str
    now: str
    weight_change: float | None = None
    kept: float | None = None
    parameters: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.weight_change is not None:
            return f"{self.path}: {self.was}: {self.now}; the kernel changes by {self.weight_change:.1%}"
        told = "starts anew"
        if self.kept is not None:
            exact = self.kept > 1 - EXACT
            told = "the same map" if exact else f"keeps {self.kept:.1%} of the layer's output energy"
        return f"{self.path}: {self.was} -> {self.now}: {told}"


@dataclass(frozen=True)
class Changes:
    """What `swap` or `balance` did to a model. As a string: a line for each layer.

    output_change   ‖y' - y‖ / ‖y‖ of the model's output on the given inputs; None where none were given
    """

    each: tuple[Change, ...]
    output_change: float | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that are new: what a fine-tuning of the swapped layers alone gives its optimizer."""
        return tuple(name for change in self.each for name in change.parameters)

    @property
    def gone(self) -> tuple[str, ...]:
        """Names of the parameters that an optimizer of the old model holds for nothing."""
        return tuple(name for change in self.each for name in change.gone)

    def __str__(self) -> str:
        lines = [str(change) for change in self.each]
        if self.parameters:
            lines.append(f"new parameters: {', '.join(self.parameters)}")
        if self.output_change is not None:
            lines.append(f"the model's output changes by {self.output_change:.1%} on these inputs")
        return "\n".join(lines)


_done: WeakKeyDictionary[nn.Module, Changes] = WeakKeyDictionary()


def changes(model: nn.Module) -> Changes:
    """What was done to a model that `swap` or `balance` gave. Raises ValueError for any other model."""
    if model not in _done:
        raise ValueError(f"changes: this {type(model).__name__} is none that swap or balance gave")
    return _done[model]


def operated(before: nn.Module, after: nn.Module, each: Iterable[Change], inputs: Inputs | None) -> nn.Module:
    """The model after an operation, which `changes` then knows."""
    moved = None if inputs is None else relative_change(outputs(before, inputs), outputs(after, inputs))
    _done[after] = Changes(tuple(each), moved)
    return after


def copied(model: nn.Module, what: str) -> nn.Module:
    """A copy of all of it; modules and parameters that were shared are shared in it too. Raises ConfigError."""
    computed = {  # what hooks of torch.nn.utils leave behind, which torch does not copy
        id(value): value.detach().clone()
        for part in model.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        copied_model = copy.deepcopy(model, computed)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{what}: the model cannot be copied: {reason}") from error
    for part in copied_model.modules():
        if is_parametrized(part):  # torch lets the copy share its class, and what is done to the one to the other
            kind = type(part)
            part.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
    return copied_model


def picked(
    what: str, found: dict[str, Item], paths: Iterable[str], other: dict[str, str] | None = None
) -> dict[str, Item]:
    """The items of these paths, in the order of the model.

    Raises ConfigError, with the nearest match, for a path that is none; `other` has the reasons for some.
    """
    for path in (paths := list(paths)):
        if path not in found:
            reason = (other or {}).get(path)
            known = f"must be one of {', '.join(found) or 'none: nothing here can be changed'}{nearest(path, found)}"
            raise ConfigError(f"{what}: {path!r}: {reason or known}")
    return {path: item for path, item in found.items() if path in paths}


def outputs(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """All tensors of numbers that the model gives, in evaluation mode and without gradients."""
    found = strided_tensors(run_watched(model, inputs, lambda _: None))
    return [tensor for tensor in found if tensor.is_floating_point()]


def relative_change(before: list[Tensor], after: list[Tensor]) -> float:
    """`‖y' - y‖ / ‖y‖`, over all of the tensors."""
    moved = sum(float((b.double() - a.double()).square().sum()) for b, a in zip(before, after, strict=True))
    whole = sum(float(b.double().square().sum()) for b in before)
    return (moved / whole) ** 0.5 if whole else 0.0


def described(layer: Any) -> str:
    """A layer in a few words: `ConvTranspose2d(64, 32, kernel_size=(4, 4), …)`."""
    if isinstance(layer, nn.Sequential):
        return ", ".join(map(described, layer))
    name = type(layer).__name__.removeprefix("Parametrized")
    return f"{name}({layer.extra_repr()})"
