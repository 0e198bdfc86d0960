"""Reading the `config.yaml` of a run directory, which may be a stranger's: plain values, checked, and no code run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from upsample_lab.called import call
from upsample_lab.config import TrainConfig, check_values
from upsample_lab.options import RETIRED
from upsample_lab.options.task import DEFAULT_TASK
from upsample_lab.settings import GROUPS, ConfigError, option_values

MAX_CONFIG_BYTES, MAX_CONFIG_BRACKETS = 1 << 18, 1000  # a run's has one or two thousand bytes, and few brackets
MALFORMED = (KeyError, TypeError, AttributeError, ValueError, RecursionError, OSError)


def read_train_config(path: Path) -> TrainConfig:
    """The configuration that a run directory's `config.yaml` holds, checked. Raises `ConfigError` with one line.

    A setting that did not exist when the run was made has its default; one that its choice has lost is left out.
    """
    try:
        values: Any = _plain_values(path)
        values.setdefault("task", {"name": DEFAULT_TASK})  # of runs from before there were others
        names = {group: values[group].get("name", "default") for group in GROUPS if group in values}
        plugins = list(values.get("plugins") or [])
        _refuse_unknown(path, names, plugins)
        schema = TrainConfig(**{group: GROUPS[group][name]() for group, name in names.items()})
        defaults = {group: option_values(group, name) for group, name in names.items()}
        for group, known in defaults.items():
            for key in set(RETIRED.get(group, ())) - known.keys():
                values[group].pop(key, None)
        given = {**defaults, "plugins": plugins}
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), given, values))
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a run directory is one that {call('train')} made") from None
    except (OmegaConfBaseException, YAMLError, *MALFORMED) as error:
        raise ConfigError(f"{path}: not the configuration of a run ({' '.join(str(error).split())})") from None
    assert isinstance(config, TrainConfig)
    check_values(config)
    return config


def _refuse_unknown(path: Path, names: Mapping[str, str], plugins: Sequence[str]) -> None:
    """A run's part that no plugin at hand has: its own configuration names the plugin, which is never imported for it,
    since a directory may be a stranger's."""
    for group, name in names.items():
        if name not in GROUPS[group]:
            hint = (
                f"; its plugins were plugins=[{','.join(map(str, plugins))}], give them if you trust them"
                if plugins
                else ""
            )
            raise ConfigError(f"{path}: {group}={name} is neither in the package nor in a plugin at hand{hint}")


def _plain_values(path: Path) -> DictConfig:
    """The values of a YAML file that may come from anybody: plain ones only, and not many.

    Neither aliases, of which a few lines make billions of values, nor interpolations, which read the environment.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        text = file.read(MAX_CONFIG_BYTES + 1).decode()
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"it has more than {MAX_CONFIG_BYTES} bytes")
    if text.count("[") + text.count("{") > MAX_CONFIG_BRACKETS:  # the parser's time grows with their square
        raise ValueError(f"it has more than {MAX_CONFIG_BRACKETS} brackets")
    if "${" in text:
        raise ValueError("it has interpolations, ${...}, where a run's configuration has values")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise ValueError("it has aliases")
    values = OmegaConf.create(text)
    if not isinstance(values, DictConfig):
        raise ValueError("it is not a mapping")
    return values
