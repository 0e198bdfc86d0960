"""Sets larger than memory: what is read in parts stays in parts, and costs the same memory for any number of images."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from upsample_lab.data import BatchLoader, dataset_digest, eval_batches, image_folder, load_images, loader
from upsample_lab.data.image_folder import FolderSettings
from upsample_lab.data.sets import split_sets

STATUS = Path("/proc/self/status")
ALLOWANCE_BYTES = 48 << 20
"""Some ten batches, and what the allocator keeps."""
SIDE_PX, CHANNELS, BATCH = 64, 3, 64
COUNT = 300 * 1024**2 // (CHANNELS * SIDE_PX**2)  # 300 MiB, more than six allowances


def own_bytes() -> int:
    """Memory that belongs to this process alone: without the pages of files, which the kernel takes back at will."""
    (kilobytes,) = re.findall(r"RssAnon:\s+(\d+) kB", STATUS.read_text())
    return int(kilobytes) << 10


@pytest.fixture
def mapped(tmp_path: Path) -> torch.Tensor:
    """A cache of 300 MiB as the converter leaves one, of zeros that take no room on disk."""
    settings = FolderSettings(SIDE_PX, CHANNELS, 0.1)
    path = tmp_path / "train.npy"
    with path.open("wb") as file:
        file.write(image_folder._npy_header(COUNT, settings))
        file.truncate(image_folder.NPY_HEADER_BYTES + COUNT * CHANNELS * SIDE_PX**2)
    return image_folder._map_array(path, COUNT, settings)


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux's /proc")
def test_a_mapped_set_takes_no_memory(mapped: torch.Tensor) -> None:
    before = own_bytes()
    sets = split_sets("folder", mapped, mapped[:100], validation_count=2000, pixels="known")
    batches = BatchLoader(sets.train, BATCH, seed=0, memory_format=torch.channels_last)
    highest = own_bytes()
    for step in range(batches.steps_per_epoch):
        assert batches.batch(step).shape == (BATCH, CHANNELS, SIDE_PX, SIDE_PX)
        if step % 16 == 0:
            highest = max(highest, own_bytes())
    for batch in eval_batches(sets.validation, BATCH, memory_format=torch.channels_last):
        assert batch.is_contiguous(memory_format=torch.channels_last)
    dataset_digest(sets)
    highest = max(highest, own_bytes())
    assert sets.train.nbytes > 4 * ALLOWANCE_BYTES
    assert highest - before < ALLOWANCE_BYTES


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("part", [(0, 1), (1, 2)])
def test_batches_are_the_same_where_the_set_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, memory_format: torch.memory_format, part: tuple[int, int]
) -> None:
    images = torch.randint(0, 256, (30, 3, 5, 4), dtype=torch.uint8)
    copied = BatchLoader(images, 8, seed=2, memory_format=memory_format, part=part)
    monkeypatch.setattr(loader, "REORDER_LIMIT_BYTES", 0)
    in_place = BatchLoader(images, 8, seed=2, memory_format=memory_format, part=part)
    assert in_place._rows.data_ptr() == images.data_ptr()
    for step in range(7):
        batch = in_place.batch(step)
        assert torch.equal(batch, copied.batch(step))
        assert batch.is_contiguous(memory_format=memory_format)


def test_copying_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (30, 3, 5, 4), dtype=torch.uint8)
    monkeypatch.setattr(loader, "COPY_CHUNK_IMAGES", 7)
    copied = loader.arranged(images, torch.device("cpu"), torch.channels_last)
    assert torch.equal(copied, images)
    assert copied.is_contiguous(memory_format=torch.channels_last)


def folder_of(tmp_path: Path, values: list[int]) -> str:
    folder = tmp_path / "images"
    folder.mkdir()
    for index, value in enumerate(values):
        Image.new("L", (8, 8), value).save(folder / f"{index:02}.png")
    return str(folder)


def test_a_folder_is_digested_while_it_is_converted(tmp_path: Path, config_of: Callable[..., SimpleNamespace]) -> None:
    settings = {"image_size": 8, "channels": 1, "test_fraction": 0.2, "validation_count": 1}

    def digest(path: str, cache: str, **changes: object) -> str:
        config = config_of("image_folder", path=path, cache_dir=str(tmp_path / cache), **(settings | changes))
        return dataset_digest(load_images(config))

    path = folder_of(tmp_path, list(range(12)))
    first = digest(path, "one")
    assert digest(path, "two") == first, "the same files, converted elsewhere"
    assert digest(path, "one", limit=3) != first, "fewer images"
    (report,) = (tmp_path / "two").rglob("report.json")
    report.write_text(re.sub(r'"pixels": "\w+"', '"pixels": ""', report.read_text()))
    assert len(digest(path, "two")) == 16, "an entry from before pixels were digested is read for it"
    Image.new("L", (8, 8), 99).save(Path(path) / "03.png")
    assert digest(path, "one") != first, "another image"
