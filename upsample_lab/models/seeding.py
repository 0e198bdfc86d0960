"""Initial weights that belong to a part of the model, not to the order in which parts are built."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """Draw from a random stream of (seed, part) inside, and leave the caller's stream untouched.

    So two models of the same seed that differ in their upsamplers start from the same encoder, and runs can be paired.
    """
    key = hashlib.sha256(f"weights {seed} {part}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(key[:8], "big") >> 1)
        yield
