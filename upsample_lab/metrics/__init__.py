"""Image quality and upsampling artifacts, measured. Imports nothing else of the package.

`quality`: PSNR and SSIM. `phases`: what repeats with the pixel's phase. `meter`: all of it over a validation set.
"""

from upsample_lab.metrics.meter import QualityMeter
from upsample_lab.metrics.phases import (
    PhaseVariance,
    dc_phase_variation,
    energy_by_period,
    nearest_residual,
    phase_variance,
)
from upsample_lab.metrics.quality import PSNR_CEILING_DB, psnr, ssim

__all__ = [
    "PSNR_CEILING_DB",
    "PhaseVariance",
    "QualityMeter",
    "dc_phase_variation",
    "energy_by_period",
    "nearest_residual",
    "phase_variance",
    "psnr",
    "ssim",
]
