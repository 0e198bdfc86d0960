"""What is trained: the players, their steps, and the state that a checkpoint holds."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch
from torch import nn

from upsample_lab.runs import checkpoint
from upsample_lab.tasks import Task
from upsample_lab.training.failure import Sums, TrainingFailed
from upsample_lab.training.optimizer import Optimizer
from upsample_lab.training.parallel import World
from upsample_lab.training.schedule import Schedule


class HasWorld(Protocol):
    world: World


Owner = TypeVar("Owner", bound=HasWorld)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def on_writer(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Of several processes let the first one alone do the method; its result, or its error, is everyone's."""

    def shared(self: Owner, *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        return self.world.on_writer(lambda: method(self, *arguments, **options))

    return shared


@dataclass
class Progress:
    """What a resumed training must know beside its tensors."""

    step: int = 0  # finished steps
    best_step: int = 0
    best_value: float | None = None  # of the task's best metric, on the validation set
    seconds: float = 0.0  # of all sittings together

    @classmethod
    def of(cls, state: dict[str, Any], steps: int) -> Progress:
        """From a checkpoint of a training of so many steps. Raises `TypeError` where it cannot be from one."""
        if "best_psnr_db" in state:  # of runs that were interrupted before 2026-11-26
            state = {**state, "best_value": state["best_psnr_db"]}
            del state["best_psnr_db"]
        progress = cls(**state)
        counts = all(type(count) is int and 0 <= count <= steps for count in (progress.step, progress.best_step))
        numbers = all(type(number) in (int, float) for number in (progress.best_value, progress.seconds))
        if not counts or not numbers:
            raise TypeError(f"its progress is {state}, of {steps} steps")
        return progress


@dataclass
class Player:
    """One of the models that a training trains, and what updates it."""

    name: str
    model: nn.Module
    optimizer: Optimizer


class Compiled:
    """A model as training steps call it: `raw` compiled, all else the model's own."""

    def __init__(self, model: nn.Module) -> None:
        self.raw = torch.compile(model.raw)  # type: ignore[arg-type]  # of a module any attribute may be a tensor
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Training:
    """The players of a task and their state.

    Args:
        task: what they are trained for.
        players: in the order of their turns in a step; the first one is judged.
        schedule: what happens at which step.
        seed: decides what a step draws.
        world: the processes that train together.
        max_norm: to which each player's gradient is clipped; None for no clipping.
        compiled: whether steps use compiled models.
    """

    def __init__(
        self, task: Task, players: Sequence[Player], schedule: Schedule, *, seed: int, world: World,
        max_norm: float | None = None, compiled: bool = False,
    ) -> None:  # fmt: skip
        self.task, self.players, self.schedule = task, players, schedule
        self.seed, self.world, self.max_norm = seed, world, max_norm
        self.models: Mapping[str, nn.Module] = {player.name: player.model for player in players}
        self.compiled: dict[str, Any] = {player.name: Compiled(player.model) for player in players} if compiled else {}
        self.sums = Sums(task.setting.where.device, list(self.models))
        self.progress = Progress()

    @property
    def model(self) -> nn.Module:
        """The player that is judged."""
        return self.players[0].model

    def step(self) -> float:
        """One step of gradient descent for each player in turn; returns the learning rate."""
        step = self.progress.step
        rate = self.schedule.rate(step)
        torch.manual_seed(step_seed(self.seed, step))
        batch = self.task.batch(step)
        reported, norms = [], []
        for player in self.players:
            losses = self.task.losses(self.compiled or self.models, batch, player.name)
            total = self.task.setting.objective.total(losses)
            player.optimizer.zero_grad()
            total.backward()
            reported.append(self.world.average(player.optimizer.parameters, next(iter(losses.values()))))
            norms.append(player.optimizer.clip_gradients(self.max_norm))
            player.optimizer.step(rate)
        self.sums.add(step, reported, norms)
        return rate

    # ---- The state as a checkpoint holds it --------------------------------------------------------------------------

    def restore(self, folder: Path) -> list[str] | None:
        """Take the last good checkpoint's state; returns warnings of damaged ones, or None where there is none."""
        saved = self._load_last(folder)
        if saved is None:
            return None
        tensors, state, warnings = saved
        try:
            for player, own in zip(self.players, self._own(tensors), strict=True):
                checkpoint.restore_model(player.model, own)
                player.optimizer.restore(own)
            self.sums.values.copy_(tensors["sums"])
            self.progress = Progress.of(state, self.schedule.steps)
        except (KeyError, TypeError, RuntimeError) as error:
            raise checkpoint.misfit(folder, error) from None
        return warnings

    @on_writer
    def _load_last(self, folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], list[str]] | None:
        return checkpoint.load_last(folder)

    def save(self, folder: Path) -> None:
        """Write a checkpoint, unless its numbers are bad: then the one before it stays the last good one."""
        tensors: dict[str, torch.Tensor] = {}
        for number, player in enumerate(self.players):
            own = {**checkpoint.model_tensors(player.model), **player.optimizer.tensors()}
            if not checkpoint.all_finite(own):
                raise TrainingFailed(f"the weights are not finite after step {self.progress.step}")
            tensors |= {f"{self._prefix(number)}{name}": tensor for name, tensor in own.items()}
        tensors["sums"] = self.sums.values
        checkpoint.save_last(folder, tensors, dataclasses.asdict(self.progress))

    def _own(self, tensors: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        """Each player's tensors of a checkpoint, by the names that they have for a player alone."""
        prefixes = [self._prefix(number) for number in range(len(self.players))]
        return [
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for prefix in prefixes
        ]

    def _prefix(self, number: int) -> str:
        return "" if number == 0 else f"player.{self.players[number].name}."


def step_seed(seed: int, step: int) -> int:
    """The seed of whatever a step draws, so that a resumed run draws the same."""
    key = hashlib.sha256(f"step {seed} {step}".encode()).digest()
    return int.from_bytes(key[:8], "big") >> 1
