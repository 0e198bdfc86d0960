"""The figures of a whole validation set, gathered batch by batch."""

import torch
from torch import Tensor

from upsample_lab.metrics._images import MIN_SIZE_PX
from upsample_lab.metrics._sums import RunningSums
from upsample_lab.metrics.artifacts import ArtifactMeter
from upsample_lab.metrics.levels import FlatWindows, set_pattern_levels
from upsample_lab.metrics.phases import ResidualPhases
from upsample_lab.metrics.quality import SSIM_WINDOW_PX, psnr, ssim


class QualityMeter:
    """Accumulates quality and artifact figures of outputs against targets.

    Exact over everything added, however it is cut into batches: sums, in float64, of per-image or per-pixel
    quantities, never averages of batch averages. `update` leaves its sums on the device; only `compute` copies.

    Keys of the result: `psnr_db` and `ssim` (mean of the images' own), `phase_variance` and `phase_p_value` (of the
    residual output - target), its pattern in grey levels (`residual_pattern_rms_levels` …, see `Pattern.figures`), the
    same over flat areas of the targets (`flat_pattern_rms_levels` …, left out where there is none), and those of
    `image_artifacts` for the outputs but the relative `dc_phase_variation`, which means something for constants alone.
    `ssim` is left out for images smaller than its window of 11 pixels, the artifacts of the outputs for images below 8
    pixels or one period.

    Args:
        period: period in pixels for phases and blocks; a decoder's total scale is the one that misses nothing.
        data_range: largest less smallest possible pixel value.
    """

    def __init__(self, period: int = 2, *, data_range: float = 1.0) -> None:
        self.data_range = data_range
        self._scores = RunningSums()
        self._image_count = 0
        self._residual_phases = ResidualPhases(period)
        self._artifacts: ArtifactMeter | None = None
        self.flat_windows = FlatWindows(period)

    @torch.no_grad()
    def update(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Add a batch: `[N, C, H, W]` outputs and targets, floating point, on any device.

        Returns the images' own `psnr_db` and, where there is one, `ssim`, each `[N]`.

        Raises:
            TypeError, ValueError: as `psnr` does; images smaller than the period or of another size than before.
        """
        scores = {"psnr_db": psnr(output, target, data_range=self.data_range)}
        size_px = min(output.shape[-2:])
        if size_px >= SSIM_WINDOW_PX:
            scores["ssim"] = ssim(output, target, data_range=self.data_range)
        self._residual_phases.update(output.to(scores["psnr_db"].dtype) - target)
        self.flat_windows.update(output, target)
        self._scores.add(**{name: values.sum() for name, values in scores.items()})
        self._image_count += output.shape[0]
        if size_px >= MIN_SIZE_PX:
            self._artifacts = self._artifacts or ArtifactMeter(self._residual_phases.period)
            self._artifacts.update(output)
        return scores

    def compute(self) -> dict[str, float]:
        """The figures over all images so far, as finite plain floats.

        Raises:
            ValueError: nothing was added, or outputs were not finite: a figure of them would be a lie.
        """
        figures = {name: float(total) / self._image_count for name, total in self._scores.read().items()}
        phases = self._residual_phases.compute()
        figures |= {"phase_variance": phases.ratio, "phase_p_value": phases.p_value}
        pattern = set_pattern_levels(self._residual_phases.means(), self._residual_phases.period)
        figures |= pattern.figures("residual_")
        if (flat := self.flat_windows.compute()) is not None:
            figures |= flat.figures("flat_")
        if self._artifacts is not None:
            figures |= self._artifacts.compute()
            del figures["dc_phase_variation"]
        return figures
