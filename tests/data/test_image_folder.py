"""Folders of images: layouts, the split, the cache, and what is left out."""

import json
import os
import pickle
import re

import numpy as np
import pytest
import torch
from PIL import Image

from upsample_lab.data import image_folder
from upsample_lab.data.image_folder import FolderSettings, load_image_folder
from upsample_lab.data.sets import DataError

SIZE = 8
SETTINGS = FolderSettings(image_size=SIZE, channels=1, test_fraction=0.25)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def load(root, tmp_path):
    def load_(path="images", settings=SETTINGS):
        return load_image_folder(root, str(path), settings, str(tmp_path / "cache"))[:3]

    return load_


def put(folder, *names, first_value=0):
    """Write one flat image of its own grey value under each name."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (SIZE, SIZE), first_value + index).save(path)


def values(images: torch.Tensor) -> set[int]:
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert all(len(image.unique()) == 1 for image in images)
    return set(images[:, 0, 0, 0].tolist())


NUMBERED = [f"{index:02}.png" for index in range(12)]


@pytest.mark.parametrize(
    ("train", "test"),
    [("train/cat/a train/cat/b train/dog/c", "test/cat/d"), ("train/a train/b train/c", "test/d"),
     ("train/x/y/a train/b train/c", "val/d")],
    ids=["classes", "flat", "val and nested"],
)  # fmt: skip
def test_a_given_split_is_honoured(root, load, train, test):
    put(root / "images", *(f"{name}.png" for name in train.split()))
    put(root / "images", *(f"{name}.png" for name in test.split()), first_value=100)
    trained, tested, notes = load()
    assert values(trained) == {0, 1, 2}
    assert values(tested) == {100}
    assert notes == ()


@pytest.mark.parametrize(
    "prefix", ["", "cat/", "train/", "train/cat/"], ids=["flat", "classes", "train", "train/class"]
)
def test_else_a_share_is_set_aside(root, load, prefix):
    put(root / "images", *(prefix + name for name in NUMBERED))
    train, test, notes = load()
    assert (len(train), len(test)) == (9, 3)
    assert values(train) | values(test) == set(range(12))
    assert "3 of its 12 images were set aside" in notes[0]


def test_the_split_is_repeatable_and_shuffled(root, load):
    put(root / "images", *NUMBERED)
    first = load()[0]
    put(root / "copy", *NUMBERED)
    assert torch.equal(load("copy")[0], first)  # names decide, not dates or places
    order = first[:, 0, 0, 0].tolist()
    assert order != sorted(order)


def test_mixed_sizes_and_modes(root, load):
    folder = root / "images"
    put(folder, *NUMBERED[:4])
    Image.new("RGB", (3 * SIZE, 2 * SIZE), "red").save(folder / "large.jpg")
    Image.new("1", (1, 1), 1).save(folder / "dot.png")
    train, test, notes = load(settings=FolderSettings(SIZE, 3, 0.25))
    assert train.shape[1:] == test.shape[1:] == (3, SIZE, SIZE)
    assert len(train) + len(test) == 6
    assert any("1 of 6 images are smaller than 8 px and were enlarged" in note for note in notes)


def test_what_is_left_out_is_named_and_counted(root, load):
    folder = root / "images"
    put(folder, *NUMBERED)
    (folder / "zero.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    (folder / "half.png").write_bytes((folder / "00.png").read_bytes()[:45])
    (folder / "readme.txt").write_text("not looked into")
    (folder / ".hidden.png").write_bytes(b"")
    os.mkfifo(folder / "pipe.png")
    for _ in range(2):  # converted, and from the cache
        train, test, notes = load()
        assert values(train) | values(test) == set(range(12))
        assert "4 of 16 files left out" in notes[0]
        for name in (
            "half.png (truncated)",
            "pipe.png (not a regular file)",
            "text.png (not an image",
            "zero.jpg (empty",
        ):
            assert name in notes[0]
        assert notes[-1] == "2 files that are not images by their names were ignored"


def test_many_bad_files_are_counted_and_the_first_are_named(root, load, tmp_path):
    put(root / "images", *NUMBERED)
    for index in range(25):
        (root / "images" / f"bad{index:02}.jpg").write_bytes(b"")
    notes = load()[2]
    assert "25 of 37 files left out: bad00.jpg (empty file)" in notes[0]
    assert "and 15 more" in notes[0]
    report = json.loads(next((tmp_path / "cache").rglob("report.json")).read_text())
    assert len(report["left_out"]) == 25


def test_file_names_cannot_write_to_the_terminal(root, load):
    put(root / "images", *NUMBERED)
    (root / "images" / "\x1b[2Jevil\n.png").write_bytes(b"")
    (root / "images" / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"")
    for _ in range(2):
        assert all(letter.isprintable() for note in load()[2] for letter in note)


def test_a_bomb_is_left_out_by_name(root, load, monkeypatch):
    put(root / "images", *NUMBERED)
    Image.new("1", (500, 500)).save(root / "images" / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    assert "bomb.png (more than Pillow's limit of 100000 pixels)" in load()[2][0]


def test_links_are_followed_inside_only(root, load, tmp_path):
    folder = root / "images"
    put(folder, *NUMBERED)
    put(tmp_path / "elsewhere", "secret.png", first_value=200)
    (folder / "inside.png").symlink_to("00.png")
    (folder / "outside.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    (folder / "folder").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.png").symlink_to("nowhere.png")
    train, test, notes = load()
    assert len(train) + len(test) == 13
    assert 200 not in values(train) | values(test)
    for name in ("outside.png (link out", "folder (link to a folder)", "loop (link", "dangling.png (dangling"):
        assert name in notes[0]


def test_conversion_happens_once(root, load, monkeypatch):
    put(root / "images", *NUMBERED)
    first = load()
    monkeypatch.setattr(image_folder, "decode", None)
    again = load()
    assert torch.equal(first[0], again[0])
    assert first[2] == again[2]


@pytest.mark.parametrize("change", ["file added", "file removed", "file touched", "size", "channels", "fraction"])
def test_any_change_converts_anew(root, load, tmp_path, change):
    put(root / "images", *NUMBERED)
    load()
    settings = SETTINGS
    match change:
        case "file added":
            put(root / "images", "new.png", first_value=50)
        case "file removed":
            (root / "images" / "03.png").unlink()
        case "file touched":
            os.utime(root / "images" / "03.png", (1, 1))
        case "size":
            settings = FolderSettings(4, 1, 0.25)
        case "channels":
            settings = FolderSettings(SIZE, 3, 0.25)
        case "fraction":
            settings = FolderSettings(SIZE, 1, 0.5)
    load(settings=settings)
    assert len(list((tmp_path / "cache").rglob("report.json"))) == 2


def planted(path):
    """What a pickled .npy looks like: loading it with allow_pickle would make a folder."""

    class Planted:
        def __reduce__(self):
            return os.mkdir, (str(path),)

    return Planted()


@pytest.mark.parametrize(
    "damage", ["truncated", "another shape", "pickle", "npy pickle", "gone", "report", "report keys"]
)
def test_a_damaged_cache_is_made_anew(root, load, tmp_path, damage):
    put(root / "images", *NUMBERED)
    first = load()[0].clone()
    entry = next((tmp_path / "cache").rglob("train.npy")).parent
    array, made = entry / "train.npy", tmp_path / "made"
    match damage:
        case "truncated":
            array.write_bytes(array.read_bytes()[:-1])
        case "another shape":
            np.save(array, np.zeros((9, 1, SIZE, SIZE + 1), np.uint8))
        case "pickle":
            array.write_bytes(pickle.dumps(planted(made), 0))
        case "npy pickle":
            np.save(array, np.array([planted(made)], object), allow_pickle=True)
        case "gone":
            array.unlink()
        case "report":
            (entry / "report.json").write_text("{")
        case "report keys":
            (entry / "report.json").write_text('{"train_count": "9", "other": 1}')
    assert torch.equal(load()[0], first)
    assert not made.exists()


def test_an_interrupted_conversion_leaves_no_entry(root, load, tmp_path, monkeypatch):
    put(root / "images", *NUMBERED)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert list((tmp_path / "cache").rglob("*.npy")) == []
    assert len(load()[0]) == 9


def test_writing_to_the_images_does_not_reach_the_cache(root, load):
    put(root / "images", *NUMBERED)
    train = load()[0]
    kept = train.clone()
    train.zero_()
    assert torch.equal(load()[0], kept)


def test_small_chunks_change_nothing(root, load, tmp_path, monkeypatch):
    put(root / "images", *NUMBERED)
    (root / "images" / "bad.png").write_bytes(b"")
    monkeypatch.setattr(image_folder, "CHUNK_BYTES", 5 * SIZE * SIZE)
    by_fives = load()[0].clone()
    monkeypatch.setattr(image_folder, "CHUNK_BYTES", 1)
    monkeypatch.setattr(image_folder, "FORMAT_VERSION", 0)
    assert torch.equal(load()[0], by_fives)


def test_the_cache_is_the_users_by_default(root, tmp_path, monkeypatch):
    put(root / "images", *NUMBERED)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_image_folder(root, "images", SETTINGS, None)
    assert list((tmp_path / "xdg" / "upsample_lab" / "image_folder").rglob("train.npy"))
    assert sorted(os.listdir(root / "images")) == NUMBERED


def test_nowhere_to_keep_the_images(root, tmp_path):
    put(root / "images", *NUMBERED)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be kept there .* set data\.cache_dir"):
        load_image_folder(root, "images", SETTINGS, str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no image files in it"),
        (["a.png"], "0 usable training|1 usable training"),
        (["a.png", "b.png"], "2 usable training and 0 usable test"),
        (["train/a.png", "test/b.png"], "1 usable training and 1 usable test"),
    ],
    ids=["none", "one", "two", "one and one"],
)
def test_too_few_images(root, load, names, message):
    (root / "images").mkdir()
    (root / "images" / "readme.txt").write_text("")
    put(root / "images", *names)
    with pytest.raises(DataError, match=message) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_nothing_usable_says_why(root, load):
    (root / "images").mkdir()
    for name in NUMBERED:
        (root / "images" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"0 usable training .* 12 of 12 files left out: 00.png \(empty file\)"):
        load()


def test_an_absolute_path_is_taken_as_it_is(root, load, tmp_path):
    put(tmp_path / "elsewhere", *NUMBERED)
    assert len(load(tmp_path / "elsewhere")[0]) == 9


@pytest.mark.parametrize("path", ["../elsewhere", "images/../../elsewhere", "link"])
def test_a_relative_path_stays_below_the_root(root, load, tmp_path, path):
    put(tmp_path / "elsewhere", *NUMBERED)
    (root / "images").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"leads out of data\.root"):
        load(path)


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        ("nowhere", {}, "does not exist"),
        ("images/00.png", {}, "is not a folder"),
        ("", {}, "name the folder of images"),
        ("images", {"image_size": 0}, r"data\.image_size=0"),
        ("images", {"image_size": 5000}, r"data\.image_size=5000"),
        ("images", {"channels": 2}, r"data\.channels=2"),
        ("images", {"test_fraction": 0.0}, r"data\.test_fraction=0"),
        ("images", {"test_fraction": 1.0}, r"data\.test_fraction=1"),
    ],
)
def test_unusable_settings_name_the_key(root, load, path, changes, message):
    put(root / "images", *NUMBERED)
    settings = FolderSettings(**({"image_size": SIZE, "channels": 1, "test_fraction": 0.25} | changes))
    with pytest.raises(DataError, match=message):
        load(path, settings)


# ----------------------------------------------------------------------------------------------------------------------
# Layouts: no file is left out, and none for testing trains, without a word


@pytest.mark.parametrize(
    ("layout", "trains", "tests", "words"),
    [
        ({"train": 3, "valid": 2}, "train", "valid", ""),
        ({"train": 3, "validation": 2}, "train", "validation", ""),
        ({"train": 3, "dev": 2}, "train", "dev", ""),
        ({"Train": 3, "Test": 2}, "Train", "Test", ""),
        ({"TRAIN": 3, "TEST": 2}, "TRAIN", "TEST", ""),
        ({"train2017": 3, "val2017": 2}, "train2017", "val2017", ""),
        ({"DIV2K_train_HR": 3, "DIV2K_valid_HR": 2}, "DIV2K_train_HR", "DIV2K_valid_HR", ""),
        ({"train": 3, "test": 2, "valid": 4}, "train", "test", r"4 images are not used: valid/ \(4\); data.train_"),
        ({"train": 3, "test": 2, "": 2}, "train", "test", r"2 images are not used: 00.png, 01.png"),
        ({"train": 9, "extra": 2}, "train", None, r"2 images are not used: extra/ \(2\)"),
        ({"train": 3, "Train": 4, "test": 2}, "train Train", "test", "Train/ and train/ are taken together as train"),
        ({"cat": 3, "dog": 3, "test": 2}, "cat dog", "test", r"no train/: the 6 images outside test/ \(2\) train"),
        ({"cat/train": 3, "cat/test": 2, "dog/train": 2}, "cat/train dog/train", "cat/test", "below the top"),
        ({"train/test": 3, "test/train": 2}, "train/test", "test/train", ""),
        ({"bullet_train": 5, "dog": 4}, None, None, "no train/ and test/: 2 of its 9"),
        ({"crash_test": 5, "dog": 4}, None, None, r"as a class; 'data.test_folders=\[crash_test\]'"),
    ],
)  # fmt: skip
def test_layouts(root, load, layout, trains, tests, words):
    value, of = 0, {}
    for folder, count in layout.items():
        put(root / "images", *(f"{folder}/{index:02}.png".lstrip("/") for index in range(count)), first_value=value)
        of[folder] = set(range(value, value + count))
        value += count
    train, test, notes = load()
    if trains is not None:
        expected = set().union(*(of[name] for name in trains.split()))
        assert (values(train) | values(test) if tests is None else values(train)) == expected
    if tests is not None:
        assert values(test) == of[tests]
    assert len(notes) == (words != "")
    assert not words or re.search(words, notes[0])


@pytest.mark.parametrize("folder", ["test", "Val", "cat/testing"])
def test_images_for_testing_alone_never_train(root, load, folder):
    put(root / "images", *(f"{folder}/{name}" for name in NUMBERED))
    with pytest.raises(DataError, match=r"no images to train on, only for testing .* data.train_folders"):
        load()
    settings = FolderSettings(SIZE, 1, 0.25, train_folders=(folder,))
    assert len(load(settings=settings)[0]) == 9


def test_settings_name_the_folders(root, load):
    put(root / "images", "a/0.png", "a/1.png", "b/2.png", "train/3.png", "4.png")
    settings = FolderSettings(SIZE, 1, 0.25, train_folders=("a", "."), test_folders=("b",))
    train, test, notes = load(settings=settings)
    assert (values(train), values(test)) == ({0, 1, 4}, {2})
    assert notes[0].startswith("1 images are not used: train/ (1)")
    for wrong, message in (
        ({"train_folders": ("c",)}, "has no images; the folder has a, b, train"),
        ({"train_folders": ("a",), "test_folders": ("a",)}, "would both train and test"),
    ):
        with pytest.raises(DataError, match=message):
            load(settings=FolderSettings(SIZE, 1, 0.25, **wrong))


def test_a_file_of_the_same_size_and_date_is_converted_anew(root, load):
    put(root / "images", *NUMBERED)
    load()
    path = root / "images" / "03.png"
    stat = path.stat()
    content = path.read_bytes()
    put(root / "images", "03.png", first_value=100)
    assert len(content) == path.stat().st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    train, test, _ = load()
    assert 100 in values(train) | values(test)
