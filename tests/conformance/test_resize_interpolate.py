"""`resize` against `torch.nn.functional.interpolate`: values, gradients and memory formats."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from upsample_lab.resize import resize

CASES = [("nearest", None), *itertools.product(("bilinear", "bicubic"), (False, True))]
SIZES = [(1, 1), (1, 6), (2, 3), (7, 5), (14, 14), (31, 33), (40, 9)]
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.mark.parametrize(("mode", "align_corners"), CASES, ids=str)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("memory_format", FORMATS.values(), ids=FORMATS)
def test_equals_interpolate(
    mode: str, align_corners: bool | None, scale: int, memory_format: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    theirs: dict[str, Any] = {} if align_corners is None else {"align_corners": align_corners}
    for size in SIZES:
        image = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
        image = image.contiguous(memory_format=memory_format).requires_grad_()
        output = resize(image, scale, mode=mode, align_corners=bool(align_corners))
        expected = F.interpolate(image, scale_factor=scale, mode=mode, **theirs)
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
        assert output.stride() == expected.stride()

        direction = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
        ours, reference = (torch.autograd.grad(result, image, direction)[0] for result in (output, expected))
        torch.testing.assert_close(ours, reference, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_align_corners_false_is_the_default_also_for_nearest(mode: str) -> None:
    image = torch.randn(1, 1, 4, 4)
    assert torch.equal(resize(image, 2, mode=mode, align_corners=False), resize(image, 2, mode=mode))


def test_nearest_ignores_align_corners() -> None:
    image = torch.randn(1, 1, 4, 4)
    assert torch.equal(resize(image, 2, mode="nearest", align_corners=True), resize(image, 2))
