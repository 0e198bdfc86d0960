"""Numbers that stop being finite: noticed without waiting for the device, and explained afterwards.

While all is well nothing is watched, so that a step costs nothing more and waits for nothing. When a sum tells that a
step failed, that step is repeated from the last good checkpoint, every module watched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

REPEAT_SEC = 120.0  # a failed run may take so long to be explained: four times the default time between checkpoints
REMEDY = "try a smaller optim.lr, or optim.clip_grad_norm=1"


class TrainingFailed(Exception):
    """The training cannot go on: its numbers are no longer finite. The message is one line."""


class NotFinite(TrainingFailed):
    """Loss or gradient of `step`, counted from 0, is NaN or infinite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"loss or gradient is not finite at step {step + 1}")
        self.step = step

    def __reduce__(self) -> tuple[type[NotFinite], tuple[int]]:
        return NotFinite, (self.step,)  # as it travels from one process of a run to the others


class Sums:
    """Figures of the steps since the last report, kept on the device so that no step waits for their values.

    `values` has for each player the sums of loss and gradient norm, then the number of steps, and the first step whose
    loss or gradient was not finite, or -1.
    """

    def __init__(self, device: torch.device, players: Sequence[str] = ("model",)) -> None:
        self.players = list(players)
        self.values = torch.zeros(2 * len(self.players) + 2, dtype=torch.float64, device=device)
        self.reset()

    def reset(self) -> None:
        self.values.copy_(torch.tensor([0.0] * (len(self.values) - 1) + [-1.0]))

    def add(self, step: int, losses: Sequence[Tensor], grad_norms: Sequence[Tensor]) -> None:
        """Of one step, a loss and a gradient norm for each player."""
        pairs = zip(losses, grad_norms, strict=True)
        figures = torch.stack([figure for loss, norm in pairs for figure in (loss.detach(), norm)]).double()
        self.values[:-2] += figures
        self.values[-2] += 1
        is_first = ~figures.isfinite().all() & (self.values[-1] < 0)
        self.values[-1] = torch.where(is_first, float(step), self.values[-1])

    def check(self) -> None:
        """Wait for the device; raises `NotFinite` for a step that was added since the last reset."""
        bad_step = int(self.values[-1].item())
        if bad_step >= 0:
            raise NotFinite(bad_step)

    def take(self) -> dict[str, float]:
        """Means since the last call; waits for the device. Raises `NotFinite`.

        The first player's are `train/loss` and `optim/grad_norm`, those of another `train/<name>_loss` and so on.
        """
        self.check()
        *sums, steps, _ = self.values.tolist()
        self.reset()
        means = {}
        for number, player in enumerate(self.players):
            own = "" if number == 0 else f"{player}_"
            means[f"train/{own}loss"] = sums[2 * number] / steps
            means[f"optim/{own}grad_norm"] = sums[2 * number + 1] / steps
        return means


# ----------------------------------------------------------------------------------------------------------------------
# Where it went wrong


class Repeatable(Protocol):
    """A training whose steps can be made again from its last checkpoint."""

    players: Any
    progress: Any
    compiled: dict[str, Any]

    def restore(self, folder: Path) -> list[str] | None: ...

    def step(self) -> float: ...


@contextmanager
def explained(training: Repeatable, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let a `TrainingFailed` from inside say the first module that went wrong, and which checkpoint is good.

    `folder` has the checkpoints; `say` is told what is going on.
    """
    try:
        yield
    except NotFinite as error:
        where = first_not_finite(training, folder, error.step, say)
        raise TrainingFailed(f"{error}: {where}; {_last_good(training, folder)}; {REMEDY}") from None
    except TrainingFailed as error:
        raise TrainingFailed(f"{error}; {_last_good(training, folder)}; {REMEDY}") from None


def _last_good(training: Repeatable, folder: Path) -> str:
    training.restore(folder)
    return f"the last good checkpoint is that of step {training.progress.step}"


def first_not_finite(training: Repeatable, folder: Path, bad_step: int, say: Callable[[str], None]) -> str:
    """What went wrong first in step `bad_step` (from 0), in words. Leaves the training in the state of that step."""
    training.restore(folder)
    training.compiled = {}  # which calls no hooks
    steps_back, deadline = bad_step - training.progress.step, time.monotonic() + REPEAT_SEC
    say(f"step {bad_step + 1} failed; repeating it from {steps_back} steps before, to see where")
    while training.progress.step < bad_step:
        training.step()
        training.progress.step += 1
        if time.monotonic() > deadline:
            return f"where was not looked for, since the last checkpoint is {steps_back} steps back"
    watch = ModuleWatch({player.name: player.model for player in training.players})
    with watch:
        training.step()
    return watch.finding()


class ModuleWatch:
    """Looks at the output of every module of the players, inside `with`."""

    def __init__(self, players: Mapping[str, nn.Module]) -> None:
        self.players = players
        self.first: str | None = None
        self.largest_output = 0.0
        self._handles: list[Any] = []

    def __enter__(self) -> ModuleWatch:
        for name, module in self._named("named_modules"):
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _named(self, kind: str) -> Iterator[tuple[str, Any]]:
        """`named_modules` or `named_parameters` of all players; of several with the player's name before them."""
        for player, model in self.players.items():
            prefix = f"{player}." if len(self.players) > 1 else ""
            for name, each in getattr(model, kind)():
                yield f"{prefix}{name}", each

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
            for name, parameter in self._named("named_parameters")
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
