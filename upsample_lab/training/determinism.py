"""`trainer.deterministic`: the same bits again, on the same device, from every kernel that PyTorch and CUDA choose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from upsample_lab.options.trainer import TrainerOptions

CUBLAS_VARIABLE, CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"  # cuBLAS library, "results reproducibility"


@contextmanager
def reproducibly(trainer: TrainerOptions) -> Iterator[None]:
    """PyTorch's switches as `trainer.deterministic` asks, inside; as they were, afterwards.

    An operation without a deterministic kernel then raises, naming itself, instead of giving other bits each time.
    """
    if not trainer.deterministic:
        yield
        return
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    workspace = os.environ.get(CUBLAS_VARIABLE)
    os.environ.setdefault(CUBLAS_VARIABLE, CUBLAS_WORKSPACE)  # read when the first handle is made
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop(CUBLAS_VARIABLE, None)
