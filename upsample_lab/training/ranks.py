"""Which of the processes that torchrun started this one is; read from the environment, without importing torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from upsample_lab.settings import ConfigError

NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
VARIABLES = (*NUMBERS, "MASTER_ADDR")
HOW_TO_START = "start with torchrun, which sets them all, or unset RANK and WORLD_SIZE"


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one run together: its number of all, and its number on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_writer(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0


def read_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """What torchrun says; one process alone where it says nothing. Raises `ConfigError` where it says half of it."""
    if environment.get("WORLD_SIZE", "1") == "1" and environment.get("RANK", "0") == "0":
        return Ranks()
    missing = [name for name in VARIABLES if name not in environment]
    if missing:
        raise ConfigError(f"RANK or WORLD_SIZE is set, but {', '.join(missing)} is not; {HOW_TO_START}")
    for name in NUMBERS:
        if not environment[name].isdecimal():
            raise ConfigError(f"{name}={environment[name]}: must be a whole number; {HOW_TO_START}")
    rank, size, local_rank, local_size, _ = (int(environment[name]) for name in NUMBERS)
    if rank >= size or local_rank >= local_size:
        raise ConfigError(
            f"RANK={rank}, WORLD_SIZE={size}, LOCAL_RANK={local_rank}, LOCAL_WORLD_SIZE={local_size}: "
            f"a rank must be smaller than its size; {HOW_TO_START}"
        )
    return Ranks(rank, size, local_rank, local_size)


def speaks() -> bool:
    """Whether this process may print: of those that do the same work, the first one alone."""
    try:
        return read_ranks().is_writer
    except ConfigError:
        return True
