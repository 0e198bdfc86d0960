"""The figures of a whole validation set, gathered batch by batch."""

import math

import torch
from torch import Tensor

from upsample_lab.metrics.phases import ResidualPhases
from upsample_lab.metrics.quality import SSIM_WINDOW_PX, psnr, ssim


class QualityMeter:
    """Accumulates quality and artifact figures of outputs against targets.

    Exact over everything added, however it is cut into batches: sums, in float64, of per-image or per-pixel
    quantities, never averages of batch averages. `update` leaves its sums on the device; only `compute` copies.

    Keys of the result: `psnr_db` and `ssim` (mean of the images' own), `phase_variance` and `phase_p_value` (of the
    residual output - target). `ssim` is left out for images smaller than its window of 11 pixels.

    Args:
        period: period in pixels for the residual's phases; a decoder's total scale is the one that misses nothing.
        data_range: largest less smallest possible pixel value.
    """

    def __init__(self, period: int = 2, *, data_range: float = 1.0) -> None:
        self.data_range = data_range
        self._residual_phases = ResidualPhases(period)
        self._image_count = 0
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: `[N, C, H, W]` outputs and targets, floating point, on any device.

        Raises:
            TypeError, ValueError: as `psnr` does; images smaller than the period.
        """
        scores = {"psnr_db": psnr(output, target, data_range=self.data_range)}
        if min(output.shape[-2:]) >= SSIM_WINDOW_PX:
            scores["ssim"] = ssim(output, target, data_range=self.data_range)
        self._residual_phases.update(output.to(scores["psnr_db"].dtype) - target)
        for name, values in scores.items():
            total = values.sum()
            self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._image_count += output.shape[0]

    def compute(self) -> dict[str, float]:
        """The figures over all images so far, as finite plain floats.

        Raises:
            ValueError: nothing was added, or outputs were not finite: a figure of them would be a lie.
        """
        if self._image_count == 0:
            raise ValueError("QualityMeter has no images to work on: call update first")
        figures = {name: float(total) / self._image_count for name, total in self._sums.items()}
        if not all(map(math.isfinite, figures.values())):
            raise ValueError("outputs or targets are not finite (NaN or infinity), so their quality is undefined")
        phases = self._residual_phases.compute()
        return figures | {"phase_variance": phases.ratio, "phase_p_value": phases.p_value}
