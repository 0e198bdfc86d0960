"""CIFAR-10's archive: read as published, and never trusted."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from tests.data.small_sets import md5, remote
from upsample_lab.data.cifar import CIFAR10, CifarSource, load_cifar, parse_batch, prepare_cifar
from upsample_lab.data.sets import DataError

FOLDER = "cifar-10-batches-py"


def batch_of(pixels: np.ndarray) -> bytes:
    """A batch as Python 2 wrote the official ones: protocol 2, byte strings as keys."""
    batch = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": [0] * len(pixels),
        b"data": pixels.reshape(len(pixels), 3072),
        b"filenames": [b"leptodactylus_pentadactylus_s_000004.png"] * len(pixels),
    }
    return pickle.dumps(batch, protocol=2)


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 32, 32), np.uint8)
BATCHES = {name: batch_of(pixels) for name, pixels in zip(CIFAR10.batches, PIXELS, strict=True)}


def archive_of(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def source_of(archive: bytes, batches: dict[str, bytes] = BATCHES) -> CifarSource:
    digests = {name: md5(content) for name, content in batches.items()}
    test = {"test_batch": digests.pop("test_batch")}
    return CifarSource(remote("cifar-10-python.tar.gz", archive), FOLDER, digests, test)


GOOD = archive_of({f"{FOLDER}/{name}": content for name, content in BATCHES.items()} | {f"{FOLDER}/readme.html": b""})


def assert_all_pixels(root, source):
    train, test = load_cifar(source, root)
    assert np.array_equal(train.numpy(), PIXELS[:5].reshape(-1, 3, 32, 32))
    assert np.array_equal(test.numpy(), PIXELS[5])


def test_downloaded_verified_and_unpacked(tmp_path, mirror):
    good = mirror({"cifar-10-python.tar.gz": GOOD})
    for _ in range(2):
        prepare_cifar(source_of(GOOD), tmp_path, [good.url], 5)
        assert_all_pixels(tmp_path, source_of(GOOD))
    assert len(good.requests) == 1
    assert sorted(os.listdir(tmp_path / FOLDER)) == sorted(BATCHES)


def test_the_unpacked_folder_alone_will_do(tmp_path):
    (tmp_path / FOLDER).mkdir()
    for name, content in BATCHES.items():
        (tmp_path / FOLDER / name).write_bytes(content)
    prepare_cifar(source_of(GOOD), tmp_path, [], 5)
    assert_all_pixels(tmp_path, source_of(GOOD))


def test_the_archive_alone_will_do_where_nothing_can_be_written(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(GOOD)
    (tmp_path / FOLDER).write_bytes(b"")  # in the way of unpacking, also for a superuser
    prepare_cifar(source_of(GOOD), tmp_path, [], 5)
    assert_all_pixels(tmp_path, source_of(GOOD))


def test_a_damaged_batch_is_unpacked_again(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(GOOD)
    prepare_cifar(source_of(GOOD), tmp_path, [], 5)
    (tmp_path / FOLDER / "data_batch_3").write_bytes(b"damaged")
    prepare_cifar(source_of(GOOD), tmp_path, [], 5)
    assert_all_pixels(tmp_path, source_of(GOOD))


def test_damage_without_a_remedy_is_named(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(GOOD)
    prepare_cifar(source_of(GOOD), tmp_path, [], 5)
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    (tmp_path / FOLDER / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(DataError, match="data_batch_3 is damaged"):
        prepare_cifar(source_of(GOOD), tmp_path, [], 5)
    with pytest.raises(DataError, match="data_batch_3 is damaged"):
        load_cifar(source_of(GOOD), tmp_path)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


WITHOUT_FIRST = {f"{FOLDER}/{name}": content for name, content in BATCHES.items() if name != "data_batch_1"}


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (archive_of({f"../{FOLDER}/data_batch_1": b"out"} | WITHOUT_FIRST), "data_batch_1 is not in it"),
        (archive_of({"/etc/data_batch_1": b"out"} | WITHOUT_FIRST), "data_batch_1 is not in it"),
        (archive_of(WITHOUT_FIRST, link(f"{FOLDER}/data_batch_1", "/etc/passwd")), "no regular file"),
        (archive_of(WITHOUT_FIRST, link(f"{FOLDER}/data_batch_1", "test_batch")), "no regular file"),
        (archive_of(WITHOUT_FIRST, link(f"{FOLDER}/data_batch_1", "/dev/zero", tarfile.LNKTYPE)), "no regular file"),
        (archive_of(WITHOUT_FIRST, link(f"{FOLDER}/data_batch_1", "", tarfile.FIFOTYPE)), "no regular file"),
        (archive_of(WITHOUT_FIRST | {f"{FOLDER}/data_batch_1": bytes(65 << 20)}), "no regular file of at most"),
        (archive_of(WITHOUT_FIRST | {f"{FOLDER}/data_batch_1": b"other"}), "data_batch_1 is damaged"),
        (GOOD[:5000], "cannot be read"),
        (b"not an archive", "cannot be read"),
    ],
    ids=[
        "path traversal", "absolute path", "link out", "link inside", "hard link", "fifo", "huge member",
        "other content", "cut off", "no archive",
    ],
)  # fmt: skip
def test_hostile_archives_are_refused(tmp_path, archive, message):
    """Even one whose own digest is the expected one."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "cifar-10-python.tar.gz").write_bytes(archive)
    with pytest.raises(DataError, match=message):
        prepare_cifar(source_of(archive), root, [], 5)
    assert os.listdir(tmp_path) == ["root"]
    assert not (root / FOLDER / "data_batch_1").exists()


