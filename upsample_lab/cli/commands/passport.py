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
from upsample_lab.cli.compose import compose_grid, compose_one, prepared
from upsample_lab.cli.main import BadRequest, asks_help, print_help
from upsample_lab.options import load_option
from upsample_lab.options.passport import PassportConfig
from upsample_lab.settings import ConfigError, choices

if TYPE_CHECKING:
    from upsample_lab.passport import Passport
    from upsample_lab.passport.progress import Report

USAGE = """
Measure an upsampler alone: gains of its phases, responses, borders, shifts, cost, and what is wrong with it.

  {call} upsample=deconv upsample.kernel_size=3     one passport
  {call} upsample=all                               a comparison of the whole registry
  {call} upsample=deconv,nearest,bilinear scale=3   a comparison of some
  {call} upsample=deconv upsample.kernel_size=2,3,4 a comparison of settings

Writes a PNG, a self-contained HTML page and JSON to <output_root>/passports/<name>/.
"""
_NAME_LENGTH = 80  # characters of a folder's name; a longer one ends in a digest
_NOT_IN_NAME = ("upsample", "conv", "device", "output_root", "plugins")  # told otherwise, or not what is measured


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
    return run(configs, whole_registry=whole_registry, command=command)


def run(configs: Sequence[PassportConfig], *, whole_registry: bool = False, command: str = "") -> int:
    """One passport, or a comparison of several; prints its table and the paths of its files. Returns the exit status.

    Raises ConfigError for settings that no upsampler can be built with, and for a folder that cannot be
    written. In a comparison of the whole registry such upsamplers are left out, and named.
    """
    from upsample_lab.passport.configured import build, measure, title
    from upsample_lab.passport.figure import comparison_figure
    from upsample_lab.passport.page import comparison_page, page
    from upsample_lab.passport.progress import shown
    from upsample_lab.passport.style import png
    from upsample_lab.passport.table import comparison

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


def _measure_all(configs: Sequence[PassportConfig], *, skip: bool) -> list[Passport]:
    from upsample_lab.passport.configured import measure, title
    from upsample_lab.passport.progress import shown

    results = []
    with shown("passports") as report:
        for index, config in enumerate(configs):
            try:
                results.append(measure(config, _part(report, index, len(configs), title(config))))
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


def _part(report: Report, index: int, count: int, name: str) -> Report:
    """The report of one of several, as part of them all."""
    return lambda share, what: report((index + share) / count, f"{name}: {what}")


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
