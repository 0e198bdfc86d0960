"""Max-unpooling against torch's, and guides that do not fit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.upsamplers.upsampler_cases import SCALES, build, image
from upsample_lab.upsamplers.unpool import unpool


def pooled(scale: int, channels: int = 4) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(image(3 * scale, 5 * scale, channels=channels), scale, return_indices=True)


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("scale", SCALES)
def test_same_as_torch(scale: int, channels_last: bool) -> None:
    values, guide = pooled(scale)
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    output = unpool(values.contiguous(memory_format=format_), guide, scale)
    assert torch.equal(output, F.max_unpool2d(values, guide, scale))
    assert output.is_contiguous(memory_format=format_)


def test_one_guide_for_all_channels() -> None:
    module = build("unpool")
    _, guide = pooled(2, channels=1)
    input = image(3, 5)
    torch.testing.assert_close(module(input, guide), module(input, guide.expand(-1, 4, -1, -1)))


@pytest.mark.parametrize(
    ("guide", "error", "message"),
    [
        (
            None,
            ValueError,
            r"guide=None: unpool needs the positions of the encoder's maxima, of the shape \[2, 4 or 1, 3, 5\]",
        ),
        (
            torch.zeros(2, 8, 3, 5, dtype=torch.int64),
            ValueError,
            r"guide has the shape \[2, 8, 3, 5\]: must be \[2, 4 or 1, 3, 5\]",
        ),
        (
            torch.zeros(2, 4, 6, 10, dtype=torch.int64),
            ValueError,
            r"guide has the shape \[2, 4, 6, 10\]: must be \[2, 4 or 1, 3, 5\]",
        ),
        (torch.zeros(2, 4, 3, 5), TypeError, "guide has the dtype torch.float32: must be torch.int64"),
    ],
    ids=["missing", "channels", "size", "dtype"],
)
def test_guides_that_do_not_fit(guide: Tensor | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build("unpool")(image(3, 5), guide)
