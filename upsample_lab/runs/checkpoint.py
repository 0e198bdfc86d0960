"""Checkpoints: tensors in safetensors files, which hold no code, with a checksum over every byte that matters.

PyTorch is imported when a tensor is read or written, not before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_lab.runs.files import replacing, sync_file

if TYPE_CHECKING:
    from torch import Tensor, nn

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
START_AGAIN = "run.mode=fresh starts again beside this run"


class DamagedCheckpoint(ValueError):
    """A checkpoint cannot be read, or its content does not match its checksum. The message is one line."""


class MissingCheckpoint(ValueError):
    """There is no checkpoint. The message is one line."""


def save(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a small JSON-able state to `path`, whole or not at all. Raises `OSError`."""
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        _write(temporary, tensors, state)


def _write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    from safetensors.torch import save as serialize

    stored = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(state), sort_keys=True)
    path.write_bytes(serialize(stored, metadata={"state": text, "sha256": _checksum(stored, text)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the state.

    Raises `MissingCheckpoint` where there is none, `DamagedCheckpoint` where it cannot be trusted.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MissingCheckpoint(f"{path}: no such checkpoint; the run has not come that far")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is no mapping
        if metadata["sha256"] != _checksum(tensors, metadata["state"]):
            raise DamagedCheckpoint(f"{path}: content does not match its checksum")
        return tensors, _state(metadata["state"])
    except (SafetensorError, KeyError, TypeError, OSError, json.JSONDecodeError, RecursionError) as error:
        cause = " ".join(str(error).split())
        raise DamagedCheckpoint(f"{path}: not a checkpoint of this project, or damaged ({cause})") from None


def _state(text: str) -> dict[str, Any]:
    state = json.loads(text)
    if not isinstance(state, dict):
        raise TypeError("its state is not a JSON object")
    return state


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    import torch

    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


# ----------------------------------------------------------------------------------------------------------------------
# The state of a training


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def restore_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy the weights in, each into the memory layout that the model already has."""
    prefix = "model."
    weights = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise DamagedCheckpoint(f"checkpoint does not fit the model: {' '.join(str(error).split())}") from None


def misfit(folder: Path, error: Exception) -> DamagedCheckpoint:
    """What a whole checkpoint is told to be that does not hold what this run needs."""
    return DamagedCheckpoint(f"{folder}: not a checkpoint of this run ({' '.join(str(error).split())}); {START_AGAIN}")


def save_last(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write `last`, keeping the one before it as `previous` in case the disk spoils this one.

    The new one is whole and synced before either of the others is touched: on a full disk both stay as they are, and
    a kill at any moment leaves `last`, or between the two renames `previous`, or both.
    """
    folder.mkdir(exist_ok=True)
    with replacing(folder / LAST) as temporary:
        _write(temporary, tensors, state)
        sync_file(temporary)
        if (folder / LAST).exists():
            os.replace(folder / LAST, folder / PREVIOUS)


def load_last(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
    """The newest checkpoint that is whole, with warnings about those that are not; None where there is none at all.

    Raises `DamagedCheckpoint` where there are checkpoints but none is whole: starting again must be asked for.
    """
    damaged: list[str] = []
    for name in (LAST, PREVIOUS):
        try:
            return *load(folder / name), damaged
        except MissingCheckpoint:
            continue
        except DamagedCheckpoint as error:
            damaged.append(str(error))
    if damaged:
        raise DamagedCheckpoint(f"{'; '.join(damaged)}; {START_AGAIN}")
    return None


def all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether no number among the model's weights and statistics is NaN or infinite; waits for the device."""
    import torch

    checks = [tensor.isfinite().all() for name, tensor in tensors.items() if name.startswith("model.")]
    return bool(torch.stack(checks).all()) if checks else True
