"""Adam, AdamW and SGD: PyTorch's own update functions around a state that is nothing but named lists of tensors.

`torch.optim.Adam` and its like import the whole of torch.compile when they are made (4 s of a start that takes 8 here),
and the functions below are what they call. A test holds both to the same bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from upsample_lab.options.optim import AdamOptions, OptimOptions, SgdOptions

ADAM_EPS = 1e-8  # Kingma & Ba 2015, algorithm 1


class Optimizer(ABC):
    """Updates a model's parameters in place, in the fused form: one pass over all weights instead of one a tensor.

    `state` maps a name to one tensor for each parameter, in the memory layout of the parameter. The layout matters: the
    fused functions on the CPU walk through parameter and state in the order of storage, so a contiguous moment beside a
    channels_last weight would silently be applied to other elements.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())
        self.state: dict[str, list[Tensor]] = {}

    def add_state(self, name: str, *, scalar: bool = False) -> None:
        shapes = (torch.zeros((), device=each.device) if scalar else torch.zeros_like(each) for each in self.parameters)
        self.state[name] = list(shapes)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with the gradients at hand; parameters without one are left alone."""
        chosen = [number for number, parameter in enumerate(self.parameters) if parameter.grad is not None]
        parameters = [self.parameters[number] for number in chosen]
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        state = {name: [values[number] for number in chosen] for name, values in self.state.items()}
        self.update([parameter.detach() for parameter in parameters], grads, state, rate)

    @abstractmethod
    def update(
        self, parameters: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], rate: float
    ) -> None:
        """Change `parameters` and `state` in place."""

    def clip_gradients(self, max_norm: float | None) -> Tensor:
        """The norm of all gradients together, before they are scaled down to `max_norm` (None leaves them alone)."""
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        if max_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, max_norm, norm)
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """The state for a checkpoint, as `optimizer.<name>.<parameter number>`."""
        return {
            f"optimizer.{name}.{number}": tensor
            for name, tensors in self.state.items()
            for number, tensor in enumerate(tensors)
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy a checkpoint's state in. Raises KeyError where it is that of another optimizer."""
        for name, own in self.state.items():
            for number, tensor in enumerate(own):
                tensor.copy_(tensors[f"optimizer.{name}.{number}"])


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), or AdamW (Loshchilov & Hutter 2019, algorithm 2) with decoupled decay."""

    def __init__(self, model: nn.Module, optim: AdamOptions) -> None:
        super().__init__(model)
        self.optim = optim
        self.add_state("exp_avg")
        self.add_state("exp_avg_sq")
        self.add_state("step", scalar=True)

    def update(
        self, parameters: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], rate: float
    ) -> None:
        adam(
            parameters,
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            [],
            state["step"],
            fused=True,
            decoupled_weight_decay=self.optim.name == "adamw",
            amsgrad=False,
            beta1=self.optim.beta1,
            beta2=self.optim.beta2,
            lr=rate,
            weight_decay=self.optim.weight_decay,
            eps=ADAM_EPS,
            maximize=False,
        )


class Sgd(Optimizer):
    """Stochastic gradient descent with (Nesterov's) momentum (Sutskever et al. 2013, equations 1 to 4)."""

    def __init__(self, model: nn.Module, optim: SgdOptions) -> None:
        super().__init__(model)
        self.optim = optim
        if optim.momentum > 0:
            self.add_state("momentum")

    def update(
        self, parameters: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], rate: float
    ) -> None:
        buffers: list[Tensor | None] = [*state.get("momentum", [None] * len(parameters))]
        sgd(
            parameters,
            grads,
            buffers,
            fused=True,
            weight_decay=self.optim.weight_decay,
            momentum=self.optim.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self.optim.nesterov and self.optim.momentum > 0,
            maximize=False,
        )


def make_optimizer(optim: OptimOptions, model: nn.Module) -> Optimizer:
    """The optimizer of a configuration, for a model that is on its device and in its memory format already."""
    if isinstance(optim, SgdOptions):
        return Sgd(model, optim)
    assert isinstance(optim, AdamOptions)
    return Adam(model, optim)
