"""What a task is: what goes in, what is wanted, what is made small, how it is judged. A task is a file beside this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from upsample_lab.catalogue import Metric
from upsample_lab.data import ImageSets
from upsample_lab.device import Where
from upsample_lab.objectives import Objective

Models = Mapping[str, nn.Module]
"""The players by name. The first one is what the task is about: its best weights are kept and judged."""
BuildModel = Callable[[tuple[int, int, int]], nn.Module]
"""`build((C, H, W))`: the model of the configuration, for images of this shape."""


class Batch(NamedTuple):
    """What goes in and what is wanted, on the device."""

    input: Tensor
    target: Tensor


@dataclass(frozen=True)
class Setting:
    """What a task works with: images, device, batches, precision, and how its losses are weighed."""

    images: ImageSets
    where: Where
    objective: Objective
    seed: int
    batch_size: int
    period: int  # of the model's phases in pixels, which artifacts are looked for at
    part: tuple[int, int] = (0, 1)  # (k, K): this process takes part k of each batch cut into K
    bf16: bool = False
    shown_count: int = 8  # samples in a picture

    def autocast(self) -> torch.autocast:
        """The precision of a training's forward pass; losses are outside."""
        return torch.autocast(self.where.device.type, torch.bfloat16, enabled=self.bf16)


class NotFiniteOutput(ValueError):
    """There is nothing to judge: a model's outputs are NaN or infinite."""

    def __init__(self) -> None:
        super().__init__("the model's outputs are not finite; try a smaller optim.lr")


@dataclass
class Findings:
    """What evaluators found: figures by their key, pictures by name (uint8 `[H, W, 3]`), tensors that are kept."""

    figures: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)


Evaluator = Callable[["Task", Models, str, bool], Findings]
"""`evaluate(task, models, split, draw)`: findings on the split `val` or `test`, with pictures if `draw`."""


class Task(ABC):
    """The base of all tasks.

    A task is made once for a training, with its options from `task.…` as keyword arguments. Its class says what
    `catalogue.facts_of` reads: `best` chooses the best checkpoint (`val/<best>`), `metrics` describes the figures that
    the catalogue does not know, each to be reported as `val/<key>` and `test/<key>`.
    """

    name: str
    best: ClassVar[str]
    metrics: ClassVar[Sequence[Metric]] = ()
    evaluators: ClassVar[Sequence[Evaluator]]
    saved_picture: ClassVar[str] = "reconstructions"
    """Which of the pictures is also kept as a PNG of each validation, in the run's folder `reconstructions`."""
    steps_per_epoch: int
    batch_size: int  # samples that one step sees, all processes together

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def models(self, build: BuildModel) -> Models:
        """The players, on the CPU; by default one, the configuration's model for the shape of the images."""
        return {"model": build(self.setting.images.image_shape)}

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of a step: a function of (seed, step) alone, so that a resumed run sees the same."""

    @abstractmethod
    def losses(self, models: Models, batch: Batch, player: str) -> dict[str, Tensor]:
        """The named losses of one player, scalars. The first one is reported; the objective weighs them all."""

    def evaluate(self, models: Models, split: str, *, draw: bool = False) -> Findings:
        """All that the evaluators find on `val` or `test`."""
        found = Findings()
        for evaluator in self.evaluators:
            own = evaluator(self, models, split, draw)
            found.figures |= own.figures
            found.pictures |= own.pictures
            found.kept |= own.kept
        return found

    def costs(self, models: Models) -> dict[str, Any]:
        """What `summary.json` says of the cost beside the parameters of the first player."""
        return {}
