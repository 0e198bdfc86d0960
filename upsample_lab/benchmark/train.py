"""Images a second of the whole training step: the tutorial's way, and ours, folded and unfolded, in every number type.

Ways: `tutorial` (torch.nn, `DataLoader` + `ToTensor`, NCHW, torch.optim.Adam), the same with raw tensors in memory, and
ours with `conv=native` and `conv=custom`: the package's own `Training.step`. All train the default model with the same
batch, loss and number of steps, and take turns. `over_tutorial` is the median over the rounds of the speed over that of
the tutorial's way in float32 with the same upsampler.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch

from upsample_lab.benchmark.baselines import BATCHES, UPSAMPLERS, baseline
from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import DTYPES, interleaved_ms, left_out, machine, quartiles, usable_dtypes
from upsample_lab.benchmark.trainings import advance, make_config, make_training, random_images
from upsample_lab.upsamplers import UPSAMPLERS as LAYERS
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution

IMAGE_COUNT = 20_000
GOALS = {  # (conv, type): at least so many times the tutorial's speed
    ("native", "fp32"): {"deconv": 1.3, "nearest": 2.0, "bilinear": 2.0},
    ("native", "bf16"): {"deconv": 3.0, "nearest": 4.5, "bilinear": 4.0},
    ("custom", "fp32"): {"deconv": 0.7, "nearest": 1.0, "bilinear": 1.0},
}


class Way(NamedTuple):
    """One candidate: a baseline (``conv`` is its name), or ours; ``fold`` is empty where the layer has none."""

    upsample: str
    conv: str
    fold: str
    dtype: str

    @property
    def is_ours(self) -> bool:
        return self.conv not in BATCHES

    @property
    def label(self) -> str:
        return f"ours, conv={self.conv}" if self.is_ours else self.conv

    def words(self, batch: int, device: str) -> list[str]:
        """The command line of this training."""
        words = [f"upsample={self.upsample}", f"trainer.precision={self.dtype}", f"trainer.device={device}"]
        words.append(f"trainer.batch_size={batch}")
        words += [f"conv={self.conv}"] if self.is_ours else []
        words += [f"upsample.fold={self.fold}"] if self.fold else []
        return words


@dataclass
class WayTimes:
    """Milliseconds a step of every way, a number a round."""

    batch: int
    times_ms: dict[Way, list[float]] = field(default_factory=dict)

    def images_per_sec(self, way: Way) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile over the rounds."""
        return quartiles([1e3 * self.batch / each for each in self.times_ms[way]])

    def over_tutorial(self, way: Way) -> float:
        """Median over the rounds of this way's speed over the tutorial's in float32."""
        base = self.times_ms[Way(way.upsample, "tutorial", "", "fp32")]
        return statistics.median(b / own for b, own in zip(base, self.times_ms[way], strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=12, help="turns of each way (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="steps a turn (default: %(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="number types (default: those with units)")
    parser.add_argument("--upsamplers", nargs="+", choices=UPSAMPLERS, default=list(UPSAMPLERS), help="upsamplers")
    parser.add_argument("--device", default="cpu", help="where to compute (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few steps of each, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Time every way in turn."""
    dtypes = arguments.dtypes or usable_dtypes(arguments.device)
    repeats, steps, batch = arguments.repeats, arguments.steps, arguments.batch
    if arguments.quick:
        repeats, steps, batch = 2, 1, min(batch, 16)
    measured = measure(ways(arguments.upsamplers, dtypes), batch, repeats, steps, arguments.device)
    rows = [_row(measured, way) for way in measured.times_ms]
    title = f"Training step, {arguments.device}, batch {batch}, {repeats} turns of {steps} steps"
    return Table(title, machine(), rows, left_out(dtypes, arguments.device), goals(measured))


def ways(upsamplers: Sequence[str], dtypes: Sequence[str]) -> list[Way]:
    """Every candidate, each upsampler's together; the tutorial's float32 is always among them."""
    found = []
    for upsample in upsamplers:
        for dtype in dict.fromkeys(["fp32", *dtypes]):
            if dtype not in dtypes:
                found.append(Way(upsample, "tutorial", "", dtype))
                continue
            found += [Way(upsample, way, "", dtype) for way in BATCHES]
            found += [Way(upsample, conv, fold, dtype) for conv in ("native", "custom") for fold in folds(upsample)]
    return found


def folds(upsample: str) -> tuple[str, ...]:
    """The values of `upsample.fold` to compare; the empty one where the upsampler has nothing to fold."""
    return ("auto", "never") if issubclass(LAYERS[upsample], ResizeConvolution) else ("",)


def measure(chosen: Sequence[Way], batch: int, repeats: int, steps: int, device: str) -> WayTimes:
    """Milliseconds a step of each way; the trainings of one upsampler take turns with each other."""
    images = random_images(IMAGE_COUNT)
    measured = WayTimes(batch)
    for upsample in dict.fromkeys(way.upsample for way in chosen):
        mine = [way for way in chosen if way.upsample == upsample]
        calls = {str(n): make_steps(way, batch, steps, device, images) for n, way in enumerate(mine)}
        times = interleaved_ms(calls, repeats)
        measured.times_ms |= {way: [each / steps for each in times[str(n)]] for n, way in enumerate(mine)}
    return measured


def make_steps(way: Way, batch: int, steps: int, device: str, images: torch.Tensor) -> Callable[[], object]:
    """A call that makes so many steps of a training of its own."""
    words = way.words(batch, device)
    if way.is_ours:
        return partial(advance, make_training(words, images), steps)
    loop = baseline(way.conv, make_config(words), images, device)
    return partial(loop.steps, steps)


def _row(measured: WayTimes, way: Way) -> dict[str, str | float]:
    low, middle, high = measured.images_per_sec(way)
    return {
        "upsampler": way.upsample,
        "way": way.label,
        "fold": way.fold or "–",
        "type": way.dtype,
        "images/s": middle,
        "lower quartile": low,
        "upper quartile": high,
        "over_tutorial": measured.over_tutorial(way),
    }


def goals(measured: WayTimes) -> list[Goal]:
    """The bounds of the folded ways that were measured."""
    return [
        Goal(
            f"training step, {way.upsample}, conv={way.conv}, {way.dtype}, over the tutorial's way in fp32",
            measured.over_tutorial(way),
            GOALS[way.conv, way.dtype][way.upsample],
        )
        for way in measured.times_ms
        if way.fold != "never" and (way.conv, way.dtype) in GOALS
    ]
