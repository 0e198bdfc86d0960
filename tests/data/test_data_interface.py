"""`prepare` and `load_images`: where files are looked for, what happens without them, and how a set is split."""

import gzip
import logging
import os
from pathlib import Path

import pytest
import torch
import yaml

import upsample_lab.data as data
from tests.data.small_sets import SmallMnist, md5
from upsample_lab.data import DataError, Prepared, cifar, dataset_digest, load_images, mnist, prepare
from upsample_lab.data.sets import ImageSets, split_sets

CONFIGS = Path(__file__).parents[2] / "configs" / "data"


@pytest.fixture
def small(small_mnist, monkeypatch) -> SmallMnist:
    """Ten images take MNIST's place."""
    monkeypatch.setitem(data.IDX_SOURCES, "mnist", small_mnist.source)
    return small_mnist


def all_files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_files_that_are_there_are_read_and_nothing_is_written(tmp_path, small, config_of):
    small.write(tmp_path)
    before = all_files(tmp_path)
    config = config_of("mnist")
    assert prepare(config) == Prepared("mnist")
    sets = load_images(config)
    assert torch.equal(torch.cat((sets.train, sets.validation))[:, 0], torch.from_numpy(small.train))
    assert torch.equal(sets.test[:, 0], torch.from_numpy(small.test))
    assert all_files(tmp_path) == before


def test_a_read_only_root_will_do(tmp_path, small, config_of):
    folder = small.write(tmp_path)
    folder.chmod(0o555)
    try:
        prepare(config_of("mnist"))
        assert len(load_images(config_of("mnist")).train) == 8
    finally:
        folder.chmod(0o755)


def test_unpacked_files_will_do(tmp_path, small, config_of):
    folder = small.write(tmp_path)
    for archive in list(folder.iterdir()):
        archive.with_suffix("").write_bytes(gzip.decompress(archive.read_bytes()))
        archive.unlink()
    prepare(config_of("mnist"))
    assert torch.equal(load_images(config_of("mnist")).test[:, 0], torch.from_numpy(small.test))


@pytest.mark.parametrize("folder", ["MNIST/raw", "MNIST", ""])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_files_are_found_under_their_other_names(tmp_path, small, config_of, folder, packed, dotted):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, content in small.archives.items():
        name = name.replace("-idx3", ".idx3") if dotted else name
        path = tmp_path / folder / (name if packed else name.removesuffix(".gz"))
        path.write_bytes(content if packed else gzip.decompress(content))
    assert prepare(config_of("mnist")) == Prepared("mnist")
    assert torch.equal(load_images(config_of("mnist")).test[:, 0], torch.from_numpy(small.test))


def test_files_in_the_root_are_checked_for_the_set_that_they_are_of(tmp_path, small, config_of, monkeypatch):
    content = {name: gzip.decompress(archive) for name, archive in small.archives.items()}
    known = {small.source.train.md5: md5(b"another"), small.source.test.md5: md5(content["t10k-images-idx3-ubyte.gz"])}
    monkeypatch.setattr("upsample_lab.data.mnist.UNPACKED_MD5", known)
    for name, unpacked in content.items():
        (tmp_path / name.removesuffix(".gz")).write_bytes(unpacked)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is not in"):
        prepare(config_of("mnist"))


def test_an_archive_that_was_packed_again_is_known_by_its_content(tmp_path, small, config_of, monkeypatch):
    content = {name: gzip.decompress(archive) for name, archive in small.archives.items()}
    known = {file.md5: md5(content[file.name]) for file in (small.source.train, small.source.test)}
    monkeypatch.setattr("upsample_lab.data.mnist.UNPACKED_MD5", known)
    folder = small.write(tmp_path)
    for name, unpacked in content.items():
        (folder / name).write_bytes(gzip.compress(unpacked, compresslevel=1, mtime=7))
    assert prepare(config_of("mnist")) == Prepared("mnist")
    assert torch.equal(load_images(config_of("mnist")).test[:, 0], torch.from_numpy(small.test))
    swapped = content["t10k-images-idx3-ubyte.gz"]
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(swapped))
    with pytest.raises(DataError, match="is damaged"):
        prepare(config_of("mnist"))


def test_missing_files_are_downloaded(tmp_path, small, config_of, mirror):
    config = config_of("mnist", mirrors=[mirror({}).url, mirror(small.archives).url])
    assert prepare(config) == Prepared("mnist")
    assert len(load_images(config).train) == 8


def test_a_damaged_file_is_downloaded_again(tmp_path, small, config_of, mirror):
    folder = small.write(tmp_path)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    good = mirror(small.archives)
    prepare(config_of("mnist", mirrors=[good.url]))
    assert [name for name, _ in good.requests] == ["train-images-idx3-ubyte.gz"]
    assert len(load_images(config_of("mnist")).train) == 8


def test_damage_without_a_remedy_is_named(tmp_path, small, config_of):
    folder = small.write(tmp_path)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz is damaged \(its MD5"):
        prepare(config_of("mnist"))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz is damaged \(its MD5"):
        load_images(config_of("mnist"))


def test_without_files_and_fallback_one_line_says_what_to_do(tmp_path, small, config_of, mirror):
    url = mirror({}).url
    with pytest.raises(DataError) as caught:
        prepare(config_of("mnist", mirrors=[url]))
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path / "MNIST" / "raw"), url, "HTTP 404", "data.root", "UPSAMPLE_LAB_DATA", "data=glyphs"):
        assert part in message


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_fallback_names_itself_and_the_reason(config_of, name, mirror):
    used = prepare(config_of(name, fallback="glyphs", mirrors=[mirror({}).url]))
    assert used.name == "glyphs"
    assert used.reason.startswith(f"data={name}: ")
    assert "HTTP 404" in used.reason
    assert "\n" not in used.reason


