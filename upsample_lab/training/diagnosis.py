"""Where numbers stopped being finite: the failed step is repeated from the last good checkpoint, every module watched.

While all is well nothing is watched, so that a step costs nothing more and waits for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from upsample_lab.training.sums import NotFinite, TrainingFailed

if TYPE_CHECKING:
    from upsample_lab.training.loop import Training

REPEAT_SEC = 120.0  # a failed run may take so long to be explained: four times the default time between checkpoints
REMEDY = "try a smaller optim.lr, or optim.clip_grad_norm=1"


@contextmanager
def explained(training: Training) -> Iterator[None]:
    """Let a `TrainingFailed` from inside say the first module that went wrong, and which checkpoint is good."""
    try:
        yield
    except NotFinite as error:
        where = first_not_finite(training, error.step)
        raise TrainingFailed(f"{error}: {where}; {_last_good(training)}; {REMEDY}") from None
    except TrainingFailed as error:
        raise TrainingFailed(f"{error}; {_last_good(training)}; {REMEDY}") from None


def _last_good(training: Training) -> str:
    training.restore()
    return f"the last good checkpoint is that of step {training.progress.step}"


def first_not_finite(training: Training, bad_step: int) -> str:
    """What went wrong first in step `bad_step` (from 0), in words. Leaves the training in the state of that step."""
    training.restore()
    training.raw = training.model.raw  # not the compiled form, which calls no hooks
    steps_back, deadline = bad_step - training.progress.step, time.monotonic() + REPEAT_SEC
    training.display.say(f"step {bad_step + 1} failed; repeating it from {steps_back} steps before, to see where")
    while training.progress.step < bad_step:
        training.step()
        training.progress.step += 1
        if time.monotonic() > deadline:
            return f"where was not looked for, since the last checkpoint is {steps_back} steps back"
    watch = Watch(training.model)
    with watch:
        training.step()
    return watch.finding()


class Watch:
    """Looks at the output of every module of a model, inside `with`."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.first: str | None = None
        self.largest_output = 0.0
        self._handles: list[Any] = []

    def __enter__(self) -> Watch:
        for name, module in self.model.named_modules():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Any:
        def look(module: nn.Module, _: Any, output: Any) -> None:
            for tensor in output if isinstance(output, tuple) else (output,):
                if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel():
                    self._note(name, module, tensor.detach())

        return look

    def _note(self, name: str, module: nn.Module, output: Tensor) -> None:
        if self.first is None and not output.isfinite().all():
            self.first = _described(name, module)  # now, since the update that follows breaks its weights too
        self.largest_output = max(self.largest_output, output.abs().max().item())

    def finding(self) -> str:
        """The first module with a non-finite output; else what can be said of the gradients."""
        if self.first is not None:
            return f"the first module with a non-finite output is {self.first}"
        outputs = f"no module's output exceeds {self.largest_output:.3g}"
        bad = [
            name
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None and not parameter.grad.isfinite().all()
        ]
        if bad:
            return f"{outputs}, but the gradient of {bad[-1]}, the nearest to the output, is not finite"
        return f"{outputs} when the step is repeated, and its gradients are finite"


def _described(name: str, module: nn.Module) -> str:
    weights = f", whose largest weight is {_largest(module):.3g}" if list(module.parameters()) else ""
    return f"{name} ({type(module).__name__}){weights}"


@torch.no_grad()
def _largest(module: nn.Module) -> float:
    return max(parameter.abs().max().item() for parameter in module.parameters())
