"""What `scripts/passport.py` does once its settings are known to be good: build, measure, write, print."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upsample_lab.cli.main import BadRequest
from upsample_lab.options import load_option
from upsample_lab.options.passport import PassportConfig
from upsample_lab.passport.figure import comparison_figure
from upsample_lab.passport.measure import Passport, passport
from upsample_lab.passport.page import comparison_page, page
from upsample_lab.passport.progress import Report, ignore, shown
from upsample_lab.passport.record import plain
from upsample_lab.passport.style import png
from upsample_lab.passport.table import comparison
from upsample_lab.settings import option_values
from upsample_lab.upsamplers import Algorithms, build_upsampler

_NAME_LENGTH = 80  # characters of a folder's name; a longer one ends in a digest
_NOT_IN_NAME = (
    "upsample",
    "conv",
    "device",
    "output_root",
    "plugins",
)  # told otherwise, or no part of what is measured


def run(configs: Sequence[PassportConfig], *, whole_registry: bool = False, command: Sequence[str] = ()) -> int:
    """One passport, or a comparison of several; prints its table and the paths of its files. Returns the exit status.

    Raises BadRequest (exit status 2) for settings that no upsampler can be built with, and for a folder that cannot be
    written. In a comparison of the whole registry such upsamplers are left out, and named.
    """
    words = shlex.join(command)
    if not whole_registry:
        for config in configs:
            build(config)  # what cannot be built is told before a folder is made
    root = Path(configs[0].output_root) / "passports"
    if len(configs) == 1:
        folder = _open(root / folder_name(configs))
        with shown(title(configs[0])) as report:
            result = measure(configs[0], report)
        print(result.table())
        _write(folder, png(result.figure()), page(result, words), result.to_json())
        return 0
    folder = _open(root / (folder_name(configs[:1], instead="all") if whole_registry else folder_name(configs)))
    results = _measure_all(configs, skip=whole_registry)
    print(comparison(results))
    text = json.dumps([plain(result) for result in results], allow_nan=False) + "\n"
    sheet = png(comparison_figure(results))
    _write(folder, sheet, comparison_page(results, sheet, words), text)
    return 0


def build(config: PassportConfig) -> nn.Module:
    """The upsampler of a configuration, with weights from its seed, on its device. Raises BadRequest."""
    device = _device(config.device)
    algorithms = Algorithms(config.conv.conv2d, config.conv.conv_transpose2d)
    options = {key: value for key, value in dataclasses.asdict(config.upsample).items() if key != "name"}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = build_upsampler(
                config.upsample.name,
                config.in_channels,
                config.out_channels,
                config.scale,
                algorithms=algorithms,
                **options,
            )
        return module.to(device)
    except ValueError as error:
        raise _bad(config, error) from None


def measure(config: PassportConfig, report: Report = ignore) -> Passport:
    """The passport of a configuration's upsampler. Raises BadRequest."""
    module = build(config)
    try:
        return passport(
            module,
            config.in_channels,
            config.scale,
            size=config.size,
            seed=config.seed,
            name=title(config),
            cost=config.cost,
            progress=report,
        )
    except ValueError as error:
        raise _bad(config, error) from None


def _bad(config: PassportConfig, error: ValueError) -> BadRequest:
    who = f"upsample={config.upsample.name}: "
    return BadRequest(who + str(error).removeprefix(who))


def _measure_all(configs: Sequence[PassportConfig], *, skip: bool) -> list[Passport]:
    results = []
    with shown("passports") as report:
        for index, config in enumerate(configs):
            try:
                results.append(measure(config, _part(report, index, len(configs), title(config))))
            except BadRequest as error:
                if not skip:
                    raise
                print(f"left out: {error}", file=sys.stderr)
    if not results:
        raise BadRequest("upsample=all: none of them can be built with these settings")
    return results


def _part(report: Report, index: int, count: int, name: str) -> Report:
    """The report of one of several, as part of them all."""
    return lambda share, what: report((index + share) / count, f"{name}: {what}")


def _device(name: str) -> torch.device:
    """`auto`, or a device that is there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = ", ".join(f"cuda:{i}" for i in range(torch.cuda.device_count())) or "no CUDA device"
        raise BadRequest(f"device={name}: not on this machine, which has {there}; use device=auto")
    return device


# ----------------------------------------------------------------------------------------------------------------------
# Names


def title(config: PassportConfig) -> str:
    """The upsampler and the options that differ from its defaults: `deconv kernel_size=3`."""
    return " ".join([config.upsample.name, *_changes(config)])


def _changes(config: PassportConfig) -> list[str]:
    defaults = option_values("upsample", config.upsample.name)
    values = dataclasses.asdict(config.upsample)
    return [f"{key}={_word(value)}" for key, value in values.items() if value != defaults.get(key)]


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def folder_name(configs: Sequence[PassportConfig], instead: str = "") -> str:
    """A folder for what is measured: the upsamplers, and all settings that are not the defaults."""
    names = instead or "+".join("-".join([c.upsample.name, *_changes(c)]) for c in configs)
    defaults = _default_settings()
    common = [f"conv={configs[0].conv.name}"] if configs[0].conv != load_option("conv", "custom") else []
    common += [
        f"{key}={_word(value)}"
        for key, value in dataclasses.asdict(configs[0]).items()
        if key not in _NOT_IN_NAME and value != defaults[key]
    ]
    name = re.sub(r"[^A-Za-z0-9._+=-]+", "_", "-".join([names, *common]))
    if len(name) <= _NAME_LENGTH:
        return name
    return f"{name[: _NAME_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _default_settings() -> dict[str, Any]:
    from upsample_lab.cli.compose import compose_one

    return dataclasses.asdict(compose_one("passport", []))


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
