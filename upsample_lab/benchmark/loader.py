"""Images a second: the batch loader beside PyTorch's `DataLoader` with torchvision's `ToTensor`, in one process.

The candidates take turns, so that whatever else the machine does falls on all of them; the figures are medians.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from statistics import median

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from upsample_lab.benchmark.table import Goal, Table
from upsample_lab.benchmark.timing import machine
from upsample_lab.data import BatchLoader

SHAPES = {"MNIST": (60_000, 1, 28, 28), "CIFAR-10": (50_000, 3, 32, 32)}
"""Random bytes of the data sets' shapes: neither loader's speed depends on the values."""
WORKER_COUNTS = (0, 2)


@dataclass(frozen=True)
class LoaderRow:
    """One measured loader."""

    images: str
    loader: str
    images_per_sec: float
    ratio: float
    """Times the speed of the slowest loader on the same images."""


class PerSampleDataset(Dataset):
    """What `torchvision.datasets.MNIST` and `CIFAR10` do for each image: array -> Pillow image -> transform."""

    def __init__(self, images: Tensor) -> None:
        from torchvision.transforms import ToTensor  # late: the import takes seconds

        self._arrays = images.permute(0, 2, 3, 1).numpy()
        self._to_tensor = ToTensor()

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        array = self._arrays[index]
        return self._to_tensor(Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this suite."""
    parser.add_argument("--batch", type=int, default=128, help="images in a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each loader (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="once each, to see that all of it works")


def run(arguments: argparse.Namespace) -> Table:
    """Measure every loader on images of every shape."""
    rows = measure(arguments.batch, 1, 4) if arguments.quick else measure(arguments.batch, arguments.repeats)
    ours = [f"{row.images} {row.images_per_sec:,.0f}" for row in rows if row.loader == "BatchLoader"]
    summary = [f"Images a second from the batch loader: {', '.join(ours)}."]
    goals = [
        Goal(f"batch loader, {row.images} images/s", row.images_per_sec, 1_000_000)
        for row in rows
        if row.loader == "BatchLoader" and row.images == "MNIST"
    ]
    return Table(f"Loaders, batch {arguments.batch}", machine(), [asdict(row) for row in rows], summary, goals)


def measure(batch_size: int = 128, rounds: int = 9, batch_count: int = 60) -> list[LoaderRow]:
    """Measure each loader on images of each shape.

    Args:
        rounds: turns that every candidate takes; the median over them is reported.
        batch_count: batches a turn; the batch loader gets twenty times as many, to last comparably long.
    """
    rows = []
    for images_name, shape in SHAPES.items():
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        candidates = {"BatchLoader": (_endless_batches(images, batch_size), 20 * batch_count)}
        for workers in WORKER_COUNTS:
            loader = DataLoader(PerSampleDataset(images), batch_size, shuffle=True, drop_last=True, num_workers=workers)
            name = "DataLoader + ToTensor" + (f", {workers} workers" if workers else "")
            candidates[name] = (_endless(loader), batch_count)
        rows += _measure(images_name, candidates, batch_size, rounds)
    return rows


def _measure(
    images_name: str, candidates: dict[str, tuple[Iterator[Tensor], int]], batch_size: int, rounds: int
) -> list[LoaderRow]:
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, (batches, batch_count) in candidates.items():
            started = time.perf_counter()
            for _ in range(batch_count):
                next(batches)
            if turn:  # the first one warms up
                seconds[name].append((time.perf_counter() - started) / batch_count)
    speeds = {name: batch_size / median(values) for name, values in seconds.items()}
    slowest = min(speeds.values())
    return [LoaderRow(images_name, name, speed, speed / slowest) for name, speed in speeds.items()]


def _endless_batches(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    loader = BatchLoader(images, batch_size, seed=0)
    return (loader.batch(step) for step in count())


def _endless(loader: DataLoader) -> Iterator[Tensor]:
    while True:
        yield from loader