class Planted:
    """Unpickling it would make a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_planted_pickle_is_refused(tmp_path, protocol):
    """Even one whose digest is the expected one."""
    target = tmp_path / "made by the pickle"
    content = pickle.dumps({b"data": Planted(str(target))}, protocol)
    with pytest.raises(DataError, match=r"refers to (posix|nt)\.mkdir, which no batch of images needs"):
        parse_batch(content, "data_batch_1")
    assert not target.exists()
    batches = BATCHES | {"data_batch_1": content}
    archive = archive_of({f"{FOLDER}/{name}": content for name, content in batches.items()})
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(archive)
    source = source_of(archive, batches)
    prepare_cifar(source, tmp_path, [], 5)
    with pytest.raises(DataError, match="data_batch_1: refused"):
        load_cifar(source, tmp_path)
    assert not target.exists()


def test_a_planted_pickle_of_unknown_digest_is_not_even_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("upsample_lab.data.cifar.BatchUnpickler", None)
    (tmp_path / FOLDER).mkdir()
    for name in BATCHES:
        (tmp_path / FOLDER / name).write_bytes(pickle.dumps(Planted(str(tmp_path / "made"))))
    with pytest.raises(DataError, match="damaged"):
        load_cifar(CIFAR10, tmp_path)


GETATTR = b"cbuiltins\ngetattr\n(cos\npath\nS'join'\ntR."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GETATTR, "builtins.getattr"),
        (b"cnumpy\nload\n(S'x.npy'\ntR.", "numpy.load"),
        (b"cnumpy\nndarray\n(L1000000000000L\ntR.", "not callable"),
        (pickle.dumps({b"data": np.zeros((1, 3072), object)}, 2), "not of bytes"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.float64)}, 2), "not of bytes"),
        (pickle.dumps({b"data": np.zeros((1, 3071), np.uint8)}, 2), "no array 'data'"),
        (pickle.dumps({b"data": [1, 2]}, 2), "no array 'data'"),
        (pickle.dumps([b"data"], 2), "no array 'data'"),
        (pickle.dumps({b"labels": []}, 2), "no array 'data'"),
        (BATCHES["test_batch"][:900], "refused"),
        (b"", "refused"),
        (b"hello", "refused"),
    ],
    ids=[
        "getattr", "numpy.load", "huge array", "objects", "floats", "wrong shape", "a list", "no dictionary", "no data",
        "cut off", "empty", "text",
    ],
)  # fmt: skip
def test_malformed_batches_end_in_one_line(content, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_batch(content, "data_batch_1")
    assert "\n" not in str(caught.value)


def test_fortran_order_is_understood():
    pixels = np.asfortranarray(PIXELS[0].reshape(4, 3072))
    content = pickle.dumps({b"data": pixels}, protocol=2)
    assert np.array_equal(parse_batch(content, "test_batch").numpy(), PIXELS[0])