def test_a_folder_that_the_user_named_is_never_replaced(tmp_path, config_of):
    settings = {"image_size": 8, "channels": 1, "test_fraction": 0.1, "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(DataError, match="does not exist"):
        prepare(config_of("image_folder", path="nowhere", fallback="glyphs", **settings))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [("mnist", {"fallback": "cifar10"}, r"data\.fallback=cifar10"), ("minst", {}, "minst: unknown data set")],
)
def test_unknown_names_are_refused(config_of, name, changes, message):
    with pytest.raises(DataError, match=message):
        prepare(config_of(name, **changes))


def test_glyphs_need_no_files(tmp_path, config_of):
    config = config_of("glyphs", train_count=40, test_count=6, glyph_seed=0, validation_count=5, limit=12)
    assert prepare(config) == Prepared("glyphs")
    sets = load_images(config)
    assert (len(sets.train), len(sets.validation), len(sets.test)) == (12, 5, 6)
    assert sets.image_shape == (1, 28, 28)
    assert os.listdir(tmp_path) == []


def images(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)


@pytest.mark.parametrize(
    ("count", "validation_count", "limit", "train", "validation"),
    [
        (20, 4, None, range(16), range(16, 20)),
        (20, 4, 5, range(5), range(16, 20)),
        (20, 4, 500, range(16), range(16, 20)),
        (20, 5000, None, range(16), range(16, 20)),
        (2, 5000, None, [0], [1]),
        (4, 1, 1, [0], [3]),
    ],
)
def test_validation_comes_from_the_end_and_limit_leaves_it_alone(count, validation_count, limit, train, validation):
    sets = split_sets("x", images(count), images(1), validation_count=validation_count, limit=limit)
    assert sets.train.flatten().tolist() == list(train)
    assert sets.validation.flatten().tolist() == list(validation)
    assert bool(sets.notes) == (validation_count > max(1, count // 5))
    assert sets.train.is_contiguous()
    assert sets.validation.is_contiguous()


@pytest.mark.parametrize(
    ("train_count", "test_count", "changes", "message"),
    [
        (1, 1, {}, "1 training and 1 test"),
        (5, 0, {}, "5 training and 0 test"),
        (5, 1, {"limit": 0}, r"data\.limit=0"),
        (5, 1, {"validation_count": 0}, r"data\.validation_count=0"),
    ],
)
def test_impossible_splits_are_refused(train_count, test_count, changes, message):
    with pytest.raises(DataError, match=message):
        split_sets("x", images(train_count), images(test_count), **({"validation_count": 1} | changes))


def test_digest_follows_every_pixel_and_the_split():
    def digest(train=3, validation=2, test=2, changed=None):
        parts = [images(train), images(validation), images(test)]
        if changed is not None:
            parts[changed][-1] += 1
        return dataset_digest(ImageSets("x", *parts))

    digests = [digest(), digest(4, 1), digest(changed=0), digest(changed=1), digest(changed=2)]
    assert len(set(digests)) == len(digests)
    assert digest() == digests[0]
    assert len(digests[0]) == 16


def test_digests_are_those_that_torchvision_verifies():
    datasets = pytest.importorskip("torchvision.datasets")
    for ours, theirs in ((mnist.MNIST, datasets.MNIST), (mnist.FASHION_MNIST, datasets.FashionMNIST)):
        for file in (ours.train, ours.test):
            assert (file.name, file.md5) in theirs.resources
    theirs = datasets.CIFAR10
    assert cifar.CIFAR10.archive.md5 == theirs.tgz_md5
    assert cifar.CIFAR10.archive.name == theirs.filename
    assert cifar.CIFAR10.folder == theirs.base_folder
    assert list(cifar.CIFAR10.train.items()) == [tuple(pair) for pair in theirs.train_list]
    assert list(cifar.CIFAR10.test.items()) == [tuple(pair) for pair in theirs.test_list]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_configuration_explains_itself(path):
    first, *_ = path.read_text().splitlines()
    assert first.startswith("# ")
    values = yaml.safe_load(path.read_text())
    assert values["name"] == path.stem
    assert values["defaults"] == [f"{path.stem}_schema", "_self_"]
    for address in values.get("mirrors", []):
        assert address.startswith("http")
        assert address.endswith("/")


REAL = Path(os.environ.get("UPSAMPLE_LAB_DATA", "data"))


@pytest.mark.skipif(
    not list(REAL.glob("MNIST/raw/train-images-idx3-ubyte*")), reason="no MNIST below UPSAMPLE_LAB_DATA or data/"
)
def test_the_real_mnist(config_of, caplog):
    caplog.set_level(logging.INFO)
    config = config_of("mnist", root=str(REAL), validation_count=5000)
    assert prepare(config) == Prepared("mnist")
    sets = load_images(config)
    assert [len(part) for part in (sets.train, sets.validation, sets.test)] == [55000, 5000, 10000]
    assert dataset_digest(sets) == "e9a04e7f95c023f9"
    assert caplog.records == []  # nothing was downloaded
