"""What every data set ends as: three uint8 tensors; and the one error that reading it may end in."""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class DataError(Exception):
    """The images cannot be had. The message is one line: where they were looked for, and what to do."""


class DataSource(NamedTuple):
    """What a data set's files hold, uint8 ``[N, C, H, W]``, before it is split."""

    train: Tensor
    test: Tensor
    notes: tuple[str, ...] = ()
    pixels: str = ""
    """A digest of all pixels where one is known already: files larger than memory should not be read for it."""


@dataclass(frozen=True)
class ImageSets:
    """Images of one data set, uint8 ``[N, C, H, W]`` on the CPU, contiguous; `notes` tells what a reader must know.

    They may be views of a memory-mapped file that is larger than memory: read them in parts, copy no set as a whole.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    notes: tuple[str, ...] = ()
    pixels: str = ""
    """Of the source, see there."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of every image."""
        _, channels, height, width = self.train.shape
        return channels, height, width


def split_sets(
    name: str,
    train: Tensor,
    test: Tensor,
    *,
    validation_count: int,
    limit: int | None = None,
    notes: tuple[str, ...] = (),
    pixels: str = "",
) -> ImageSets:
    """Take the validation images from the end of `train`, then keep the first `limit` of what is left.

    So `limit` never changes the images that runs are judged by. At most a fifth of the training images is taken for
    validation, and always at least one image.

    Raises:
        DataError: there are not two training images and one test image, or a count is not positive.
    """
    if validation_count < 1:
        raise DataError(f"data.validation_count={validation_count}: at least 1 image is needed to validate")
    if limit is not None and limit < 1:
        raise DataError(f"data.limit={limit}: must be at least 1, or null for all training images")
    if len(train) < 2 or len(test) < 1:
        raise DataError(
            f"{name}: {len(train)} training and {len(test)} test image(s), "
            "but at least 2 (one of them to validate) and 1 are needed"
        )
    held_out = min(validation_count, max(1, len(train) // 5))
    if held_out < validation_count:
        notes += (f"{held_out} images validate, not {validation_count}: a fifth of the {len(train)} training images",)
    kept = train[: len(train) - held_out]
    return ImageSets(name, kept[:limit], train[len(train) - held_out :], test, notes, pixels)


def dataset_digest(sets: ImageSets) -> str:
    """First 16 hex digits of the SHA-256 over shapes and pixels: two runs with the same digest saw the same images.

    Where the source's pixels have a digest already, that stands for them: the shapes tell how they were split.
    """
    digest = hashlib.sha256(sets.pixels.encode())
    for part in (sets.train, sets.validation, sets.test):
        digest.update(repr(tuple(part.shape)).encode())
        if sets.pixels:
            continue
        digest.update(part.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def image_facts(sets: ImageSets, files: str) -> dict[str, Any]:
    """What a run's capsule keeps of its images; `files` is the state of the files that they were read from."""
    counts = {part: len(getattr(sets, part)) for part in ("train", "validation", "test")}
    return {"name": sets.name, "digest": dataset_digest(sets), "files": files, **counts, "notes": list(sets.notes)}
