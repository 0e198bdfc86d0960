"""Measure an upsampler alone, or compare several: build, measure, write, print."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_lab.called import call
from upsample_lab.cli.main import BadRequest, asks_help, print_help
from upsample_lab.compose import compose_grid, compose_one, prepared
from upsample_lab.options import load_option
from upsample_lab.options.passport import PassportConfig
from upsample_lab.settings import ConfigError, choices

if TYPE_CHECKING:
    from upsample_lab.passport import Passport

USAGE = """
Measure an upsampler alone: gains of its phases, responses, borders, shifts, cost, and what is wrong with it.

  {call} upsample=deconv upsample.kernel_size=3     one passport
  {call} upsample=all                               a comparison of the whole registry
  {call} upsample=deconv,nearest,bilinear scale=3   a comparison of some
  {call} upsample=deconv upsample.kernel_size=2,3,4  a comparison of settings
  {call} run=outputs/default/<run directory>         the decoder of a finished run, stage by stage

Writes a PNG, a self-contained HTML page and JSON to <output_root>/passports/<name>/.
"""
IMAGE_COUNT = 256  # validation images that a run's activations are the mean of
NOT_OF_A_RUN = ("upsample", "conv", "in_channels", "out_channels", "scale")
_NAME_LENGTH = 80  # characters of a folder's name; a longer one ends in a digest
_NOT_IN_NAME = ("upsample", "conv", "run", "data_root", "device", "output_root", "plugins")  # told otherwise, or not it


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError` before anything imports torch."""
    words = [word for word in words if word not in ("-m", "--multirun")]  # several values compare, with or without
    if asks_help(words):
        print_help("passport", USAGE, [word for word in words if word != "upsample=all"])
        return 0
    command = f"{call('passport')} {shlex.join(words)}"
    words, whole_registry = prepared(words), "upsample=all" in words  # prepared: plugins' upsamplers are choices too
    every = ",".join(choices("upsample"))
    configs = compose_grid("passport", [f"upsample={every}" if word == "upsample=all" else word for word in words])
    if configs[0].run is None:
        return run(configs, whole_registry=whole_registry, command=command)
    _refuse_layers(words)
    return max([of_run(config, command) for config in configs])


def run(configs: Sequence[PassportConfig], *, whole_registry: bool = False, command: str = "") -> int:
    """One passport, or a comparison of several; prints its table and the paths of its files. Returns the exit status.

    Raises ConfigError for settings that no upsampler can be built with, and for a folder that cannot be
    written. In a comparison of the whole registry such upsamplers are left out, and named.
    """
    from upsample_lab.drawing.passport import comparison_figure
    from upsample_lab.drawing.style import png
    from upsample_lab.passport.configured import build, measure, title
    from upsample_lab.passport.progress import shown
    from upsample_lab.passport.table import comparison
    from upsample_lab.report.passport_page import comparison_page, page

    if not whole_registry:
        for config in configs:
            build(config)  # what cannot be built is told before a folder is made
    root = Path(configs[0].output_root) / "passports"
    if len(configs) == 1:
        folder = _open(root / folder_name(configs))
        with shown(title(configs[0])) as report:
            result = measure(configs[0], report)
        print(result.table())
        _write(folder, png(result.figure()), page(result, command), result.to_json())
        return 0
    folder = _open(root / (folder_name(configs[:1], instead="all") if whole_registry else folder_name(configs)))
    results = _measure_all(configs, skip=whole_registry)
    print(comparison(results))
    sheet = png(comparison_figure(results))
    _write(folder, sheet, comparison_page(results, sheet, command), _json(results))
    return 0


