"""Forward and backward of each fixed resize and its convolution, computed in one beside its definition."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import torch

from upsample_lab.benchmark.table import Table
from upsample_lab.benchmark.timing import interleaved_ms, machine, median_ratio
from upsample_lab.upsamplers import Algorithms, build_upsampler

UPSAMPLERS = ("nearest", "bilinear", "bicubic", "kaiser", "fourier", "bilinear_additive")
FOLDS = ("auto", "always", "kernel", "taps")  # the settings, and the forms by name
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


class Shape(NamedTuple):
    """The channels of one layer, and the height and width of its input."""

    in_channels: int
    out_channels: int
    size: int


SHAPES = (Shape(64, 32, 7), Shape(32, 32, 14), Shape(64, 64, 16), Shape(128, 64, 32))  # of the models' decoders


class Case(NamedTuple):
    """One layer as it is measured."""

    upsampler: str
    shape: Shape
    scale: int
    kernel_size: int
    dtype: str
    memory_format: str
    algorithm: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds of each layer (default: %(default)s)")
    parser.add_argument("--upsamplers", nargs="+", choices=UPSAMPLERS, default=["nearest", "bilinear"])
    parser.add_argument("--shapes", nargs="+", type=_shape, default=SHAPES, help="as 64,32,7: channels in, out, size")
    parser.add_argument("--scales", nargs="+", type=int, default=[2], help="upsampling factors (default: 2)")
    parser.add_argument("--kernel-sizes", nargs="+", type=int, default=[3], help="of the convolution (default: 3)")
    half = ["bf16"] if has_bf16_units() else []
    parser.add_argument(
        "--dtypes", nargs="+", choices=DTYPES, default=["fp32", *half], help="number types; bf16 where it is fast"
    )
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["NHWC"], help="memory (default: NHWC)")
    parser.add_argument("--algorithms", nargs="+", choices=("native", "custom"), default=["native", "custom"])
    parser.add_argument(
        "--folds", nargs="+", choices=FOLDS, default=["auto"], help="measured beside never (default: auto)"
    )
    parser.add_argument("--device", default="cpu", help="where to compute (default: %(default)s)")


def run(arguments: argparse.Namespace) -> Table:
    """Time every layer; the speed-up is the median over the rounds of the definition's time over the folded one's."""
    rows: list[dict[str, str | float]] = []
    speedups: dict[tuple[str, str, str, str], list[float]] = {}
    for case in _cases(arguments):
        calls = {fold: _step(case, fold, arguments) for fold in ("never", *_folds(case, arguments))}
        times = interleaved_ms(calls, arguments.repeats, warmup=1)
        for fold in list(calls)[1:]:
            speedup = 1 / median_ratio(times[fold], times["never"])
            rows.append(_row(case, fold, times, speedup))
            speedups.setdefault((case.upsampler, fold, case.dtype, case.algorithm), []).append(speedup)
    summary = [
        f"Geometric mean, {dtype}, {algorithm}: {upsampler} with fold={fold} is "
        f"{statistics.geometric_mean(values):.2f} times as fast as fold=never."
        for (upsampler, fold, dtype, algorithm), values in speedups.items()
    ]
    return Table(f"Folding, forward and backward, batch {arguments.batch}", machine(), rows, summary)


def has_bf16_units() -> bool:
    """Whether the processor multiplies bf16 numbers as such (AVX-512 BF16 or AMX), or there is a GPU."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.cuda.is_available() or any(check() for check in checks if check is not None)


def _shape(text: str) -> Shape:
    try:
        return Shape(*map(int, text.split(",")))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"{text}: must be channels in, out and size, such as 64,32,7") from None


def _cases(arguments: argparse.Namespace) -> Iterator[Case]:
    a = arguments
    for case in product(a.upsamplers, a.shapes, a.scales, a.kernel_sizes, a.dtypes, a.formats, a.algorithms):
        yield Case(*case)


def _folds(case: Case, arguments: argparse.Namespace) -> list[str]:
    return [fold for fold in arguments.folds if fold != "kernel" or case.upsampler == "nearest"]


def _row(case: Case, fold: str, times: dict[str, list[float]], speedup: float) -> dict[str, str | float]:
    channels, size = f"{case.shape.in_channels}→{case.shape.out_channels}", case.shape.size
    return {
        "upsampler": case.upsampler,
        "layer": f"{channels} {size}x{size} s{case.scale} k{case.kernel_size}",
        "type": case.dtype,
        "format": case.memory_format,
        "algorithm": case.algorithm,
        "fold": fold,
        "never_ms": statistics.median(times["never"]),
        "fold_ms": statistics.median(times[fold]),
        "fastest_never_ms": min(times["never"]),
        "fastest_fold_ms": min(times[fold]),
        "speedup": speedup,
    }


def _step(case: Case, fold: str, arguments: argparse.Namespace) -> Callable[[], object]:
    """One forward and backward pass, with the gradients for input, weight and bias."""
    shape, memory_format = case.shape, FORMATS[case.memory_format]
    layer = build_upsampler(
        case.upsampler,
        shape.in_channels,
        shape.out_channels,
        case.scale,
        algorithms=Algorithms(case.algorithm, case.algorithm),
        kernel_size=case.kernel_size,
    )
    layer.fold = fold
    layer.to(device=arguments.device, dtype=DTYPES[case.dtype], memory_format=memory_format)  # type: ignore[call-overload]
    x = torch.randn(arguments.batch, shape.in_channels, shape.size, shape.size, device=arguments.device)
    x = x.to(DTYPES[case.dtype]).contiguous(memory_format=memory_format).requires_grad_()
    seed = torch.randn_like(layer(x))
    leaves = (x, *layer.parameters())
    return lambda: torch.autograd.grad(layer(x), leaves, seed)
