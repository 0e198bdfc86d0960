"""What each option of a training brings: the default training step beside the same with one setting changed.

All of them train the default model, the upsampler given, with the same batch, and take turns. `times as fast` is the
median over the rounds of the default's time over theirs: above 1 the option is worth having. The rows of the optimizer
time its update alone, since they are forms of one computation and no setting chooses between them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch.optim.adam import adam

from upsample_lab.benchmark.table import Table
from upsample_lab.benchmark.timing import interleaved_ms, machine
from upsample_lab.benchmark.train import IMAGE_COUNT
from upsample_lab.benchmark.trainings import advance, make_config, make_training, random_images
from upsample_lab.device import reproducibly
from upsample_lab.models import build_model
from upsample_lab.settings import option_values
from upsample_lab.training.state import Training

DEFAULT = "conv=native"
CHANGES = (
    "conv=custom",
    "trainer.memory_format=contiguous",
    "upsample.fold=never",
    "trainer.precision=bf16",
    "trainer.compile=true",
    "trainer.deterministic=true",
    "trainer.loss_spectrum=0.1",
    "trainer.regularize=phase",
)
SLOW_TO_START = "trainer.compile=true"
OPTIMIZER_FORMS = {
    "fused": "all weights in one pass",
    "foreach": "an operation for all tensors",
    "single": "an operation for each tensor",
}
UPDATES = 50  # a turn: one is too short to time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--upsample", default="nearest", help="upsampler (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=12, help="turns of each (default: %(default)s)")
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), help="settings to try, one at a time")
    parser.add_argument("--quick", action="store_true", help="small and once, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Time the default and every change in turns, then the forms of the optimizer."""
    batch, repeats = (8, 1) if arguments.quick else (arguments.batch, arguments.repeats)
    changes = [each for each in arguments.changes if not (arguments.quick and each == SLOW_TO_START)]
    if "fold" not in option_values("upsample", arguments.upsample):
        changes = [each for each in changes if not each.startswith("upsample.fold=")]
    rows = _steps(arguments.upsample, changes, batch, repeats) + _updates(repeats)
    title = f"Options, one at a time, upsample={arguments.upsample}, {DEFAULT}, batch {batch}, {repeats} turns"
    return Table(title, machine(), rows, [])


def _steps(upsample: str, changes: list[str], batch: int, repeats: int) -> list[dict[str, str | float]]:
    images = random_images(IMAGE_COUNT)
    common = [f"upsample={upsample}", DEFAULT, f"trainer.batch_size={batch}", "trainer.device=cpu"]
    calls: dict[str, Callable[[], object]] = {}
    first_sec = {}
    for name in ("default", *changes):
        words = common if name == "default" else [*common, name]
        started = time.perf_counter()
        calls[name] = partial(_step, make_training(words, images))
        calls[name]()
        first_sec[name] = time.perf_counter() - started
    times = interleaved_ms(calls, repeats)
    return [
        {
            "option": name,
            "ms": statistics.median(own),
            "times as fast": statistics.median(base / each for base, each in zip(times["default"], own, strict=True)),
            "first step, s": first_sec[name],
        }
        for name, own in times.items()
    ]


def _step(training: Training) -> None:
    with reproducibly(training.schedule.trainer.deterministic):
        advance(training, 1)


def _updates(repeats: int) -> list[dict[str, str | float]]:
    config = make_config([])
    model = build_model(config.model, config.upsample, config.conv, (1, 28, 28), config.seed)
    calls = {form: _update([*model.parameters()], form) for form in OPTIMIZER_FORMS}
    times = {form: [each / UPDATES for each in own] for form, own in interleaved_ms(calls, repeats).items()}
    return [
        {
            "option": f"Adam's update, {form}: {OPTIMIZER_FORMS[form]}",
            "ms": statistics.median(own),
            "times as fast": statistics.median(b / each for b, each in zip(times["fused"], own, strict=True)),
            "first step, s": "–",
        }
        for form, own in times.items()
    ]


def _update(parameters: list[torch.nn.Parameter], form: str) -> Callable[[], None]:
    """Updates of copies of the parameters, with gradients that do not change."""
    weights, first, second = ([torch.zeros_like(each, requires_grad=False) for each in parameters] for _ in range(3))
    gradients = [torch.ones_like(each) for each in weights]
    steps = [torch.zeros(()) for _ in weights]

    def update() -> None:
        for _ in range(UPDATES):
            adam(
                weights,
                gradients,
                first,
                second,
                [],
                steps,
                fused=form == "fused",
                foreach=form == "foreach",
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=1e-3,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    return update
