"""Files that somebody planted: in a run's directory, a dataset's cache, a configuration. None is executed."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from upsample_lab.cli.app import run as run_command
from upsample_lab.data import load_images
from upsample_lab.runs import checkpoint
from upsample_lab.runs.checkpoint import DamagedCheckpoint
from upsample_lab.runs.directory import RunDirectory
from upsample_lab.runs.journal import read_reports
from upsample_lab.runs.stored_config import read_train_config
from upsample_lab.settings import CONFIG_DIR, ConfigError


class Planted:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


def hostile(kind: str, witness: Path) -> bytes:
    match kind:
        case "pickle":
            return pickle.dumps({"step": 3, "model": Planted(witness)})
        case "old pickle":
            return b"cposix\nmkdir\n(S'" + str(witness).encode() + b"'\ntR."
        case "torch":
            import io

            import torch

            stream = io.BytesIO()
            torch.save({"model": Planted(witness)}, stream)
            return stream.getvalue()
        case "numpy":
            import io

            stream = io.BytesIO()
            np.save(stream, np.array([Planted(witness)], dtype=object), allow_pickle=True)
            return stream.getvalue()
        case "python tag":
            return f"seed: !!python/object/apply:os.mkdir ['{witness}']\n".encode()
        case "python name":
            return b"seed: !!python/name:os.system\n"
        case "aliases":
            rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
            rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
            return "\n".join(rows).encode()
        case "alias of itself":
            return b"model: &a\n  name: *a\n"
        case "deep":
            return b"[" * 100_000
        case "deep mapping":
            return b"{a: " * 5_000
        case "huge header":
            return (1 << 62).to_bytes(8, "little") + b"{}"
        case "environment":
            return b"output_root: ${oc.env:HOME}\n"
        case "zeros":
            return bytes(4096)
        case "not text":
            return b"\xff\xfe\x00seed"
        case "words":
            return b"just words"
        case "wrong shapes":
            return b"upsample: 3\ndata: [1]\nmodel: text\n"
        case "unknown choice":
            return b"upsample: {name: os.system}\n"
    raise AssertionError(kind)


KINDS = (
    "pickle", "old pickle", "torch", "numpy", "python tag", "python name", "aliases", "alias of itself", "deep",
    "deep mapping", "huge header", "environment", "zeros", "not text", "words", "wrong shapes", "unknown choice",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    witness, file = tmp_path / "witness", tmp_path / checkpoint.LAST
    file.write_bytes(hostile(kind, witness))
    with pytest.raises(DamagedCheckpoint) as caught:
        checkpoint.load(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(DamagedCheckpoint, match=r"run\.mode=fresh"):
        checkpoint.load_last(tmp_path)
    assert not witness.exists()


def test_a_checkpoint_with_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Its checksum is right, since whoever plants it can compute that too."""
    file = tmp_path / checkpoint.LAST
    for text in ("[]", "3", "null", "[" * 100_000, "{"):
        save_file({}, file, metadata={"state": text, "sha256": checkpoint._checksum({}, text)})
        with pytest.raises(DamagedCheckpoint):
            checkpoint.load(file)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_configuration_is_refused(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    witness = tmp_path / "witness"
    (tmp_path / "config.yaml").write_bytes(hostile(kind, witness))
    with pytest.raises(ConfigError, match=r"config\.yaml") as caught:
        read_train_config(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)
    assert run_command("evaluate", [f"run={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not witness.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["status.json", "summary.json", "metrics.jsonl", ".holder"])
def test_a_planted_record_counts_as_none(tmp_path: Path, kind: str, name: str) -> None:
    from upsample_lab.runs.lock import Holder

    witness = tmp_path / "witness"
    (tmp_path / name).write_bytes(hostile(kind, witness))
    run = RunDirectory(tmp_path)
    assert run.status() == {"state": None}
    assert run.summary() is None
    assert read_reports(tmp_path) == []
    assert Holder.read(tmp_path / ".holder") is None
    assert not witness.exists()


@pytest.mark.parametrize("name", ["status.json", "summary.json", "metrics.jsonl", "config.yaml"])
@pytest.mark.parametrize("what", ["pipe", "folder", "dangling link"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str, what: str) -> None:
    match what:
        case "pipe":
            os.mkfifo(tmp_path / name)
        case "folder":
            (tmp_path / name).mkdir()
        case "dangling link":
            (tmp_path / name).symlink_to(tmp_path / "nowhere")
    run = RunDirectory(tmp_path)
    assert run.status() == {"state": None}
    assert run.summary() is None
    assert read_reports(tmp_path) == []
    with pytest.raises(ConfigError):
        read_train_config(tmp_path / "config.yaml")


def folder_settings(root: Path, cache: Path) -> SimpleNamespace:
    return SimpleNamespace(
        name="image_folder", root=str(root), path="pictures", image_size=8, channels=1, test_fraction=0.2,
        cache_dir=str(cache), validation_count=1, limit=None, fallback=None,
    )  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(folder / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_cache_is_made_anew(pictures: Path, kind: str) -> None:
    witness, settings = pictures / "witness", folder_settings(pictures, pictures / "cache")
    expected = load_images(settings).train.clone()
    planted = [path for path in (pictures / "cache").rglob("*") if path.suffix in (".npy", ".json")]
    assert len(planted) >= 3
    for path in planted:
        content = path.read_bytes()
        path.write_bytes(hostile(kind, witness))
        assert load_images(settings).train.equal(expected)
        assert path.read_bytes() == content
    assert not witness.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"left_out": 3},
        {"left_out": ["a"]},
        {"left_out": {"a": 5}},
        {"split_note": ["x"]},
        {"train_count": "four"},
        {"train_count": -1},
        {"enlarged_count": None},
    ],
    ids=str,
)
def test_a_cache_that_reports_nonsense_is_made_anew(pictures: Path, change: dict[str, Any]) -> None:
    settings = folder_settings(pictures, pictures / "cache")
    expected = load_images(settings)
    (report,) = (pictures / "cache").rglob("report.json")
    report.write_text(json.dumps({**json.loads(report.read_text()), **change}))
    again = load_images(settings)
    assert again.train.equal(expected.train)
    assert again.notes == expected.notes


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_picture_is_left_out_by_name(pictures: Path, kind: str) -> None:
    witness = pictures / "witness"
    (pictures / "pictures" / "planted.png").write_bytes(hostile(kind, witness))
    sets = load_images(folder_settings(pictures, pictures / "cache"))
    assert any("planted.png (" in note for note in sets.notes)
    assert not witness.exists()


def test_mirrors_are_https_where_they_offer_it() -> None:
    """The one that is not is a web site of S3, which has none; whatever arrives is verified by digest."""
    import yaml

    mirrors = [
        mirror
        for path in sorted((CONFIG_DIR / "data").glob("*.yaml"))
        for mirror in yaml.safe_load(path.read_text(encoding="utf-8")).get("mirrors", [])
    ]
    assert len(mirrors) >= 5
    plain = [mirror for mirror in mirrors if not mirror.startswith("https://")]
    assert all(".s3-website." in mirror for mirror in plain)


def test_what_is_saved_holds_no_code(tmp_path: Path) -> None:
    """Checkpoints can be read by anybody's safetensors, which knows tensors and text only."""
    import torch

    checkpoint.save(tmp_path / "a.safetensors", {"model.weight": torch.ones(2)}, {"step": 1})
    assert load_file(tmp_path / "a.safetensors")["model.weight"].tolist() == [1, 1]
