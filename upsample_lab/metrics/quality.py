"""Image quality against a target: PSNR and SSIM, one figure an image."""

import torch
from torch import Tensor

from upsample_lab.metrics._images import working_dtype

PSNR_CEILING_DB = 100.0
"""What identical images get instead of infinity, so that a mean over images and its JSON stay finite.

A single wrong pixel, by a single one of 255 levels, in an image of 392 x 392 is 100 dB (`20 log10 255 + 20 log10 392`).
"""

SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
_CHUNK_PIXELS = 2**18  # of one slice of a batch: 2 MiB a map in float64, which stays in the cache


def psnr(output: Tensor, target: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB: `[N, C, H, W], [N, C, H, W] -> [N]` (float64).

    `10 log10(data_range² / MSE)`, the mean squared error over the channels and pixels of one image, and at most
    `PSNR_CEILING_DB`. Differentiable below that ceiling.

    Raises:
        TypeError: integer images (divide by their largest value first).
        ValueError: shapes that differ or are not `[N, C, H, W]`; a data range that is not positive.
    """
    output, target = _checked_pair(output, target, data_range)
    mse = (output - target).square().flatten(1).mean(dim=1) / data_range**2
    return -10 * torch.log10(mse.clamp_min(10 ** (-PSNR_CEILING_DB / 10)))


def ssim(output: Tensor, target: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Structural similarity of each image, 1 for identical ones: `[N, C, H, W], [N, C, H, W] -> [N]` (float64).

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image
    Processing 13(4), 2004, eq. 13: Gaussian window 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population
    (co)variances. Averaged over the positions at which the whole window lies inside the image, then over channels.

    Raises:
        TypeError: integer images (divide by their largest value first).
        ValueError: shapes that differ or are not `[N, C, H, W]`; images smaller than the window, for which no position
            exists; a data range that is not positive.
    """
    output, target = _checked_pair(output, target, data_range)
    image_count, _, height, width = output.shape
    if min(height, width) < SSIM_WINDOW_PX:
        raise ValueError(
            f"ssim needs images of at least {SSIM_WINDOW_PX} x {SSIM_WINDOW_PX} pixels, got {height} x {width}"
        )
    rows, columns = _gaussian_band(height, output), _gaussian_band(width, output)
    chunk = max(1, _CHUNK_PIXELS // max(1, output[:1].numel()))
    scores = [
        _ssim_map(output[i : i + chunk], target[i : i + chunk], rows, columns, data_range).flatten(1).mean(dim=1)
        for i in range(0, image_count, chunk)
    ]
    return torch.cat(scores) if scores else output.new_zeros(0)


def _ssim_map(x: Tensor, y: Tensor, rows: Tensor, columns: Tensor, data_range: float) -> Tensor:
    """Eq. 13 at each position. Only the *sum* of the two variances is needed, so four filterings do for five."""

    def local_mean(image: Tensor) -> Tensor:
        return rows @ image @ columns.T

    c1, c2 = (SSIM_K1 * data_range) ** 2, (SSIM_K2 * data_range) ** 2
    mean_x, mean_y = local_mean(x), local_mean(y)
    product, energy = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance = local_mean(x * y) - product
    variances = local_mean(x.square() + y.square()) - energy
    return ((2 * product + c1) * (2 * covariance + c2)) / ((energy + c1) * (variances + c2))


def _gaussian_band(size_px: int, like: Tensor) -> Tensor:
    """The 1-D window as a banded matrix `[size - 10, size]`.

    A matrix product is the fastest separable filter for images of this lab's size on every device; beyond some 1000
    pixels a side a sum of shifted copies would win.
    """
    offsets = torch.arange(SSIM_WINDOW_PX, dtype=like.dtype, device=like.device) - SSIM_WINDOW_PX // 2
    window = torch.exp(-0.5 * (offsets / SSIM_SIGMA_PX).square())
    window = window / window.sum()
    positions = size_px - SSIM_WINDOW_PX + 1
    index = torch.arange(positions, device=like.device)[:, None] + torch.arange(SSIM_WINDOW_PX, device=like.device)
    return like.new_zeros(positions, size_px).scatter_(1, index, window.expand(positions, -1))


def _checked_pair(output: Tensor, target: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    if not (output.is_floating_point() and target.is_floating_point()):
        raise TypeError(
            f"output and target must be floating point (divide 8-bit images by 255), got {output.dtype}, {target.dtype}"
        )
    if output.ndim != 4 or output.shape != target.shape:
        raise ValueError(
            "output and target must have the same shape [N, C, H, W], "
            f"got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    if not data_range > 0:
        raise ValueError(f"data_range must be positive, got {data_range}")
    dtype = working_dtype(output.device)
    return output.to(dtype), target.to(dtype)
