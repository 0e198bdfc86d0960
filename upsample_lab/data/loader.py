"""Batches from images that already lie in memory: one gather and one division a batch, no workers, no state."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

EPOCHS_KEPT = 2
"""Permutations held at once: the epoch being read and one neighbour."""
REORDER_LIMIT_BYTES = 256 << 20
"""Sets up to this size are copied into the memory format of the batches; CIFAR-10 has 154 MB. Larger ones may be
memory-mapped files that do not fit into memory, so they stay as they are and each batch is converted."""
COPY_CHUNK_IMAGES = 4096


def epoch_permutation(image_count: int, seed: int, epoch: int) -> Tensor:
    """Order of the images in `epoch`: int64 ``[image_count]``, derived from `seed` and `epoch` alone.

    Seed and epoch are hashed together, since neighbouring seeds of a generator may give related streams, and
    ``seed + epoch`` would give epoch 1 of seed 0 the order of epoch 0 of seed 1.
    """
    key = hashlib.sha256(f"order {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
    return torch.randperm(image_count, generator=generator)


def to_unit_range(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 0…255 → float 0…1, as torchvision's `ToTensor`: the float32 nearest to ``value / 255``.

    Multiplying with ``1 / 255`` would be a little quicker, but is off in the last bit for 126 of the 256 values.
    """
    return torch.div(images, 255).to(dtype)


def gather_to_unit_range(rows: Tensor, chosen: Tensor) -> Tensor:
    """``to_unit_range(rows[chosen])`` in float32, for rows ``[N, K]`` on the CPU and indices ``[B]`` -> ``[B, K]``.

    NumPy does it in one thread, on purpose. A batch takes some 50 µs, about what PyTorch's threads need to find
    together; and where other processes want the cores too, these wait for each other for milliseconds.
    """
    pixels = rows.numpy().take(chosen.numpy(), axis=0, mode="clip")  # "clip" spares a pass of checks: a permutation
    return torch.from_numpy(np.divide(pixels, np.float32(255), dtype=np.float32))


def fits_on(device: torch.device, images: Tensor) -> bool:
    """Whether `images` take at most half of the memory that is free on `device`; the model needs the rest."""
    if device.type != "cuda":
        return True
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= free_bytes // 2


def arranged(images: Tensor, device: torch.device, memory_format: torch.memory_format) -> Tensor:
    """`images` on `device` if they fit, and in `memory_format` if that costs nothing or they are not many."""
    home = device if fits_on(device, images) else torch.device("cpu")
    in_order = images.is_contiguous(memory_format=memory_format)
    if home.type == "cpu" and (in_order or (images.is_contiguous() and images.nbytes > REORDER_LIMIT_BYTES)):
        return images
    copy = torch.empty(images.shape, dtype=torch.uint8, device=home, memory_format=memory_format)
    for target, source in zip(copy.split(COPY_CHUNK_IMAGES), images.split(COPY_CHUNK_IMAGES), strict=True):
        target.copy_(source)  # in parts: a memory-mapped file is never in memory as a whole
    return copy


class BatchLoader:
    """Random access to shuffled batches: ``batch(step)`` depends on `seed` and `step` only, so resuming needs no state.

    The permutation of each epoch is cut into full batches; its incomplete rest is left out, and falls on other
    images in the next epoch. Where there are fewer images than `batch_size`, every batch holds all of them.

    Images are kept as uint8 on `device` (a quarter of their size as float32). Where they would take more than half
    of its free memory they stay on the CPU, and each batch is sent over as bytes.

    Args:
        images: uint8 ``[N, C, H, W]``.
        batch_size: images a batch.
        seed: decides the order, together with the step.
        device: where batches are returned.
        memory_format: of the batches. The images are stored that way, so that it costs nothing a batch, unless they
            are more than `REORDER_LIMIT_BYTES`: then they are read where they lie, and each batch is converted.
        dtype: of the batches; the division itself is in float32 (see `to_unit_range`).
        part: ``(k, K)``: return part k of every batch cut into K equal parts, for K processes that share the batches.

    Raises:
        ValueError: `images` are not uint8 ``[N, C, H, W]`` with N > 0, or `batch_size` is not positive, or batches
            cannot be cut into equal parts.
    """

    def __init__(
        self,
        images: Tensor,
        batch_size: int,
        seed: int,
        *,
        device: torch.device | str = "cpu",
        memory_format: torch.memory_format = torch.contiguous_format,
        dtype: torch.dtype = torch.float32,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or len(images) == 0:
            raise ValueError(f"images: uint8 [N, C, H, W] with N > 0 needed, got {images.dtype} {list(images.shape)}")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        self.batch_size = min(batch_size, len(images))
        self.steps_per_epoch = len(images) // self.batch_size
        number, parts = part
        if self.batch_size % parts or not 0 <= number < parts:
            raise ValueError(f"part={part}: batches of {self.batch_size} cannot be cut so")
        self._part_size = self.batch_size // parts
        self._part_start = number * self._part_size
        self._image_count = len(images)
        self._seed = seed
        self._device = torch.device(device)
        self._dtype = dtype
        self._memory_format = memory_format
        self._images = arranged(images, self._device, memory_format)
        self._converts = not self._images.is_contiguous(memory_format=memory_format)
        self._channels_last = memory_format == torch.channels_last and not self._converts
        # As [N, C·H·W] in the order of storage a row is one contiguous copy, whatever the memory format.
        stored = self._images.permute(0, 2, 3, 1) if self._channels_last else self._images
        self._stored_shape = stored.shape[1:]
        self._rows = stored.reshape(self._image_count, -1)
        self._orders: OrderedDict[int, Tensor] = OrderedDict()

    def order(self, epoch: int) -> Tensor:
        """The epoch's permutation, on the device that holds the images.

        Made at the epoch's first batch: for 55,000 images that takes 0.3 ms, less than the preparation of ten batches,
        so no thread is worth its trouble.
        """
        if epoch not in self._orders:
            order = epoch_permutation(self._image_count, self._seed, epoch)
            self._orders[epoch] = order.to(self._rows.device, non_blocking=True)
            while len(self._orders) > EPOCHS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[epoch]

    def batch(self, step: int) -> Tensor:
        """Batch number `step` (from 0, over all epochs), or its part: ``[B, C, H, W]`` in 0…1, newly allocated.

        Raises:
            IndexError: `step` is negative.
        """
        if step < 0:
            raise IndexError(f"step={step}: must not be negative")
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        first = step_in_epoch * self.batch_size + self._part_start
        chosen = self.order(epoch)[first : first + self._part_size]
        if self._device.type == "cpu":
            flat = gather_to_unit_range(self._rows, chosen).to(self._dtype)
        else:
            rows = self._rows.index_select(0, chosen)
            if rows.device.type == "cpu":
                rows = rows.pin_memory().to(self._device, non_blocking=True)
            flat = to_unit_range(rows, self._dtype)
        batch = flat.view(-1, *self._stored_shape)
        batch = batch.permute(0, 3, 1, 2) if self._channels_last else batch
        return batch.contiguous(memory_format=self._memory_format) if self._converts else batch


def eval_batches(
    images: Tensor,
    batch_size: int,
    device: torch.device | str = "cpu",
    *,
    memory_format: torch.memory_format = torch.contiguous_format,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Tensor]:
    """Every image once, in order, as float ``[B, C, H, W]`` in 0…1; the last batch may be smaller."""
    for part in images.split(batch_size):
        yield to_unit_range(part.to(device), dtype).contiguous(memory_format=memory_format)
