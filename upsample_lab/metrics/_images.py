"""What every metric does to its input first: accept NumPy or torch, check the shape, and work in float64."""

import numpy as np
import torch
from torch import Tensor

MIN_SIZE_PX = 8
"""Smallest height and width that the artifact metrics accept."""

ImageArray = Tensor | np.ndarray


def working_dtype(device: torch.device) -> torch.dtype:
    """float64 wherever the device has it (Apple's MPS has not), so that sums over 10,000 images stay exact."""
    return torch.float32 if device.type == "mps" else torch.float64


def as_images(images: ImageArray, *, name: str = "images", min_size_px: int = MIN_SIZE_PX) -> Tensor:
    """`[N, C, H, W]`, NumPy or torch, any number type -> a detached tensor of the working precision, same values.

    Raises:
        TypeError: not an array, or complex numbers.
        ValueError: not four-dimensional, empty, or smaller than `min_size_px` on a side.
    """
    if isinstance(images, np.ndarray):
        images = torch.tensor(np.ascontiguousarray(images))  # a copy, so a read-only array will do
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a torch tensor or a NumPy array [N, C, H, W], got {type(images).__name__}")
    if images.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {images.dtype}")
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"{name} must be a non-empty batch [N, C, H, W], got shape {tuple(images.shape)}")
    height, width = images.shape[-2:]
    if min(height, width) < min_size_px:
        raise ValueError(f"{name} must be at least {min_size_px} x {min_size_px} pixels, got {height} x {width}")
    return images.detach().to(working_dtype(images.device))


def check_period(period: int, size_px: tuple[int, int], *, repeats: int = 1) -> None:
    """Refuse a period that is no integer above 1, or that an image of `size_px` does not show `repeats` times.

    Raises:
        TypeError: `period` is not an integer.
        ValueError: it is below 2, or the image is smaller than `repeats * period` on a side.
    """
    if isinstance(period, bool) or not isinstance(period, int):
        raise TypeError(f"period must be an integer number of pixels, got {period!r}")
    if period < 2:
        raise ValueError(f"period must be at least 2 pixels, got {period}")
    need_px = repeats * period
    if min(size_px) < need_px:
        height, width = size_px
        raise ValueError(
            f"period {period} needs images of at least {need_px} x {need_px} pixels, got {height} x {width}"
        )
