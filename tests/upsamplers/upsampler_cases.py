"""One small instance of every registered upsampler, and inputs for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from upsample_lab.settings import option_values
from upsample_lab.upsamplers import UPSAMPLERS, Algorithms, Upsampler, build_upsampler

NAMES = tuple(UPSAMPLERS)
FOLDABLE = tuple(name for name in NAMES if "fold" in option_values("upsample", name))
SCALES = (2, 3, 4)
IN_CHANNELS, OUT_CHANNELS = 8, 4

# Every value that a word or a flag can take and the default does not, so that each branch is tested too.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("bilinear", {"order": "conv_first"}),
    ("deconv", {"init": "bilinear"}),
    ("deconv", {"kernel_size": 5, "phase_equal": True}),
    ("pixel_shuffle", {"init": "random", "tie_bias": False}),
    ("blur_pixel_shuffle", {"tie_bias": False}),
    ("dysample", {"scope": "dynamic"}),
]
SMALL: dict[str, dict[str, Any]] = {"carafe": {"kernel_size": 3, "compressed_channels": 3}}


def label(value: object) -> str | None:
    """Readable ids: `deconv`, `init=bilinear`."""
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "defaults"
    return None


def build(
    name: str,
    scale: int = 2,
    seed: int = 0,
    algorithms: Algorithms | None = None,
    fold: str = "auto",
    **options: Any,
) -> Upsampler:
    """A float64 instance with 8 channels in and 4 out: numbers that every upsampler accepts."""
    torch.manual_seed(seed)
    values = {**SMALL.get(name, {}), **({"fold": fold} if name in FOLDABLE else {}), **options}
    module = build_upsampler(name, IN_CHANNELS, OUT_CHANNELS, scale, algorithms=algorithms, **values)
    return module.to(torch.float64)


def image(height: int, width: int, *, batch: int = 2, channels: int = IN_CHANNELS, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, dtype=torch.float64, generator=generator)


def guide_for(module: Upsampler, input: Tensor, *, shift_rows: int = 0) -> Tensor | None:
    """Random positions, one in each s x s window, or None where the upsampler reads none."""
    if not module.needs_guide:
        return None
    batch, _, height, width = input.shape
    s = module.scale
    generator = torch.Generator().manual_seed(2)
    row, column = torch.randint(0, s, (2, batch, module.out_channels, height, width), generator=generator)
    row, column = row.roll(shift_rows, -2), column.roll(shift_rows, -2)
    rows, columns = s * torch.arange(height)[:, None] + row, s * torch.arange(width) + column
    return rows * (s * width) + columns


def interior(output: Tensor, margin: int) -> Tensor:
    return output[..., margin:-margin, margin:-margin]


def phase_gains(output: Tensor, scale: int) -> Tensor:
    """The means over each phase, `[N, C, s²]`."""
    phases = [output[..., a::scale, b::scale].mean((-2, -1)) for a in range(scale) for b in range(scale)]
    return torch.stack(phases, -1)
