"""Where in an image an error lies: on its edges, on its flat areas, or in between."""

import math

import torch
from torch import Tensor

from upsample_lab.metrics._images import working_dtype

REGIONS = ("edges", "flat", "rest")
EDGE_SHARE = 0.2  # of an image's pixels
FLAT_GRADIENT = 1 / 255  # one 8-bit level a pixel: what rounding to 8 bits makes of a slope by itself


def gradient_magnitude(images: Tensor) -> Tensor:
    """Central differences, replicated at the border: `[N, C, H, W] -> [N, H, W]`, per pixel; channels add in square."""
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return (across.square() + down.square()).sum(dim=1).sqrt()


def region_masks(images: Tensor) -> Tensor:
    """The regions of each image, in the order of `REGIONS`: `[N, C, H, W]` in 0…1 `-> [N, 3, H, W]` (bool).

    Edges are the fifth of an image's pixels with the largest gradient (more where several share the smallest of these),
    less those that are flat: pixels with a gradient of at most one 8-bit level. Every pixel is in one region.
    """
    gradient = gradient_magnitude(images)
    flat = gradient <= FLAT_GRADIENT * (1 + 1e-6)  # float32 differences of 8-bit levels are off in the last bit
    ranked = gradient.flatten(1)
    count = math.ceil(EDGE_SHARE * ranked.shape[1])
    threshold = ranked.topk(count, dim=1).values[:, -1]
    edges = (gradient >= threshold[:, None, None]) & ~flat
    return torch.stack([edges, flat, ~(edges | flat)], dim=1)


def regional_squared_error(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error summed over each region of the target: `[N, C, H, W]` twice `-> [N, 3]` (float64), and its values.

    The second tensor `[N, 3]` (int64) counts the values, pixels times channels, so that means can be taken over any set
    of images.
    """
    masks = region_masks(target)
    squared = (output - target).to(working_dtype(output.device)).square().sum(dim=1)
    sums = (squared[:, None] * masks).sum(dim=(2, 3))
    return sums, masks.sum(dim=(2, 3)) * target.shape[1]
