"""What the processor can do, found out once: it decides how an algorithm computes, never what."""

from __future__ import annotations

import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Whether matrix products of bfloat16 are computed by units made for them, or by plain loops, many times slower.

    On a CPU these are AVX-512 BF16, AMX, or Arm's BF16, and torch reaches them through oneDNN, whose answer this is.
    """
    return _CPU_HAS_BF16 if device.type == "cpu" else True  # and meta, which computes nothing


def _ask_onednn() -> bool:
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # built without oneDNN
        return False


_CPU_HAS_BF16 = _ask_onednn()
