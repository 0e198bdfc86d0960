"""Image quality and upsampling artifacts, measured. Imports nothing else of the package.

`quality` has PSNR and SSIM, `phases` what repeats with a pixel's phase, `spectrum` lines and the radial spectrum;
`artifacts` gathers the two for images without a target, `meter` everything for a validation set with targets;
`regions` says where in an image an error lies; `losses` has the differentiable counterparts for training.
"""

from upsample_lab.metrics.artifacts import (
    LINE_PERIODS,
    ORIENTATIONS,
    ArtifactMeter,
    PhaseVariance,
    RadialSpectrum,
    dc_phase_variation,
    energy_by_period,
    image_artifacts,
    line_energy_db,
    nearest_residual,
    phase_variance,
    radial_power_spectrum,
)
from upsample_lab.metrics.levels import LEVELS, FlatWindows, Pattern, pattern_levels
from upsample_lab.metrics.losses import phase_gain_penalty, spectral_loss
from upsample_lab.metrics.meter import QualityMeter
from upsample_lab.metrics.quality import PSNR_CEILING_DB, psnr, ssim
from upsample_lab.metrics.regions import REGIONS, region_masks, regional_squared_error

__all__ = [
    "LEVELS",
    "LINE_PERIODS",
    "ORIENTATIONS",
    "PSNR_CEILING_DB",
    "REGIONS",
    "ArtifactMeter",
    "FlatWindows",
    "Pattern",
    "PhaseVariance",
    "QualityMeter",
    "RadialSpectrum",
    "dc_phase_variation",
    "energy_by_period",
    "image_artifacts",
    "line_energy_db",
    "nearest_residual",
    "pattern_levels",
    "phase_gain_penalty",
    "phase_variance",
    "psnr",
    "radial_power_spectrum",
    "region_masks",
    "regional_squared_error",
    "spectral_loss",
    "ssim",
]
