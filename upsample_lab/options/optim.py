"""The options of each optimizer, `optim.<option>=`."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from upsample_lab.settings import option, setting


@dataclass
class OptimOptions:
    name: str = MISSING
    lr: float = setting("learning rate at its highest", above=0, high=100)
    weight_decay: float = setting("weight decay", low=0)
    schedule: str = setting("learning rate over training", choices=("constant", "cosine"))
    warmup_fraction: float = setting("part of the training over which the rate rises from 0", low=0, high=0.9)
    clip_grad_norm: float | None = setting("largest norm of the gradient; null for no clipping", above=0)


@option("optim", "adam")
@option("optim", "adamw")
@dataclass
class AdamOptions(OptimOptions):
    beta1: float = setting("decay of the first moment", low=0, high=0.9999)
    beta2: float = setting("decay of the second moment", low=0, high=0.999999)


@option("optim", "sgd")
@dataclass
class SgdOptions(OptimOptions):
    momentum: float = setting("momentum", low=0, high=0.9999)
    nesterov: bool = setting("Nesterov's form of momentum")
