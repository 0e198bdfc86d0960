"""What a training takes, and the checks across its groups that run before anything starts.

The groups' own options are in `options/`, a file each. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from upsample_lab.options.conv import ConvOptions
from upsample_lab.options.data import DataOptions
from upsample_lab.options.model import ModelOptions
from upsample_lab.options.optim import OptimOptions
from upsample_lab.options.shared import plugins_setting
from upsample_lab.options.task import TaskOptions
from upsample_lab.options.trainer import ExperimentOptions, RunOptions, TrainerOptions
from upsample_lab.options.upsample import UpsampleOptions
from upsample_lab.settings import ConfigError, check_leaf, leaves, setting


@dataclass
class TrainConfig:
    """Everything that `scripts/train.py` takes."""

    task: TaskOptions = MISSING
    upsample: UpsampleOptions = MISSING
    data: DataOptions = MISSING
    model: ModelOptions = MISSING
    conv: ConvOptions = MISSING
    optim: OptimOptions = MISSING
    trainer: TrainerOptions = MISSING
    experiment: ExperimentOptions = field(default_factory=ExperimentOptions)
    run: RunOptions = field(default_factory=RunOptions)
    seed: int = setting("decides initial weights and data order", low=0, high=2**31 - 1)
    output_root: str = setting("folder of all run directories", identity=False, is_path=True)
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="train_schema", node=TrainConfig, provider="upsample_lab")


# ----------------------------------------------------------------------------------------------------------------------
# Checks


def check_values(config: Any) -> None:
    """Check a composed configuration, each value and then the whole. Raises `ConfigError` with one line."""
    for key, cls, name, value in leaves(config):
        check_leaf(key, cls, name, value)
    if isinstance(config, TrainConfig):
        _check_training(config)


def _check_training(config: TrainConfig) -> None:
    size: int = config.data.image_size  # type: ignore[attr-defined]  # every concrete dataset has one
    config.model.check_size(size, config.data.name)
    for in_channels, out_channels in config.model.stages():
        config.upsample.check_stage(in_channels, out_channels, config.model.scale)
    if config.trainer.loss == "bce" and config.model.output != "sigmoid":
        raise ConfigError("trainer.loss=bce: needs model.output=sigmoid, since it compares probabilities")
