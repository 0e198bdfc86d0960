"""Downloads from a local server that cuts off, stalls, lies and disappears."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.data.small_sets import md5, remote
from upsample_lab.data.download import RemoteFile, fetch
from upsample_lab.data.sets import DataError

CONTENT = np.random.default_rng(0).bytes(200_000)
FILE = remote("images.gz", CONTENT)
QUICK_SEC = 0.3


def part_of(folder):
    return folder / "images.gz.part"


def test_a_file_arrives_under_its_name(tmp_path, mirror):
    good = mirror({FILE.name: CONTENT})
    fetch([FILE], tmp_path / "new" / "folder", [good.url], 5)
    assert (tmp_path / "new" / "folder" / FILE.name).read_bytes() == CONTENT
    assert not part_of(tmp_path / "new" / "folder").exists()


def test_a_file_that_is_there_is_not_asked_for(tmp_path, mirror):
    good = mirror({FILE.name: CONTENT})
    (tmp_path / FILE.name).write_bytes(CONTENT)
    fetch([FILE], tmp_path, [good.url], 5)
    assert good.requests == []


def test_a_damaged_file_is_replaced(tmp_path, mirror):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    fetch([FILE], tmp_path, [mirror({FILE.name: CONTENT}).url], 5)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


def test_mirrors_are_asked_in_order_until_one_delivers(tmp_path, mirror):
    empty, wrong, good = mirror({}), mirror({FILE.name: b"another file"}), mirror({FILE.name: CONTENT})
    unused = mirror({FILE.name: CONTENT})
    fetch([FILE], tmp_path, [empty.url, wrong.url, good.url, unused.url], 5)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert [len(asked.requests) for asked in (empty, wrong, good, unused)] == [1, 1, 1, 0]


def test_an_interrupted_file_is_continued(tmp_path, mirror):
    """Also from another mirror."""
    cut, good = mirror({FILE.name: CONTENT}, "cuts off"), mirror({FILE.name: CONTENT})
    with pytest.raises(DataError, match="ended after 100000 of 200000 bytes"):
        fetch([FILE], tmp_path, [cut.url], 5)
    assert part_of(tmp_path).stat().st_size == 100_000
    fetch([FILE], tmp_path, [good.url], 5)
    assert good.requests == [(FILE.name, "bytes=100000-")]
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [None, "no ranges", "no length"])
@pytest.mark.parametrize(
    "before",
    [CONTENT[:70_000], b"x" * 70_000, CONTENT, b"x" * 200_000, b"x" * 300_000, b""],
    ids=["beginning", "another file's", "all of it", "all, but wrong", "longer", "empty"],
)
def test_whatever_was_left_behind_ends_well(tmp_path, mirror, before, fault):
    part_of(tmp_path).write_bytes(before)
    good = mirror({FILE.name: CONTENT}, *([fault] if fault else []))
    fetch([FILE], tmp_path, [good.url], 5)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert len(good.requests) <= 2


@pytest.mark.parametrize("fault", ["silent", "stalls", "trickles"])
def test_a_mirror_that_stands_still_is_given_up(tmp_path, mirror, fault):
    dead, good = mirror({FILE.name: CONTENT}, fault), mirror({FILE.name: CONTENT})
    fetch([FILE], tmp_path, [dead.url, good.url], QUICK_SEC)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert len(dead.requests) == 1


def test_a_dead_mirror_is_not_asked_for_the_next_file(tmp_path, mirror):
    other = remote("labels.gz", b"labels")
    dead = mirror({}, "silent")
    good = mirror({FILE.name: CONTENT, other.name: b"labels"})
    fetch([FILE, other], tmp_path, [dead.url, good.url], QUICK_SEC)
    assert len(dead.requests) == 1


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture
def names(monkeypatch):
    """Host names without a network: nowhere.invalid is unknown at once, slow.invalid only when the test is over."""
    real, over = socket.getaddrinfo, threading.Event()

    def look_up(host, *args, **kwargs):
        if host == "slow.invalid":
            over.wait(10)
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    over.set()


def test_the_error_lists_each_mirror_with_its_cause(tmp_path, mirror, names):
    expected = {
        mirror({}, "silent").url: "no answer within 0.3 s",
        mirror({}).url: "HTTP 404",
        mirror({FILE.name: b"no"}).url: "wrong digest",
        mirror({FILE.name: bytes(2 << 20)}).url: "more than 1048576 bytes",
        f"http://127.0.0.1:{closed_port()}/": "refused",
        "http://nowhere.invalid/": "cannot be resolved",
        "http://slow.invalid/": "no answer within 0.3 s",
    }
    with pytest.raises(DataError) as caught:
        fetch([FILE], tmp_path, list(expected), QUICK_SEC)
    message = str(caught.value)
    assert "\n" not in message
    for url, cause in expected.items():
        assert cause in message.split(url)[1].split(";")[0], url
    assert not (tmp_path / FILE.name).exists()


def test_nothing_unverified_ever_has_the_final_name(tmp_path, mirror):
    with pytest.raises(DataError, match="wrong digest"):
        fetch([FILE], tmp_path, [mirror({FILE.name: CONTENT[:-1] + b"x"}).url], 5)
    assert not (tmp_path / FILE.name).exists()
    assert not part_of(tmp_path).exists()


def test_an_endless_file_is_cut_short(tmp_path, mirror):
    small = RemoteFile(FILE.name, md5(CONTENT), max_bytes=100_000)
    with pytest.raises(DataError, match="more than 100000 bytes"):
        fetch([small], tmp_path, [mirror({FILE.name: CONTENT}, "no length").url], 5)
    assert not part_of(tmp_path).exists() or part_of(tmp_path).stat().st_size <= 100_000


@pytest.mark.parametrize("address", ["file:///etc/", "ftp://host/", "/etc/", ""])
def test_only_http_is_a_mirror(tmp_path, address):
    with pytest.raises(DataError, match="must begin with https://"):
        fetch([FILE], tmp_path, [address], 5)


@pytest.mark.parametrize("address", ["http://", "http://[::1", "http://a b/", "https://" + "x" * 70 + "/"])
def test_a_malformed_address_is_a_dead_mirror(tmp_path, address, names):
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        fetch([FILE], tmp_path, [address], 5)
    assert "\n" not in str(caught.value)


def test_those_who_want_the_same_file_at_once_wait_for_the_first(tmp_path, mirror):
    good = mirror({FILE.name: CONTENT})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: fetch([FILE], tmp_path, [good.url], 5), range(6)))
    assert len(good.requests) == 1
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


def test_no_mirror_at_all(tmp_path):
    with pytest.raises(DataError, match=r"data\.mirrors is empty"):
        fetch([FILE], tmp_path / "new", [], 5)
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_no_fault_of_the_mirrors(tmp_path, mirror):
    good = mirror({FILE.name: CONTENT})
    part_of(tmp_path).symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"images\.gz\.part: cannot be written to \(No space left on device\)"):
        fetch([FILE], tmp_path, [good.url, good.url], 5)
    assert len(good.requests) == 1


def test_a_folder_that_cannot_be_written(tmp_path, mirror):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written to"):
        fetch([FILE], tmp_path / "file" / "below", [mirror({}).url], 5)


def test_a_download_that_fails_leaves_no_folder_behind(tmp_path, mirror):
    with pytest.raises(DataError):
        fetch([FILE], tmp_path / "data" / "MNIST" / "raw", [mirror({}).url], 5)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError):
        fetch([FILE], tmp_path / "data" / "MNIST" / "raw", [mirror({}).url], 5)
    assert [path.name for path in tmp_path.rglob("*")] == ["data"], "a folder of the user's own stays"
