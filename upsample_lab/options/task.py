"""`task=`: what goes in, what is wanted, how it is judged."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from upsample_lab.settings import option

DEFAULT_TASK = "reconstruct"
"""It decides nothing that runs from before there were tasks did not have, so it is in no name and no digest."""


@option("task", "reconstruct")
@dataclass
class TaskOptions:
    """What every task's options have in common."""

    name: str = MISSING
