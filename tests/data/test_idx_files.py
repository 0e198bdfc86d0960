"""idx files: the format, and everything that is not it."""

import gzip
import tracemalloc

import numpy as np
import pytest

from tests.data.small_sets import idx_bytes
from upsample_lab.data.idx import read_idx_images
from upsample_lab.data.sets import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6), np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_round_trip(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(idx_bytes(IMAGES)))
    assert np.array_equal(read_idx_images(path)[:, 0].numpy(), IMAGES)


GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (GOOD[:10], "not an idx file"),
        (b"\x00\x00\x08\x01" + GOOD[4:], "begins with 00000801"),  # labels
        (b"\x00\x00\x0d\x03" + GOOD[4:], "begins with 00000d03"),  # floats
        (GOOD[:-1], "ends after 119 of the 120"),
        (GOOD + b"\0", "more than the 120"),
        (GOOD[:4] + b"\0\0\0\0" + GOOD[8:], "0 images"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "cannot be right"),
        (gzip.compress(GOOD)[:-12], "cannot be read"),
        (gzip.compress(GOOD)[:-6] + b"\1\2\3\4\5\6", "cannot be read"),
        (gzip.compress(GOOD)[:20] + b"\xff" * 9, "cannot be read"),
        (gzip.compress(idx_bytes(IMAGES) + bytes(50_000_000)), "more than the 120"),  # a bomb
        (b"<html>404</html>", "begins with 3c68746d"),
    ],
    ids=[
        "empty", "short header", "labels", "floats", "short", "long", "no images", "absurd size", "cut gzip",
        "wrong crc", "broken deflate", "bomb", "web page",
    ],
)  # fmt: skip
def test_malformed_files_end_in_one_line(tmp_path, content, message):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx_images(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than"):
            read_idx_images(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000
