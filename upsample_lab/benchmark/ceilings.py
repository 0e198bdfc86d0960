"""What this machine can do at most, a large matrix product and a large copy, and how near the training step comes.

Operations and bytes are counted from the layers' shapes (`cost.py`). `GFLOP/s` is that of the layer's definition;
`done GFLOP/s` that of what is really multiplied, which is less where a layer is folded. `of product` and `of copy` are
fractions of the ceilings of the same number type, measured in the same rounds: a step can reach neither, since it
multiplies some of the time and copies the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

from upsample_lab.benchmark.baselines import UPSAMPLERS
from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import DTYPES, interleaved_ms, left_out, machine, usable_dtypes
from upsample_lab.benchmark.train import IMAGE_COUNT, Way, folds
from upsample_lab.benchmark.trainings import MNIST_SHAPE, advance, make_training, random_images
from upsample_lab.cost import FLOPS_A_MAC, Counter, step_bytes, step_flops

PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}  # three such float32 matrices are 48 MiB: more than the last-level cache
COPY_BYTES = {"cpu": 128 << 20, "cuda": 2 << 30}
LEAST_OF_PRODUCT = 0.25
QUICK_SHARE = 8  # `--quick` takes matrices and copies so many times smaller


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=12, help="turns of each (default: %(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="number types (default: those with units)")
    parser.add_argument("--device", default="cpu", help="where to compute (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small and once each, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Time the ceilings and the training steps in turns."""
    dtypes = arguments.dtypes or usable_dtypes(arguments.device)
    batch, repeats = (16, 2) if arguments.quick else (arguments.batch, arguments.repeats)
    rows: list[dict[str, str | float]] = []
    goals: list[Goal] = []
    for dtype in dtypes:
        measured = _measure(dtype, batch, repeats, arguments)
        rows += measured
        goals += [_goal(row) for row in measured if row["what"] == "step, conv=native" and dtype == "fp32"]
    size, bytes_copied = _sizes(arguments)
    summary = [
        f"Product: two {size} x {size} matrices. Copy: {bytes_copied / 2**20:,.0f} MiB, read and written.",
        *left_out(dtypes, arguments.device),
    ]
    return Table(f"Ceilings, and the training step below them, batch {batch}", machine(), rows, summary, goals)


def _goal(row: dict[str, str | float]) -> Goal:
    figure = f"training step, {row['upsampler']}, conv=native, fp32: FLOP/s over those of a matrix product"
    return Goal(figure, float(row["of product"]), LEAST_OF_PRODUCT)


def _sizes(arguments: argparse.Namespace) -> tuple[int, int]:
    kind = torch.device(arguments.device).type
    share = QUICK_SHARE if arguments.quick else 1
    return PRODUCT_SIZE[kind] // share, COPY_BYTES[kind] // share


def ceiling_calls(dtype: str, arguments: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """The large matrix product and the large copy."""
    size, bytes_copied = _sizes(arguments)
    make: dict[str, Any] = {"dtype": DTYPES[dtype], "device": arguments.device}
    a, b, product = (torch.rand(size, size, **make) for _ in range(3))
    source = torch.rand(bytes_copied // DTYPES[dtype].itemsize, **make)
    target = torch.empty_like(source)
    return {"product": lambda: torch.mm(a, b, out=product), "copy": lambda: target.copy_(source)}


def _measure(dtype: str, batch: int, repeats: int, arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """The rows of one number type: the two ceilings, then the steps of ours."""
    chosen = [Way(name, conv, folds(name)[0], dtype) for name in UPSAMPLERS for conv in ("native", "custom")]
    images = random_images(IMAGE_COUNT)
    calls, counts = ceiling_calls(dtype, arguments), {}
    for number, way in enumerate(chosen):
        training = make_training(way.words(batch, arguments.device), images)
        layers = training.model.layer_costs(MNIST_SHAPE)  # type: ignore[operator]  # of a module any name may be a tensor
        step = calls[str(number)] = partial(advance, training, 1)
        with Counter() as done:
            step()
        carried = step_bytes(layers, batch, DTYPES[dtype].itemsize)
        counts[number] = step_flops(layers, batch), float(FLOPS_A_MAC * done.macs), carried
    times = {name: median(each) for name, each in interleaved_ms(calls, repeats).items()}
    size, bytes_copied = _sizes(arguments)
    product = FLOPS_A_MAC * size**3 / times["product"] / 1e6
    copy = 2 * bytes_copied / times["copy"] / 1e6
    rows = [
        _row("matrix product", "–", dtype, times["product"], FLOPS_A_MAC * size**3, 0.0, 0.0, product, copy),
        _row("copy", "–", dtype, times["copy"], 0.0, 0.0, 2.0 * bytes_copied, product, copy),
    ]
    for number, way in enumerate(chosen):
        what = f"step, conv={way.conv}"
        rows.append(_row(what, way.upsample, dtype, times[str(number)], *counts[number], product, copy))
    return rows


def _row(
    what: str,
    upsampler: str,
    dtype: str,
    ms: float,
    operations: float,
    done: float,
    carried: float,
    product: float,
    copy: float,
) -> dict[str, str | float]:
    """One row; ``product`` in GFLOP/s and ``copy`` in GB/s are the ceilings."""
    return {
        "what": what,
        "upsampler": upsampler,
        "type": dtype,
        "ms": ms,
        "GFLOP": operations / 1e9,
        "GFLOP/s": operations / ms / 1e6,
        "of product": operations / ms / 1e6 / product,
        "done GFLOP/s": (done or operations) / ms / 1e6,
        "GB": carried / 1e9,
        "GB/s": carried / ms / 1e6,
        "of copy": carried / ms / 1e6 / copy,
    }
