"""The options of every group and command, a file each: what can be set, what it means, and what it allows.

A group is a dataclass; the values live in `configs/` and nowhere else, so no field has a default here. A field says
what it means and what it allows (`setting`, see `settings.py`), and from that one place come the checks, their messages
and the help page. Nothing here imports torch: help and configuration errors answer at once.

Whoever imports one of the files has all of them registered.
"""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from upsample_lab.options import (
    compare,
    conv,
    data,
    diagnose,
    evaluate,
    explain,
    export,
    model,
    optim,
    passport,
    task,
    trainer,
    upsample,
)
from upsample_lab.settings import GROUPS, option_values

__all__ = [
    "RETIRED",
    "compare",
    "conv",
    "data",
    "diagnose",
    "evaluate",
    "explain",
    "export",
    "load_option",
    "model",
    "optim",
    "passport",
    "task",
    "trainer",
    "upsample",
]

RETIRED = {"upsample": ("fold",), "data": ("fallback",)}
"""Settings that every choice of a group had once, and that those where they did nothing have lost: the `config.yaml` of
an older run still has them. They decided no result."""


def load_option(group: str, name: str) -> Any:
    """`option_values` as the group's dataclass."""
    schema = OmegaConf.structured(GROUPS[group][name]) if name in GROUPS.get(group, {}) else None
    values = option_values(group, name)
    return OmegaConf.to_object(OmegaConf.merge(schema, values))
