"""What the command line names: a model made by the user's function, its weights, its inputs."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from upsample_lab.device import choose_device
from upsample_lab.settings import ConfigError, nearest

_NAMED = 4  # keys of weights that do not fit, named one by one
_NEW_KEY = "num_batches_tracked"  # which files from before PyTorch 0.4.1 have not
_NESTS = ("state_dict", "model_state_dict", "model", "params_ema", "params", "generator")
"""Where a checkpoint may have its weights, in order."""


def make_model(spec: str) -> tuple[nn.Module, Any]:
    """The model of `package.module:function`, and the inputs that the function gives with it, or None.

    The module is imported, from the path or the working directory, and the function called: both are the user's code,
    and so are the tracebacks that they end in, which are printed as such. A class or a module object will do too.
    Raises ConfigError.
    """
    module_name, _, names = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == module_name or module_name.startswith(f"{error.name}.")):
            raise ConfigError(f"model={spec}: no module {error.name} on the path or in {here}") from None
        raise _broken(spec, "cannot be imported", error) from None
    except Exception as error:
        raise _broken(spec, "cannot be imported", error) from None
    for name in names.split("."):
        if not hasattr(found, name):
            hint = nearest(name, [known for known in vars(found) if not known.startswith("_")])
            raise ConfigError(f"model={spec}: {module_name} has no {name}{hint}")
        found = getattr(found, name)
    if not isinstance(found, nn.Module):
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                found = found()
        except Exception as error:
            raise _broken(spec, "fails", error) from None
    model, inputs = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model={spec}: must return a torch.nn.Module, or one and its inputs, not {_kind(model)}")
    return model, inputs


def _kind(value: Any) -> str:
    return f"the {type(value).__name__} {value!r:.40}"


def _broken(spec: str, what: str, error: Exception) -> ConfigError:
    """The user's traceback on stderr, from the first line that is his, and an error of one line."""
    frames = error.__traceback__
    own = (__file__, importlib.__file__)
    while frames is not None and (
        frames.tb_frame.f_code.co_filename in own or "importlib" in frames.tb_frame.f_code.co_filename
    ):
        frames = frames.tb_next
    print(f"--- traceback of {spec}, which is your code ---", file=sys.stderr)
    traceback.print_exception(type(error), error, frames)
    print("---", file=sys.stderr)
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ConfigError(f"model={spec}: {what}, as its traceback says: {reason}")


def load_weights(model: nn.Module, path: str) -> None:
    """Put the weights of a file into a model: safetensors, or torch.save's, of which nothing is executed.

    A checkpoint may have them under one of its keys, and the names may begin with `module.`. Raises ConfigError where
    the file cannot be read, or a key does not fit.
    """
    weights = _read(path)
    for nest in _NESTS:
        if isinstance(weights, Mapping) and isinstance(weights.get(nest), Mapping):
            weights = weights[nest]
            break
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(w, Tensor) for w in weights.values()):
        keys = ", ".join(map(str, list(weights)[:_NAMED])) if isinstance(weights, Mapping) else _kind(weights)
        raise ConfigError(f"weights={path}: holds no state_dict, but {keys}")
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    wanted = model.state_dict()
    wrong = [
        f"{key} is {list(weights[key].shape)}, not {list(value.shape)}"
        for key, value in wanted.items()
        if key in weights and weights[key].shape != value.shape
    ]
    problems = [
        f"{what} {_some(keys)}"
        for what, keys in (
            ("missing", [key for key in wanted if key not in weights and not key.endswith(_NEW_KEY)]),
            ("not in the model:", [key for key in weights if key not in wanted]),
            ("of another shape:", wrong),
        )
        if keys
    ]
    if problems:
        raise ConfigError(f"weights={path}: do not fit: {'; '.join(problems)}")
    model.load_state_dict(dict(weights), strict=False)


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more


def _read(path: str) -> Any:
    if not os.path.isfile(path):
        raise ConfigError(f"weights={path}: no such file")
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ConfigError(f"weights={path}: cannot be read: {_first_line(error)}") from None
    except Exception:  # pickle's own
        raise ConfigError(
            f"weights={path}: holds more than weights, which would be executed; save the model's state_dict() alone"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def on_device(given: tuple[nn.Module, Any], device: str) -> tuple[nn.Module, Any]:
    """A model and its inputs where they are computed. Raises ConfigError where there is no such device."""
    where = choose_device(device, "device")
    model, inputs = given
    return model.to(where), tree_map(lambda x: x.to(where) if isinstance(x, Tensor) else x, inputs)


# ----------------------------------------------------------------------------------------------------------------------
# Inputs


def make_inputs(given: Any, seed: int) -> Any:
    """The inputs that `input=` asks for: made up for a shape, several for a list of shapes, or read from a file.

    Raises ConfigError.
    """
    if isinstance(given, str):
        return read_input(given)
    shapes = given if given and isinstance(given[0], list) else [given]
    generator = torch.Generator().manual_seed(seed)
    made = tuple(made_up([int(side) for side in shape], generator) for shape in shapes)
    return made[0] if len(made) == 1 else made


def made_up(shape: list[int], generator: torch.Generator) -> Tensor:
    """Images `[N, C, H, W]` with the spectrum of photographs, 1/f, in 0…1; of another shape, or of single pixels,
    numbers of a normal distribution, as a latent has."""
    noise = torch.randn(shape, generator=generator)
    if len(shape) != 4 or min(shape[-2:]) < 8 or shape[1] > 4:
        return noise
    down, across = torch.fft.fftfreq(shape[2])[:, None], torch.fft.rfftfreq(shape[3])
    radius = (down.square() + across.square()).sqrt()
    radius[0, 0] = 1 / max(shape[-2:])
    image = torch.fft.irfft2(torch.fft.rfft2(noise) / radius, s=shape[-2:])
    return (0.5 + 0.2 * image / image.std()).clamp(0, 1)


def read_input(path: str) -> Any:
    """The tensor, or the tuple or dict of tensors, in a file; an image is `[1, C, H, W]` in 0…1."""
    if not os.path.isfile(path):
        raise ConfigError(f"input={path}: no such file")
    try:
        if path.endswith(".npy"):
            import numpy as np

            return torch.from_numpy(np.load(path, allow_pickle=False))
        if path.endswith((".pt", ".pth")):
            return torch.load(path, map_location="cpu", weights_only=True)
        if path.endswith(".safetensors"):
            return load_file(path)
        from PIL import Image
        from torchvision.transforms.functional import to_tensor

        with Image.open(path) as image:
            return to_tensor(image if image.mode == "L" else image.convert("RGB"))[None]
    except Exception as error:  # of NumPy, pickle, safetensors or Pillow
        raise ConfigError(f"input={path}: cannot be read: {_first_line(error)}") from None
