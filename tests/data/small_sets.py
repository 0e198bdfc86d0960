"""Small data sets in the official formats."""

import gzip
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from upsample_lab.data.download import RemoteFile
from upsample_lab.data.mnist import IdxSource


def idx_bytes(images: np.ndarray, magic: bytes = bytes((0, 0, 8, 3))) -> bytes:
    """An idx file of uint8 images ``[N, H, W]``."""
    return magic + np.array(images.shape, ">u4").tobytes() + images.tobytes()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def remote(name: str, content: bytes) -> RemoteFile:
    return RemoteFile(name, md5(content), max_bytes=1 << 20)


@dataclass
class SmallMnist:
    """Ten training images and four test images as archives that no digest of the real ones fits."""

    train: np.ndarray
    test: np.ndarray
    archives: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.archives = {
            "train-images-idx3-ubyte.gz": gzip.compress(idx_bytes(self.train), mtime=0),
            "t10k-images-idx3-ubyte.gz": gzip.compress(idx_bytes(self.test), mtime=0),
        }

    @property
    def source(self) -> IdxSource:
        return IdxSource("MNIST/raw", *(remote(name, content) for name, content in self.archives.items()))

    def write(self, root: Path) -> Path:
        folder = root / "MNIST" / "raw"
        folder.mkdir(parents=True)
        for name, content in self.archives.items():
            (folder / name).write_bytes(content)
        return folder
