"""Checkpoints: exact, whole or refused, and never executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from upsample_lab.runs import checkpoint
from upsample_lab.runs.checkpoint import DamagedCheckpoint, MissingCheckpoint

TENSORS = {
    "model.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "model.channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "model.count": torch.tensor(7),
    "model.empty": torch.zeros(0, 3),
    "sums": torch.tensor([1e-300, float("nan")], dtype=torch.float64),
}


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.safetensors", TENSORS, {"step": 3, "best": float("-inf")})
    tensors, state = checkpoint.load(tmp_path / "a.safetensors")
    assert state == {"step": 3, "best": float("-inf")}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0, equal_nan=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"], "a temporary file was left"


@pytest.mark.parametrize("where", ["start", "middle", "end", "cut", "empty", "pickle"])
def test_damage_is_found(tmp_path: Path, where: str) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, {"step": 3})
    content = bytearray(path.read_bytes())
    if where == "pickle":
        content = bytearray(pickle.dumps({"step": 3}))
    elif where in ("cut", "empty"):
        content = content[: len(content) // 2 if where == "cut" else 0]
    else:
        content[{"start": 20, "middle": len(content) // 2, "end": len(content) - 1}[where]] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_checkpoint_is_missing_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpoint, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.safetensors")
    assert checkpoint.load_last(tmp_path) is None


def test_the_one_before_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save_last(tmp_path, TENSORS, {"step": step})
    (tmp_path / checkpoint.LAST).write_bytes(b"torn")
    saved = checkpoint.load_last(tmp_path)
    assert saved is not None
    _, state, warnings = saved
    assert state == {"step": 1}
    assert len(warnings) == 1
    assert checkpoint.LAST in warnings[0]
    (tmp_path / checkpoint.PREVIOUS).write_bytes(b"torn too")
    with pytest.raises(DamagedCheckpoint, match=r"run\.mode=fresh"):
        checkpoint.load_last(tmp_path)


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    checkpoint.save_last(tmp_path, TENSORS, {"step": 1})
    (tmp_path / checkpoint.LAST).rename(tmp_path / checkpoint.PREVIOUS)
    saved = checkpoint.load_last(tmp_path)
    assert saved is not None
    assert saved[1] == {"step": 1}


def test_weights_of_another_model_are_refused() -> None:
    tensors = checkpoint.model_tensors(torch.nn.Linear(2, 3))
    with pytest.raises(DamagedCheckpoint, match="does not fit the model"):
        checkpoint.restore_model(torch.nn.Linear(2, 4), tensors)
