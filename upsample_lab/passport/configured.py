"""The passport of a configuration's upsampler."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from upsample_lab.device import choose_device
from upsample_lab.options.passport import PassportConfig
from upsample_lab.passport.measure import Passport, passport
from upsample_lab.passport.progress import Report, ignore
from upsample_lab.settings import ConfigError, option_values
from upsample_lab.upsamplers import Algorithms, build_upsampler


def build(config: PassportConfig) -> nn.Module:
    """The upsampler of a configuration, with weights from its seed, on its device. Raises ConfigError."""
    device = choose_device(config.device, "device")
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
    """The passport of a configuration's upsampler. Raises ConfigError."""
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


def _bad(config: PassportConfig, error: ValueError) -> ConfigError:
    who = f"upsample={config.upsample.name}: "
    return ConfigError(who + str(error).removeprefix(who))


def title(config: PassportConfig) -> str:
    """The upsampler and the options that differ from its defaults: `deconv kernel_size=3`."""
    return " ".join([config.upsample.name, *changes(config)])


def changes(config: PassportConfig) -> list[str]:
    defaults = option_values("upsample", config.upsample.name)
    values = dataclasses.asdict(config.upsample)
    return [f"{key}={shown_value(value)}" for key, value in values.items() if value != defaults.get(key)]


def shown_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
