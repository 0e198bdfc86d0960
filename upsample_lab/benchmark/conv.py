"""Forward and backward of the custom convolutions against PyTorch's kernels, over the shapes that the models use."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch

from ..conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, conv2d, conv_transpose2d
from .table import Table
from .timing import DTYPES, interleaved_ms, left_out, machine, median_ratio, usable_dtypes


class LayerShape(NamedTuple):
    """One layer: ``size`` is the height and width of its input; ``decoder`` says whether the median counts it."""

    transposed: bool
    in_channels: int
    out_channels: int
    size: int
    kernel: int
    stride: int
    padding: int
    decoder: bool

    @property
    def label(self) -> str:
        kind = "convT" if self.transposed else "conv"
        return f"{kind} {self.in_channels}→{self.out_channels} {self.size}x{self.size} k{self.kernel} s{self.stride}"


SHAPES = [
    LayerShape(True, 64, 32, 7, 4, 2, 1, True),
    LayerShape(True, 32, 32, 14, 4, 2, 1, True),
    LayerShape(False, 64, 64, 16, 3, 1, 1, True),
    LayerShape(False, 64, 64, 28, 3, 1, 1, True),
    LayerShape(False, 1, 32, 28, 3, 2, 1, False),
    LayerShape(False, 32, 64, 14, 3, 2, 1, False),
    LayerShape(False, 64, 4, 7, 1, 1, 0, False),
    LayerShape(False, 4, 64, 7, 1, 1, 0, False),
    LayerShape(False, 32, 1, 28, 3, 1, 1, False),
]
FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="timed rounds of each shape (default: %(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="number types (default: those with units)")
    parser.add_argument("--quick", action="store_true", help="once each, to see that all of it works")
    parser.add_argument("--device", default="cpu", help="where to compute (default: %(default)s)")
    names = sorted({*CONV2D_ALGORITHMS, *CONV_TRANSPOSE2D_ALGORITHMS} - {"native"})
    parser.add_argument(
        "--algorithms", nargs="+", choices=names, default=["custom"], help="measured beside native (default: custom)"
    )


def run(arguments: argparse.Namespace) -> Table:
    """Time every shape, type, memory format and algorithm; the ratio is the median over the rounds."""
    if arguments.quick:
        arguments.batch, arguments.repeats = min(arguments.batch, 8), 1
    dtypes = arguments.dtypes or usable_dtypes(arguments.device)
    rows: list[dict[str, str | float]] = []
    decoder: dict[tuple[str, str], list[float]] = {}
    for dtype in dtypes:
        for shape in SHAPES:
            for memory_format in FORMATS:
                known = CONV_TRANSPOSE2D_ALGORITHMS if shape.transposed else CONV2D_ALGORITHMS
                names = ["native", *(name for name in arguments.algorithms if name in known)]
                calls = {name: _step(shape, name, dtype, memory_format, arguments) for name in names}
                times = interleaved_ms(calls, arguments.repeats)
                for name in names[1:]:
                    ratio = median_ratio(times[name], times["native"])
                    rows.append(_row(shape, dtype, memory_format, name, times, ratio))
                    if shape.decoder:
                        decoder.setdefault((name, dtype), []).append(ratio)
    summary = [
        f"Median over the decoder's shapes, {dtype}: {name} takes {statistics.median(ratios):.2f} times native's time."
        for (name, dtype), ratios in decoder.items()
    ]
    summary += left_out(dtypes, arguments.device)
    return Table(f"Convolutions, forward and backward, batch {arguments.batch}", machine(), rows, summary)


def _row(
    shape: LayerShape, dtype: str, memory_format: str, name: str, times: dict[str, list[float]], ratio: float
) -> dict[str, str | float]:
    return {
        "layer": shape.label,
        "type": dtype,
        "format": memory_format,
        "algorithm": name,
        "native_ms": statistics.median(times["native"]),
        "algorithm_ms": statistics.median(times[name]),
        "fastest_native_ms": min(times["native"]),
        "fastest_algorithm_ms": min(times[name]),
        "ratio": ratio,
    }


def _step(
    shape: LayerShape, algorithm: str, dtype: str, memory_format: str, arguments: argparse.Namespace
) -> Callable[[], object]:
    """One forward and backward pass, with the gradients for input, weight and bias."""
    make = {"dtype": DTYPES[dtype], "device": arguments.device}
    channels = (shape.in_channels, shape.out_channels) if shape.transposed else (shape.out_channels, shape.in_channels)
    x = torch.randn(arguments.batch, shape.in_channels, shape.size, shape.size, **make)
    x = x.contiguous(memory_format=FORMATS[memory_format]).requires_grad_()
    weight = torch.randn(*channels, shape.kernel, shape.kernel, **make).requires_grad_()
    bias = torch.randn(shape.out_channels, **make).requires_grad_()
    function = conv_transpose2d if shape.transposed else conv2d

    def forward() -> torch.Tensor:
        return function(x, weight, bias, shape.stride, shape.padding, algorithm=algorithm)

    seed = torch.randn_like(forward())
    return lambda: torch.autograd.grad(forward(), (x, weight, bias), seed)
