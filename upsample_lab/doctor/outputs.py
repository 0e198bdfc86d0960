"""What a model gives: which of it are the images, and in which units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from upsample_lab.doctor.measure import as_batch
from upsample_lab.metrics.levels import LEVELS
from upsample_lab.settings import ConfigError

CROP_PX = 64
_OVERSHOOT = 0.25  # of its range, by which a model may leave it
_NEGATIVE = 0.05  # share of its numbers from which a range that begins with 0 is not its
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, LEVELS))


@dataclass(frozen=True)
class Units:
    """Grey levels of an image in the range `low` to `high`; without one, relative to the neighbourhood in dB."""

    low: float | None = None
    high: float | None = None

    @property
    def per_unit(self) -> float | None:
        """Grey levels of 255 in one unit of the output; None where it is no image."""
        return None if self.low is None or self.high is None else LEVELS / (self.high - self.low)

    def __str__(self) -> str:
        if self.per_unit is None:
            return "no image of 1 or 3 channels in a known range: patterns in dB over their neighbourhood"
        return f"an image in {self.low:g}…{self.high:g}: patterns in grey levels of 255, root mean square"


def units_of(images: Tensor, output_range: tuple[float, float] | None = None) -> Units:
    """The units of an output `[N, C, H, W]`: of the range that is given, or of the narrowest usual one that it is in.

    Raises ConfigError for a range that is none.
    """
    if output_range is not None:
        low, high = (float(end) for end in output_range)
        if not low < high:
            raise ConfigError(f"output_range=({low:g}, {high:g}): must be (low, high) with low below high")
        return Units(low, high)
    if images.shape[1] not in (1, 3):
        return Units()
    least, most = float(images.min()), float(images.max())
    signed = float((images < 0).double().mean()) > _NEGATIVE
    for low, high in _RANGES:
        beyond = _OVERSHOOT * (high - low)
        if low - beyond <= least and most <= high + beyond and (low < 0 or not signed):
            return Units(low, high)
    return Units()


def tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a nest of tuples, lists, dicts and objects, with what Python calls them: `["mask"]`, `.sample`."""
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from tensors(value, f"{name}[{key!r}]")
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from tensors(value, f"{name}[{index}]")
    elif hasattr(tree, "__dict__"):
        for key, value in vars(tree).items():
            yield from tensors(value, f"{name}.{key}")


def chosen_output(result: Any) -> tuple[str, Tensor]:
    """The images of what a model gives: the largest, the first of equals; its name, and `[N, C, H, W]`.

    Raises ConfigError where it gives none.
    """
    found = {name: tensor for name, tensor in tensors(result) if tensor.is_floating_point()}
    images = {name: tensor for name, tensor in found.items() if tensor.dim() in (3, 4) and min(tensor.shape[-2:]) > 1}
    if not images:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in found.values()) or type(result).__name__
        raise ConfigError(f"the model gives no images [N, C, H, W], but {shapes}: diagnose the part of it that does")
    name = max(images, key=lambda key: (images[key].dim(), images[key].shape[-2] * images[key].shape[-1]))
    return name, as_batch(images[name]).detach()


def worst_window(image: Tensor, healed: Tensor, side: int = CROP_PX) -> tuple[int, int]:
    """Top and left of the window where a pattern shows best: where `[C, H, W]` differ most for what is in them."""
    if min(image.shape[-2:]) < side:
        return 0, 0
    difference, content = (image - healed).double(), healed.double()
    energy, mean, square = (
        F.avg_pool2d(part[None], side, side // 4).mean(dim=1) for part in (difference.square(), content, content**2)
    )
    score = energy / (square - mean.square()).clamp_min(1e-4 * float(content.square().mean()) + 1e-12)
    row, column = divmod(int(score.flatten().argmax()), score.shape[-1])
    return row * (side // 4), column * (side // 4)


def crop(image: Tensor, place: tuple[int, int], whole: tuple[int, int], side: int = CROP_PX) -> Tensor:
    """A window of `[C, h, w]` at a place that is counted in an image of the size `whole`, which it is a smaller, a
    larger or the same one as."""
    for axis, at, length in zip((-2, -1), place, whole, strict=True):
        ratio = image.shape[axis] / length
        start, size = round(at * ratio), max(1, round(min(side, length) * ratio))
        image = image.narrow(axis, min(start, image.shape[axis] - 1), min(size, image.shape[axis] - start))
    return image
