"""Single images of every mode and shape, and files that are none."""

import io

import numpy as np
import pytest
from PIL import Image

from upsample_lab.data.decode import UnusableImageError, decode

SIZE = 16


def grey_ramp(width=SIZE, height=SIZE) -> np.ndarray:
    return np.linspace(0, 255, width * height).round().astype(np.uint8).reshape(height, width)


def saved(tmp_path, image: Image.Image, name: str = "image.png", **options: object):
    path = tmp_path / name
    image.save(path, **options)
    return path


def red(mode: str, alpha: int = 255) -> Image.Image:
    return Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, alpha)).convert(mode)


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "ppm", "tif", "webp"])
def test_lossless_formats_come_through_unchanged(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 8, (SIZE, SIZE, 3), np.uint8) * 36
    image = Image.fromarray(pixels)
    if suffix == "gif":
        image = image.quantize(256, dither=Image.Dither.NONE)
        pixels = np.asarray(image.convert("RGB"))
    path = saved(tmp_path, image, f"image.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    decoded, enlarged = decode(path, SIZE, 3)
    assert np.array_equal(decoded, pixels.transpose(2, 0, 1))
    assert not enlarged


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (red("RGB"), "a.png", (255, 0, 0)),
        (red("RGBA", 0), "a.png", (255, 255, 255)),
        (red("RGBA", 51), "a.png", (255, 204, 204)),
        (red("RGB").convert("P"), "a.png", (255, 0, 0)),
        (red("RGBA", 0).quantize(2), "a.png", (255, 255, 255)),
        (red("CMYK"), "a.tif", (255, 0, 0)),
        (red("CMYK"), "a.jpg", (254, 0, 0)),
        (Image.new("L", (SIZE, SIZE), 77), "a.png", (77, 77, 77)),
        (Image.new("LA", (SIZE, SIZE), (0, 0)), "a.png", (255, 255, 255)),
        (Image.new("LA", (SIZE, SIZE), (77, 255)), "a.png", (77, 77, 77)),
        (Image.new("1", (SIZE, SIZE), 1), "a.png", (255, 255, 255)),
        (Image.new("I;16", (SIZE, SIZE), 65535), "a.png", (255, 255, 255)),
        (Image.new("I;16", (SIZE, SIZE), 0x7F7F), "a.tif", (127, 127, 127)),
        (Image.new("I", (SIZE, SIZE), 257 * 10), "a.tif", (10, 10, 10)),
        (red("YCbCr"), "a.jpg", (254, 0, 0)),
    ],
    ids=[
        "RGB", "transparent", "half transparent", "palette", "transparent palette", "CMYK", "CMYK jpeg", "grey",
        "transparent grey", "grey with alpha", "1 bit", "16 bit", "16 bit tiff", "32 bit", "YCbCr",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [SIZE, SIZE // 2, 2 * SIZE], ids=["same", "smaller", "larger"])
def test_every_mode_has_the_colours_that_a_viewer_shows(tmp_path, image, name, expected, size):
    path = saved(tmp_path, image, name)
    colour, enlarged = decode(path, size, 3)
    assert colour.shape == (3, size, size)
    assert colour.dtype == np.uint8
    assert np.abs(colour.reshape(3, -1).astype(int) - np.array(expected)[:, None]).max() <= 1
    assert enlarged == (size > SIZE)
    grey, _ = decode(path, size, 1)
    luma = np.dot((0.299, 0.587, 0.114), expected)  # ITU-R BT.601, as Pillow
    assert grey.shape == (1, size, size)
    assert np.abs(grey - luma).max() <= 1.5


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    decoded, _ = decode(saved(tmp_path, Image.fromarray(values)), SIZE, 1)
    assert np.array_equal(decoded[0], (values / 257).round().astype(np.uint8))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("L", (SIZE, SIZE), value) for value in (10, 100, 200)]
    path = saved(tmp_path, frames[0], "image.gif", save_all=True, append_images=frames[1:])
    assert np.all(decode(path, SIZE, 1)[0] == 10)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    """As the EXIF standard numbers them: which side of the picture row 0 and column 0 of the file are."""
    upright = grey_ramp()
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(decode(path, SIZE, 1)[0][0], upright)


@pytest.mark.parametrize(("width", "height"), [(40, 16), (16, 40), (41, 17)])
def test_the_middle_square_is_taken(tmp_path, width, height):
    pixels = np.zeros((height, width), np.uint8)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    pixels[top : top + side, left : left + side] = 255
    decoded, _ = decode(saved(tmp_path, Image.fromarray(pixels)), 16, 1)
    assert decoded[0, 1:-1, 1:-1].min() == 255
    assert decoded.min() > 240  # the filter of the outermost pixels may reach a little beyond


def test_scaling_down_is_antialiased_and_does_not_ring(tmp_path):
    stripes = np.zeros((128, 128), np.uint8)
    stripes[:, ::2] = 255
    decoded, _ = decode(saved(tmp_path, Image.fromarray(stripes)), 16, 1)
    assert np.abs(decoded[0].astype(int) - 127).max() < 12  # every second line would be all 0 or all 255
    edge = np.full((128, 128), 100, np.uint8)
    edge[:, 64:] = 150
    decoded, _ = decode(saved(tmp_path, Image.fromarray(edge)), 16, 1)
    assert decoded.min() == 100
    assert decoded.max() == 150


@pytest.mark.parametrize("shape", [(1, 1), (1, 30_000), (30_000, 1)], ids=["1x1", "wide", "high"])
def test_odd_shapes(tmp_path, shape):
    decoded, enlarged = decode(saved(tmp_path, Image.new("L", shape, 9)), SIZE, 1)
    assert np.all(decoded == 9)
    assert enlarged


def test_a_large_jpeg_is_close_to_its_slow_reading(tmp_path):
    smooth = Image.fromarray(grey_ramp(600, 500)).resize((600, 500))
    decoded, _ = decode(saved(tmp_path, smooth, "image.jpg", quality=95), SIZE, 1)
    square = smooth.crop((50, 0, 550, 500)).resize((SIZE, SIZE), Image.Resampling.BOX)
    assert np.abs(decoded[0].astype(int) - np.asarray(square)).max() <= 4


def jpeg(image: Image.Image | None = None) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(grey_ramp(200, 200))).save(stream, "JPEG")
    return stream.getvalue()


