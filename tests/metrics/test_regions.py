"""Regions of an image: every pixel in one, edges where the edges are, and errors that add up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from upsample_lab.metrics import REGIONS, region_masks, regional_squared_error
from upsample_lab.metrics.regions import EDGE_SHARE, FLAT_GRADIENT

EDGES, FLAT, REST = range(len(REGIONS))


def masks_by_definition(image: Tensor) -> Tensor:
    """`[C, H, W] -> [3, H, W]`, pixel by pixel."""
    channels, height, width = image.shape
    gradient = torch.zeros(height, width, dtype=image.dtype)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for c in range(channels):
                across = image[c, y, min(x + 1, width - 1)] - image[c, y, max(x - 1, 0)]
                down = image[c, min(y + 1, height - 1), x] - image[c, max(y - 1, 0), x]
                total += float(across / 2) ** 2 + float(down / 2) ** 2
            gradient[y, x] = math.sqrt(total)
    threshold = gradient.flatten().sort(descending=True).values[math.ceil(EDGE_SHARE * height * width) - 1]
    flat = gradient <= FLAT_GRADIENT * (1 + 1e-6)
    edges = (gradient >= threshold) & ~flat
    return torch.stack([edges, flat, ~(edges | flat)])


@pytest.mark.parametrize("shape", [(1, 12, 9), (3, 8, 8)])
def test_regions_follow_their_definition(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(4, *shape, generator=generator, dtype=torch.float64).cumsum(-1) / 20
    images = (smooth * 255).round() / 255
    images[1, :, 4:] = 0.5
    expected = torch.stack([masks_by_definition(image) for image in images])
    assert torch.equal(region_masks(images), expected)


def test_every_pixel_is_in_one_region_and_a_square_has_its_edge_on_its_border() -> None:
    square = torch.zeros(1, 1, 20, 20)
    square[..., 6:14, 6:14] = 1
    masks = region_masks(square)[0]
    assert torch.equal(masks.sum(dim=0), torch.ones(20, 20, dtype=torch.long))
    assert masks[FLAT, 0, 0]
    assert masks[FLAT, 10, 10]
    assert masks[EDGES, 6, 10]
    assert not masks[REST].any()
    assert region_masks(torch.full((1, 1, 8, 8), 0.3))[0, FLAT].all(), "a constant image is all flat"
    one_level = torch.arange(16.0).div(255).expand(1, 1, 16, 16)
    assert region_masks(one_level)[0, FLAT].all(), "one level a pixel is flat, also in float32"


def test_errors_of_the_regions_add_up_to_that_of_the_image() -> None:
    generator = torch.Generator().manual_seed(1)
    output, target = torch.rand(2, 5, 3, 16, 16, generator=generator)
    sums, values = regional_squared_error(output, target)
    squared = (output.double() - target.double()).square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(sums.sum(dim=1), squared)
    assert torch.equal(values.sum(dim=1), torch.full((5,), 3 * 16 * 16))
