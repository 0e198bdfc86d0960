"""What docs/passport.md shows of the registry: its table, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from upsample_lab.compose import compose_grid
from upsample_lab.cost import count_macs, parameter_count
from upsample_lab.drawing.passport import comparison_figure
from upsample_lab.drawing.style import png
from upsample_lab.options.passport import PassportConfig
from upsample_lab.passport.configured import build, measure
from upsample_lab.passport.isolation import cast, isolated
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.table import comparison_rows, count
from upsample_lab.passport.timing import batch_shape
from upsample_lab.settings import choices
from upsample_lab.upsamplers import Upsampler

COLUMNS = (
    "", "relative DC-phase variation", "shift px", "image rejection", "droop", "half a pixel, half band", "border",
    "parameters", "MACs a pixel", "as run",
)  # fmt: skip

PICTURES = {
    "passport-deconv-k3": ["upsample=deconv", "upsample.kernel_size=3"],
    "passport-bilinear": ["upsample=bilinear"],
    "passport-deconv-k3-bilinear": ["upsample=deconv,bilinear", "upsample.kernel_size=3"],
    "passport-all": [f"upsample={','.join(choices('upsample'))}"],
}
"""Name of the picture, and the words of `scripts/passport.py` that draw it."""


def registry_table() -> str:
    """The Markdown table of `scripts/passport.py upsample=all`, but for what depends on the machine: the times."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS)]
    for config in compose_grid("passport", [*PICTURES["passport-all"], "cost=false", "device=cpu"]):
        layer = build(config)
        assert isinstance(layer, Upsampler), "the registry holds no others"
        name, *figures = comparison_rows([measure(config)])[0]
        as_run = _macs_as_run(layer, config)
        defined = layer.macs_per_pixel(config.size, config.size)
        rows.append((f"`{name}`", *figures[:6], f"{parameter_count(layer):,}", count(defined), count(as_run)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _macs_as_run(layer: nn.Module, config: PassportConfig) -> float:
    """For an output pixel, counted as a passport counts, without its times."""
    with isolated(layer) as twin:
        probe = Probe(twin, config.in_channels, config.scale, config.size)
        cast(probe.module, torch.float32)
        shape = batch_shape(probe)
        return count_macs(probe.raw, torch.ones(shape, dtype=torch.float32)) / (
            shape[0] * (config.scale * config.size) ** 2
        )


def pictures() -> Iterator[tuple[str, bytes]]:
    """`(name, PNG)` of each of `PICTURES`. Takes about a minute: they show times too."""
    for name, words in PICTURES.items():
        results = [measure(config) for config in compose_grid("passport", words)]
        sheet = results[0].figure() if len(results) == 1 else comparison_figure(results)
        yield name, png(sheet)
