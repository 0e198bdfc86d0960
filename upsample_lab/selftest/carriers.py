"""The clean images that the self-test adds patterns to: real ones from disk, and a synthetic set that needs no file."""

import gzip
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IMAGE_COUNT = 1024
"""Images of a carrier: four disjoint sets of `probes.SET_SIZE`."""

_IDX_HEADER_BYTES = 16


def mnist_images(data_root: Path) -> Tensor:
    """The first of MNIST's test images, `[1024, 1, 28, 28]` in [0, 1], float64.

    Raises:
        FileNotFoundError: `MNIST/raw/t10k-images-idx3-ubyte.gz` is not below `data_root`.
    """
    archive = data_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    if not archive.is_file():
        raise FileNotFoundError(f"{archive} is not there; UPSAMPLE_LAB_DATA or --data-root names the data folder")
    pixels = np.frombuffer(gzip.decompress(archive.read_bytes()), np.uint8, offset=_IDX_HEADER_BYTES).reshape(
        -1, 1, 28, 28
    )
    return torch.tensor(pixels[:IMAGE_COUNT], dtype=torch.float64) / 255


def cifar10_jpeg_images(data_root: Path) -> Tensor:
    """Test images of CIFAR-10 (JPEG copy), the classes in turn, `[1024, 3, 32, 32]` in [0, 1], float64.

    Raises:
        FileNotFoundError: there are not enough images below `data_root / "cifar10-jpeg" / "test"`.
    """
    folder = data_root / "cifar10-jpeg" / "test"
    by_name = sorted(folder.glob("*/*.jpg"), key=lambda path: (path.name, path.parent.name))[:IMAGE_COUNT]
    if len(by_name) < IMAGE_COUNT:
        raise FileNotFoundError(f"{folder} holds {len(by_name)} JPEG images, the self-test needs {IMAGE_COUNT}")
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in by_name])
    return torch.tensor(pixels, dtype=torch.float64).permute(0, 3, 1, 2) / 255


def synthetic_images(data_root: Path | None = None) -> Tensor:
    """Seeded noise with the spectrum of natural images, `[1024, 1, 32, 32]` around 0.5, float64; needs no data.

    Amplitude falls as 1/frequency (Field, "Relations between the statistics of natural images and the response
    properties of cortical cells", J. Opt. Soc. Am. A 4(12), 1987), with a standard deviation of 0.2. Cut out of noise
    twice as large, so that opposite borders do not match, as in photographs.
    """
    size = 64
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(IMAGE_COUNT, 1, size, size, generator=generator, dtype=torch.float64)
    frequency = torch.fft.fftfreq(size, dtype=torch.float64)
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    radius[0, 0] = torch.inf  # no mean
    images = torch.fft.ifft2(torch.fft.fft2(noise) / radius).real
    return 0.5 + 0.2 * images[..., : size // 2, : size // 2] / images.std()


CARRIERS = {"mnist": mnist_images, "cifar10_jpeg": cifar10_jpeg_images, "synthetic": synthetic_images}
"""Name -> the function that loads it from a data folder."""

TITLES = {"mnist": "MNIST", "cifar10_jpeg": "CIFAR-10 (JPEG copy)", "synthetic": "synthetic 1/f images"}
