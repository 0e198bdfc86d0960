"""The page docs/upsamplers.md, made of what the classes and the configuration say of themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch

from upsample_lab.metrics import dc_phase_variation
from upsample_lab.settings import GROUPS, allowed_text, option_values, rule_of
from upsample_lab.upsamplers import UPSAMPLERS, build_upsampler
from upsample_lab.upsamplers.base import Upsampler

IN_CHANNELS, OUT_CHANNELS, SCALE = 64, 32, 2  # of the figures behind the formulas

INTRODUCTION = """\
# Upsamplers

Written by `python scripts/generate_docs.py` from the code, where each file of
[`upsample_lab/upsamplers`](../upsample_lab/upsamplers) says what it is; a test fails when this page is out of date.

An upsampler maps `[N, C_in, H, W]` to `[N, C_out, s·H, s·W]`, for any scale s from 2 up, odd and even sizes, down to
one pixel. `upsample=<name>` chooses it, `upsample.<option>=<value>` sets an option, and in Python
`build_upsampler("deconv", 64, 32, scale=2, kernel_size=4)` makes one. Positions in images are half-pixel centres:
output pixel o lies at `x_o = (o + ½)/s − ½` in pixels of the input.
"""

COST = f"""
## Cost and behaviour

Parameters, and multiply-accumulates (MACs) for one output pixel: all channels, mean over the phases, away from borders;
adding a bias is none. The figures are for {IN_CHANNELS} channels to {OUT_CHANNELS}, scale {SCALE} and the default
options (and for `fourier` an input of 32 x 32). *Linear* means affine in the input. *DC-phase variation* is that of the
response to ones at the start of training, seed 0: at 0 flat areas have no checkerboard, and random kernels have 0.87.
"""

SYMBOLS = """
`k` kernel_size · `b` biases for each output channel: 1 if tied, else s² · `t` taps of the box along an axis: the odd
one of s and s + 1 · `u` kernel_size, `e` encoder_kernel_size and `m` compressed_channels of carafe · `g` groups, and
`d` 1 for the dynamic scope, else 0 · `H`, `W` size of the input. With order=conv_first, k² becomes k²/s², and the
resize has C_out channels.
"""

DEFINITIONS = """
## Definitions

x is the input and y the output; u has the size of the output, v that of the input. Indices run along each axis alike.
"""

OPTIONS = """
## Options
"""


def upsamplers_page() -> str:
    """The whole page as Markdown, with a line break at its end."""
    parts = [INTRODUCTION, COST, cost_table(), SYMBOLS, DEFINITIONS, definition_table(), OPTIONS, option_table()]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def cost_table() -> str:
    """One row for each upsampler: parameters, multiply-accumulates, behaviour."""
    example = f"{IN_CHANNELS} → {OUT_CHANNELS}"
    head = (
        "name",
        "parameters",
        example,
        "MACs a pixel",
        example,
        "linear",
        "shifts with its input",
        "DC-phase variation",
    )
    return _table(head, (_cost_row(name) for name in UPSAMPLERS))


def definition_table() -> str:
    """One row for each upsampler: equation, source, known failures."""
    head = ("name", "definition", "source", "what is known to go wrong")
    facts = ((name, cls.equation, cls.source, cls.failure_modes) for name, cls in UPSAMPLERS.items())
    return _table(head, ((f"`{name}`", *(fact.replace("|", "\\|") for fact in texts)) for name, *texts in facts))


def option_table() -> str:
    """One row for each option, with all upsamplers that have it alike: default, what is allowed, meaning."""
    owners: dict[tuple[str, ...], list[str]] = {}
    for name in UPSAMPLERS:
        for row in _option_rows(name):
            owners.setdefault(row, []).append(f"`{name}`")
    head = ("option", "of", "default", "allowed", "meaning")
    return _table(head, ((row[0], ", ".join(names), *row[1:]) for row, names in sorted(owners.items())))


def _cost_row(name: str) -> tuple[str, ...]:
    torch.manual_seed(0)
    upsampler = build_upsampler(name, IN_CHANNELS, OUT_CHANNELS, SCALE)
    return (
        f"`{name}`",
        upsampler.parameter_count_formula or "",
        f"{upsampler.parameter_count():,}",
        upsampler.macs_per_pixel_formula or "",
        f"{upsampler.macs_per_pixel():,.0f}",
        "yes" if upsampler.linear else "no",
        upsampler.shift_equivariant,
        "follows the guide" if upsampler.needs_guide else f"{_even_response(upsampler):.2f}",
    )


def _even_response(upsampler: Upsampler) -> float:
    """`dc_phase_variation` of the response to ones, out of the reach of borders."""
    size, margin = 24, 8 * upsampler.scale
    with torch.no_grad():
        response = upsampler.double()(torch.ones(1, upsampler.in_channels, size, size, dtype=torch.float64))
    return dc_phase_variation(response[..., margin:-margin, margin:-margin], upsampler.scale)


def _option_rows(name: str) -> Iterator[tuple[str, str, str, str]]:
    cls, values = GROUPS["upsample"][name], option_values("upsample", name)
    for field in dataclasses.fields(cls):
        rule = rule_of(cls, field.name)
        if rule is not None:
            value = values[field.name]
            default = str(value).lower() if isinstance(value, bool) else str(value)
            yield f"`upsample.{field.name}`", default, allowed_text(cls, field.name), rule.help


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
