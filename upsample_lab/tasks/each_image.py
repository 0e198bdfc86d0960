"""What is kept of each test image, so that a comparison can say where runs differ and show the same images of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from upsample_lab.metrics import regional_squared_error
from upsample_lab.runs import checkpoint

SHOWN_IMAGES = 32
SHOWN_BYTES = 8 * 2**20  # of originals, and as many of outputs: 32 images of 256 x 256 in colour, 2 of 1024 x 1024


class EachImage:
    """Gathers, batch by batch, the figures of each image, and the first images themselves.

    Tensors, for N images in all of which n are shown: `psnr_db` and `ssim` `[N]` float32 (no `ssim` for images smaller
    than its window), `squared_error` `[N, 3]` float64 and `region_values` `[N, 3]` int32 as in
    `metrics.regional_squared_error`, `originals` and `outputs` `[n, C, H, W]` uint8. Beside them what `keep` is given:
    `uniform_outputs` `[5, C, H, W]` float32, the reconstructions of uniform images, and the flat windows with the
    strongest pattern, `flat_window_target` and `flat_window_output` `[K, C, h, w]` float32, `flat_window_place`
    `[K, 3]` int64 (image, top, left), `flat_window_rms_levels` `[K]` float32.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}
        self._kept: dict[str, Tensor] = {}

    def add(self, output: Tensor, target: Tensor, scores: Mapping[str, Tensor]) -> None:
        """A batch `[N, C, H, W]` of outputs and targets in 0…1, and the images' own scores, each `[N]`."""
        sums, values = regional_squared_error(output, target)
        figures = {name: score.float() for name, score in scores.items()}
        figures |= {"squared_error": sums, "region_values": values.int()}
        missing = shown_count(target.shape[1:].numel()) - sum(map(len, self._parts.get("originals", [])))
        if missing > 0:
            figures |= {"originals": as_bytes(target[:missing]), "outputs": as_bytes(output[:missing])}
        for name, figure in figures.items():
            self._parts.setdefault(name, []).append(figure.cpu())

    def keep(self, **tensors: Tensor) -> None:
        """Tensors that are not of single images, as they are."""
        self._kept |= tensors

    def tensors(self) -> dict[str, Tensor]:
        return {**{name: torch.cat(parts) for name, parts in self._parts.items()}, **self._kept}

    def save(self, path: Path) -> None:
        """Write the tensors to `path`, whole or not at all, with a checksum."""
        checkpoint.save(path, self.tensors(), {})


def shown_count(image_bytes: int) -> int:
    """How many images are kept as pictures: the same for all runs on one dataset."""
    return min(SHOWN_IMAGES, max(1, SHOWN_BYTES // image_bytes))


def as_bytes(images: Tensor) -> Tensor:
    """0…1 -> uint8, rounded to the nearest level."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).contiguous()
