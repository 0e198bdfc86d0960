"""The batch loader: what it returns, and that it depends on seed and step alone."""

import numpy as np
import pytest
import torch

from upsample_lab.data import BatchLoader, eval_batches
from upsample_lab.data.loader import epoch_permutation, gather_to_unit_range, to_unit_range


def numbered(count: int, channels: int = 1, side: int = 3) -> torch.Tensor:
    """Images of random bytes whose first value is the image's number."""
    images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count)
    return images


def numbers(batch: torch.Tensor) -> list[int]:
    return (batch[:, 0, 0, 0] * 255).round().int().tolist()


def test_values_are_to_tensors_for_every_byte():
    to_tensor = pytest.importorskip("torchvision.transforms.functional").to_tensor
    every_byte = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    expected = to_tensor(every_byte).flatten()
    rows = torch.arange(256, dtype=torch.uint8)[None]
    assert torch.equal(to_unit_range(rows)[0], expected)
    assert torch.equal(gather_to_unit_range(rows, torch.tensor([0]))[0], expected)
    assert torch.equal(expected, (torch.arange(256, dtype=torch.float64) / 255).float())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_batch_is_the_chosen_images(channels, dtype, memory_format):
    images = numbered(20, channels, side=5)
    loader = BatchLoader(images, 6, seed=3, memory_format=memory_format, dtype=dtype)
    chosen = epoch_permutation(20, 3, 1)[6:12]
    batch = loader.batch(4)  # three steps an epoch: the second of epoch 1
    assert torch.equal(batch, (images[chosen].float() / 255).to(dtype))
    assert batch.dtype == dtype
    assert batch.is_contiguous(memory_format=memory_format)


def test_batch_depends_on_seed_and_step_alone():
    images = numbered(50)
    in_order, at_random = BatchLoader(images, 8, seed=1), BatchLoader(images, 8, seed=1)
    batches = [in_order.batch(step) for step in range(40)]
    for step in torch.randperm(40).tolist():
        assert torch.equal(at_random.batch(step), batches[step])
    assert not torch.equal(BatchLoader(images, 8, seed=2).batch(0), batches[0])


def test_an_epoch_shows_each_image_at_most_once_and_full_batches_only():
    loader = BatchLoader(numbered(53), 8, seed=0)
    assert loader.steps_per_epoch == 6
    for epoch in range(3):
        shown = [n for step in range(6) for n in numbers(loader.batch(epoch * 6 + step))]
        assert len(shown) == len(set(shown)) == 48
    # What one epoch leaves out, others show.
    assert {n for step in range(60) for n in numbers(loader.batch(step))} == set(range(53))


def test_orders_of_epochs_and_seeds_are_unrelated():
    orders = {tuple(epoch_permutation(30, seed, epoch).tolist()) for seed in range(8) for epoch in range(8)}
    assert len(orders) == 64  # among others, epoch 1 of seed 0 is not epoch 0 of seed 1


def test_fewer_images_than_a_batch_are_one_batch_of_all():
    loader = BatchLoader(numbered(5), 128, seed=0)
    assert loader.steps_per_epoch == 1
    assert sorted(numbers(loader.batch(7))) == [0, 1, 2, 3, 4]


def test_batches_share_no_memory():
    loader = BatchLoader(numbered(16), 16, seed=0)
    first = loader.batch(0)
    kept = first.clone()
    loader.batch(0).zero_()
    loader.batch(1)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_eval_batches_show_every_image_once_in_order(count):
    images = numbered(count, 3)
    batches = list(eval_batches(images, 4, memory_format=torch.channels_last))
    assert torch.equal(torch.cat(batches), images.float() / 255)
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in batches)


@pytest.mark.parametrize(
    ("images", "batch_size", "message"),
    [
        (torch.zeros(4, 1, 2, 2), 2, "uint8"),
        (torch.zeros(4, 4, dtype=torch.uint8), 2, r"\[4, 4\]"),
        (torch.zeros(0, 1, 2, 2, dtype=torch.uint8), 2, "N > 0"),
        (torch.zeros(4, 1, 2, 2, dtype=torch.uint8), 0, "batch_size=0"),
    ],
    ids=["float", "no channels", "no images", "empty batch"],
)
def test_unusable_arguments_are_refused(images, batch_size, message):
    with pytest.raises(ValueError, match=message):
        BatchLoader(images, batch_size, seed=0)


def test_negative_step_is_refused():
    with pytest.raises(IndexError, match="step=-1"):
        BatchLoader(numbered(4), 2, seed=0).batch(-1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("resident", [True, False], ids=["on the device", "too large for it"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_the_device_changes_nothing(memory_format, resident, monkeypatch):
    monkeypatch.setattr("upsample_lab.data.loader.fits_on", lambda device, images: resident)
    images = numbered(200, 3, side=8)
    here = BatchLoader(images, 32, seed=0, memory_format=memory_format)
    there = BatchLoader(images, 32, seed=0, memory_format=memory_format, device="cuda")
    for step in range(14):
        batch = there.batch(step)
        assert batch.is_cuda
        assert batch.is_contiguous(memory_format=memory_format)
        assert torch.equal(batch.cpu(), here.batch(step))
