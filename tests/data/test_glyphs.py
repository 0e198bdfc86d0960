"""The built-in set: bit-identical for a seed, and digits at all."""

import hashlib

import numpy as np
import pytest
import torch

from upsample_lab.data.glyphs import FIELD_SIZE, distance_field, distort, make_glyphs, masters_digest

MASTERS = "7e53d31b366b479b"
"""Of the digits as Pillow 10.1 to 13.0 draw them."""


def digest(images: torch.Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16]


def square(side: int) -> np.ndarray:
    return np.ones((side, side), bool)


def test_distortion_is_bit_identical_whatever_draws_the_masters():
    images = distort(distance_field(square(90))[None], 64, seed=5, stream=0)
    assert digest(images) == "9f617e7f0df95a6b"


def test_glyphs_are_bit_identical():
    assert masters_digest() == MASTERS, "this Pillow draws its digits differently: glyphs are other images with it"
    assert digest(make_glyphs(200, seed=0, stream=0)) == "0299af843e9a9820"


def test_a_longer_set_begins_with_the_shorter_one():
    long = make_glyphs(2100, seed=1, stream=0)  # more than one chunk
    assert torch.equal(long[:30], make_glyphs(30, seed=1, stream=0))


@pytest.mark.parametrize(("seed", "stream"), [(0, 1), (1, 0), (1, 1)])
def test_seeds_and_streams_give_other_images(seed, stream):
    assert not torch.equal(make_glyphs(10, seed, stream), make_glyphs(10, 0, 0))


def test_images_look_like_mnist():
    images = make_glyphs(1000, seed=0, stream=0)
    assert images.shape == (1000, 1, 28, 28)
    assert images.dtype == torch.uint8
    ink = images.float().mean() / 255
    assert 0.10 < ink < 0.17  # MNIST: 0.13
    border = torch.cat((images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]), -1)
    assert (border > 127).float().mean() < 0.01  # hardly a digit is cut off
    grey = ((images > 0) & (images < 255)).float().mean()
    assert 0.03 < grey < 0.2  # edges are soft
    assert len(images.flatten(1).unique(dim=0)) == 1000


def test_each_digit_is_most_like_another_of_its_kind():
    known = make_glyphs(2000, seed=0, stream=0).float().flatten(1)
    others = make_glyphs(500, seed=0, stream=1).float().flatten(1)
    nearest = torch.cdist(others, known).argmin(1)
    assert (nearest % 10 == torch.arange(500) % 10).float().mean() > 0.85


def test_distance_field_of_a_square():
    # 90 pixels fill 72 samples, which stand for 20 output pixels: the centre is 10 of these from the edge.
    field = distance_field(square(90))
    middle = FIELD_SIZE // 2
    assert field[middle, middle] == pytest.approx(10, abs=0.2)
    assert field[middle, 0] == pytest.approx(-(FIELD_SIZE - 72) / 2 * 20 / 72, abs=0.2)
    assert (field > 0).sum() == pytest.approx(72 * 72, rel=0.03)
