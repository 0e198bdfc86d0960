"""Each upsampler that folds beside itself unfolded: forward and backward of the layer alone, over a decoder's shapes.

A fixed resize and a convolution are one linear map, which `upsample.fold=auto` computes in the cheaper order. `speedup`
is the median over the rounds of the unfolded time over the folded one.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch

from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import DTYPES, interleaved_ms, left_out, machine, median_ratio, usable_dtypes
from upsample_lab.upsamplers import UPSAMPLERS, Algorithms, build_upsampler
from upsample_lab.upsamplers._fold import Foldable

LEAST_SPEEDUP = {"nearest": 2.0, "bilinear": 1.8}  # float32, geometric mean over the shapes


class StageShape(NamedTuple):
    """An upsampler's place: channels, and height and width of its input."""

    in_channels: int
    out_channels: int
    size: int

    @property
    def label(self) -> str:
        return f"{self.in_channels}→{self.out_channels}, {self.size}x{self.size} → {2 * self.size}x{2 * self.size}"


SHAPES = (StageShape(64, 32, 7), StageShape(32, 32, 14), StageShape(64, 64, 16), StageShape(128, 64, 16))
"""The default decoder's two on MNIST's images, and two of wider decoders on 32 x 32 images."""


FOLDABLE = [name for name, cls in UPSAMPLERS.items() if issubclass(cls, Foldable)]
FOLDS = ("auto", "always", "kernel", "taps", "filter")
"""What is measured against `never`: the settings, and the forms of `upsamplers/_fold.py` by name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each (default: %(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="number types (default: those with units)")
    parser.add_argument("--upsamplers", nargs="+", choices=FOLDABLE, default=list(LEAST_SPEEDUP), help="upsamplers")
    parser.add_argument("--folds", nargs="+", choices=FOLDS, default=["auto"], help="kernel is for nearest alone")
    parser.add_argument("--convs", nargs="+", default=["native", "custom"], help="algorithms (default: both)")
    parser.add_argument("--device", default="cpu", help="where to compute (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small and once, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Time both orders of each upsampler in turns."""
    batch, repeats = (2, 1) if arguments.quick else (arguments.batch, arguments.repeats)
    dtypes = arguments.dtypes or usable_dtypes(arguments.device)
    rows: list[dict[str, str | float]] = []
    summary, goals = [], []
    cases = itertools.product(arguments.upsamplers, arguments.convs, dtypes, arguments.folds)
    for name, conv, dtype, fold in cases:
        if fold == "kernel" and name != "nearest":
            continue
        speedups = []
        for shape in SHAPES:
            settings = (fold, "never")
            calls = {each: _step(name, conv, each, shape, batch, dtype, arguments.device) for each in settings}
            times = interleaved_ms(calls, repeats)
            speedups.append(median_ratio(times["never"], times[fold]))
            rows.append(
                {
                    "upsampler": name,
                    "conv": conv,
                    "type": dtype,
                    "fold": fold,
                    "shape": shape.label,
                    "unfolded_ms": statistics.median(times["never"]),
                    "folded_ms": statistics.median(times[fold]),
                    "speedup": speedups[-1],
                }
            )
        mean = statistics.geometric_mean(speedups)
        figure = f"{name}, conv={conv}, {dtype}, fold={fold}: over unfolded, geometric mean over the shapes"
        summary.append(f"{figure}: {mean:.2f}.")
        if (conv, dtype, fold) == ("native", "fp32", "auto") and name in LEAST_SPEEDUP:
            goals.append(Goal(figure, mean, LEAST_SPEEDUP[name]))
    summary += left_out(dtypes, arguments.device)
    title = f"Folded and unfolded upsamplers, forward and backward, {arguments.device}, batch {batch}"
    return Table(title, machine(), rows, summary, goals)


def _step(
    name: str, conv: str, fold: str, shape: StageShape, batch: int, dtype: str, device: str
) -> Callable[[], object]:
    """Forward and backward of one layer, with the gradients of input, weight and bias."""
    algorithms = Algorithms(conv, conv)
    layer = build_upsampler(name, shape.in_channels, shape.out_channels, 2, algorithms=algorithms)
    assert isinstance(layer, Foldable)
    layer.fold = fold
    layer = layer.to(device, DTYPES[dtype]).to(memory_format=torch.channels_last)
    x = torch.randn(batch, shape.in_channels, shape.size, shape.size, dtype=DTYPES[dtype], device=device)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    wanted = [x, *layer.parameters()]
    seed = torch.randn_like(layer(x))
    return lambda: torch.autograd.grad(layer(x), wanted, seed)