def of_run(config: PassportConfig, command: str = "") -> int:
    """The decoder of a finished run and its upsamplers, at the activations that its validation images give them.

    Prints their comparison and the paths of its files; returns the exit status. Raises ConfigError.
    """
    from upsample_lab.data import eval_batches
    from upsample_lab.drawing.passport import comparison_figure
    from upsample_lab.drawing.style import png
    from upsample_lab.models import Autoencoder
    from upsample_lab.passport.of_run import run_passports
    from upsample_lab.passport.progress import shown
    from upsample_lab.passport.table import comparison
    from upsample_lab.report.passport_page import run_page
    from upsample_lab.trained import best_of, images_of, stored_config
    from upsample_lab.upsamplers import Upsampler

    folder = Path(str(config.run))
    trained = stored_config(folder, config.data_root)
    sets = images_of(trained)
    try:
        task, models, _ = best_of(folder, trained, sets, config.device)
        model = next(iter(models.values()))
        if not isinstance(model, Autoencoder) or not any(isinstance(part, Upsampler) for part in model.modules()):
            raise BadRequest(f"run={config.run}: model={trained.model.name} has no upsampler to measure")
        images = next(eval_batches(sets.validation, IMAGE_COUNT, **task.setting.where._asdict()))
        out = _open(Path(config.output_root) / "passports" / folder.absolute().name)
        with shown(folder.name) as report:
            results = run_passports(
                model, images, size=config.size, seed=config.seed, cost=config.cost, progress=report
            )
    except ValueError as error:  # a checkpoint that is damaged or not there, or a layer that cannot be measured
        raise error if isinstance(error, ConfigError) else BadRequest(f"run={config.run}: {error}") from None
    print(comparison(results))
    sheet = png(comparison_figure(results))
    _write(out, sheet, run_page(folder.absolute().name, len(images), results, sheet, command), _json(results))
    return 0


def _refuse_layers(words: Sequence[str]) -> None:
    """Raise `ConfigError` for a setting of a layer: a run has its own."""
    for word in words:
        if (key := re.split(r"[.=]", word)[0]) in NOT_OF_A_RUN:
            raise ConfigError(f"{word}: run= measures what the run has trained; leave {key} out, or run=")


def _measure_all(configs: Sequence[PassportConfig], *, skip: bool) -> list[Passport]:
    from upsample_lab.passport.configured import measure, title
    from upsample_lab.passport.progress import part_of, shown

    results = []
    with shown("passports") as report:
        for index, config in enumerate(configs):
            try:
                results.append(measure(config, part_of(report, index, len(configs), title(config))))
            except ConfigError as error:
                if not skip:
                    raise
                print(f"left out: {error}", file=sys.stderr)
    if not results:
        raise BadRequest("upsample=all: none of them can be built with these settings")
    return results


def _json(results: Sequence[Passport]) -> str:
    from upsample_lab.passport.record import plain

    return json.dumps([plain(result) for result in results], allow_nan=False) + "\n"


# ----------------------------------------------------------------------------------------------------------------------
# Names


def folder_name(configs: Sequence[PassportConfig], instead: str = "") -> str:
    """A folder for what is measured: the upsamplers, and all settings that are not the defaults."""
    from upsample_lab.passport.configured import changes, shown_value

    names = instead or "+".join("-".join([c.upsample.name, *changes(c)]) for c in configs)
    defaults = dataclasses.asdict(compose_one("passport", []))
    common = [f"conv={configs[0].conv.name}"] if configs[0].conv != load_option("conv", "custom") else []
    common += [
        f"{key}={shown_value(value)}"
        for key, value in dataclasses.asdict(configs[0]).items()
        if key not in _NOT_IN_NAME and value != defaults[key]
    ]
    name = re.sub(r"[^A-Za-z0-9._+=-]+", "_", "-".join([names, *common]))
    if len(name) <= _NAME_LENGTH:
        return name
    return f"{name[: _NAME_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


# ----------------------------------------------------------------------------------------------------------------------
# Files


def _open(folder: Path) -> Path:
    """Make the folder before anything is measured for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"output_root={folder.parents[1]}: {folder} cannot be made: {error.strerror}") from None
    return folder


def _write(folder: Path, sheet: bytes, html: str, text: str) -> None:
    """Write the three files and print their paths."""
    for name, content in (("png", sheet), ("html", html.encode()), ("json", text.encode())):
        path = folder / f"passport.{name}"
        try:
            path.write_bytes(content)
        except OSError as error:
            raise BadRequest(f"output_root={folder.parents[1]}: {path} cannot be written: {error.strerror}") from None
        print(path)