def png() -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def float_tiff() -> bytes:
    stream = io.BytesIO()
    Image.new("F", (SIZE, SIZE), 0.5).save(stream, "TIFF")
    return stream.getvalue()


def wide_integers() -> bytes:
    stream = io.BytesIO()
    Image.new("I", (SIZE, SIZE), 1 << 20).save(stream, "TIFF")
    return stream.getvalue()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty file"),
        (b"plain text", "not an image"),
        (jpeg()[: len(jpeg()) // 2], "truncated"),
        (jpeg()[:20], "not an image|truncated"),
        (png()[:1000], "truncated"),
        (png()[:40], "truncated|not an image"),
        (png().replace(b"IDAT", b"IXXT"), "."),
        (float_tiff(), "floating-point"),
        (wide_integers(), "beyond 16 bits"),
        (EPS, "not an image"),
        (b"GIF89a" + bytes(20), "."),
        (b"\x80\x04\x95cos\nsystem\n", "not an image"),
    ],
    ids=[
        "empty", "text", "half a jpeg", "jpeg header", "half a png", "png header", "png without pixels", "float",
        "32 bit", "eps", "gif of nothing", "pickle",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_unusable_files_say_why(tmp_path, content, cause):
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    with pytest.raises(UnusableImageError, match=cause) as caught:
        decode(path, SIZE, 3)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_decompression_bomb_is_not_decoded(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.new("L", (200, 200)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 200)
    decode(path, SIZE, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 200 - 1)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(UnusableImageError, match="more than Pillow's limit of 39999 pixels"),
    ):
        decode(path, SIZE, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # where Pillow itself refuses
    with pytest.raises(UnusableImageError, match="more than Pillow's limit of 100 pixels"):
        decode(path, SIZE, 1)


def test_a_file_that_disappeared(tmp_path):
    with pytest.raises(UnusableImageError, match="No such file"):
        decode(tmp_path / "gone.png", SIZE, 1)
