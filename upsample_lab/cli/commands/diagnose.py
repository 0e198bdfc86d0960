"""Find which layer of a model makes the pattern in its images: build, diagnose, write, print."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_lab.called import call
from upsample_lab.cli.main import asks_help, print_help
from upsample_lab.compose import compose_one
from upsample_lab.options.diagnose import DiagnoseConfig
from upsample_lab.settings import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from upsample_lab.doctor import Diagnosis

USAGE = """
Find where a model enlarges images, and which of these layers makes the checkerboard in its output.

  {call} model=package.module:function weights=file.safetensors input=[1,3,64,64]
  {call} model=my_models:two_inputs input=[[1,3,64,64],[1,10]]
  {call} model=my_models:unet weights=unet.pt input=photo.png
  {call} run=outputs/default/<run directory>

The function is your code: its module is imported, and it is called without arguments, so both run. It returns a
torch.nn.Module, or a pair of one and its inputs (a tensor, a tuple of arguments, or a dict of keyword arguments).
Of the weights nothing is executed. Prints the ranked sites, and writes a PNG, a self-contained HTML page and JSON to
<output_root>/diagnoses/<name>/.
"""
RUN_IMAGES = 8
"""Of the run's own data that its model is diagnosed with."""


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError` before anything imports torch."""
    if asks_help(words):
        print_help("diagnose", USAGE, words)
        return 0
    return run(compose_one("diagnose", words), f"{call('diagnose')} {shlex.join(words)}")


def run(config: DiagnoseConfig, command: str = "") -> int:
    """Diagnose what is named; print the table and the paths of the files. Returns the exit status.

    Raises ConfigError for what cannot be diagnosed, before a folder is made.
    """
    if (config.model is None) == (config.run is None):
        raise ConfigError("give one of model=package.module:function and run=<run directory>")
    if config.run is not None and config.weights is not None:
        raise ConfigError(f"weights={config.weights}: goes with model=; a run has its own")
    if config.output_range is not None and len(config.output_range) != 2:
        raise ConfigError(f"output_range={config.output_range}: must be two numbers, black and white, such as [-1,1]")
    name = config.model or Path(config.run or "").name
    folder = Path(config.output_root) / "diagnoses" / re.sub(r"[^A-Za-z0-9._+=-]+", "-", name)
    _check_writable(folder)
    from upsample_lab.doctor import diagnose
    from upsample_lab.doctor.loading import on_device
    from upsample_lab.passport.progress import shown

    model, inputs = on_device(_of_run(config) if config.model is None else _of_function(config), config.device)
    levels = None if config.output_range is None else (config.output_range[0], config.output_range[1])
    with shown(f"diagnosis of {name}") as report:
        found = diagnose(model, inputs, output_range=levels, name=name, progress=report)
    print(found.table())
    _write(found, folder, command)
    return 0


def _of_function(config: DiagnoseConfig) -> tuple[nn.Module, Any]:
    """What the user's function makes, with the weights and the inputs that are asked for."""
    from upsample_lab.doctor.loading import load_weights, make_inputs, make_model

    model, inputs = make_model(str(config.model))
    if config.weights is not None:
        load_weights(model, config.weights)
    if config.input is not None:
        inputs = make_inputs(config.input, config.seed)
    if inputs is None:
        raise ConfigError(f"input= must be given, such as [1,3,64,64], since {config.model} gives no inputs")
    return model, inputs


def _of_run(config: DiagnoseConfig) -> tuple[nn.Module, Any]:
    """A run's best checkpoint, and what its task gives it, or the inputs that are asked for."""
    from upsample_lab.doctor.loading import make_inputs
    from upsample_lab.trained import best_of, images_of, load_run, stored_config

    try:
        if config.input is not None:
            return load_run(str(config.run))[0], make_inputs(config.input, config.seed)
        folder = Path(str(config.run))
        trained = stored_config(folder)
        task, models, _ = best_of(folder, trained, images_of(trained), "cpu")
    except ConfigError:
        raise
    except ValueError as error:  # a checkpoint that is damaged, or not there
        raise ConfigError(str(error)) from None
    return next(iter(models.values())), task.batch(0).input[:RUN_IMAGES]


def _check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made, before anything is measured for it. Raises ConfigError."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"output_root={folder.parents[1]}: nothing can be written into {there}")


def _write(found: Diagnosis, folder: Path, command: str) -> None:
    """Write the figure, the page and the numbers, and print their paths. Raises ConfigError."""
    from upsample_lab.drawing.style import png

    contents = {"png": png(found.figure()), "html": found.html(command).encode(), "json": found.json().encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in contents.items():
            path = folder / f"diagnosis.{suffix}"
            path.write_bytes(content)
            print(path)
    except OSError as error:
        raise ConfigError(f"output_root={folder.parents[1]}: {folder} cannot be written: {error.strerror}") from None
