"""The published figure of the self-test: detection curves, and what the patterns look like."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from upsample_lab.metrics.spectrum import LINE_PERIODS, ORIENTATIONS
from upsample_lab.selftest.carriers import TITLES
from upsample_lab.selftest.probes import AMPLITUDES, GREY_LEVEL, PROBES, checkerboard, is_found
from upsample_lab.selftest.report import Curves

_COLOURS = {"horizontal": "#0072b2", "vertical": "#e69f00", "diagonal": "#009e73"}  # Okabe and Ito: colour-blind safe
_MARKERS = {"horizontal": "o", "vertical": "s", "diagonal": "D"}
_TICKS = ["clean", *(f"{amplitude:g}" for amplitude in AMPLITUDES)]
_EXAMPLE_LEVELS = (0.0, 4.0, 16.0)


def draw(curves: Curves, carriers: dict[str, Tensor], path: Path) -> None:
    """Write a PNG: a row of panels for each carrier, and one for the metrics that do not look at its images."""
    first = next(iter(carriers))
    figure = Figure(figsize=(18, 4.2 * (len(carriers) + 1)), layout="constrained")
    grid = figure.subplots(len(carriers) + 1, 4)
    for row, carrier in zip(grid, carriers, strict=False):
        for panel, period in zip(row, LINE_PERIODS, strict=False):
            _draw_curves(panel, curves, "line_energy_db", carrier, period)
            panel.set_title(f"Spectral line, period {period}\n{TITLES[carrier]}")
            panel.set_ylim(-8, 46)
        _draw_curves(row[3], curves, "phase_variance", carrier, 2)
        row[3].set_title(f"Phase variance of a residual, period 2\n{TITLES[carrier]}, blurred")
    for carrier in carriers:
        _draw_curves(grid[-1, 0], curves, "radial_corner_db", carrier, 2)
        loudest = curves[carrier, "radial_corner_db", 2, "diagonal"][-1][0]
        shift, side = ((6, -44), "right") if carrier == first else ((-24, 0), "right")
        grid[-1, 0].annotate(TITLES[carrier], (7, loudest), shift, textcoords="offset points", ha=side)
    grid[-1, 0].set_title("Corner of the radial spectrum\nfound: 3 dB above clean")
    _draw_curves(grid[-1, 1], curves, "nearest_residual", first, 2)
    grid[-1, 1].set_title(f"Nearest residual, period 2\n{TITLES[first]}, nearest-upsampled")
    _draw_curves(grid[-1, 2], curves, "dc_phase_variation", first, 2)
    grid[-1, 2].set_title("DC-phase variation, period 2\na constant 0.5")
    _draw_examples(grid[-1, 3], carriers)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=5, frameon=False, fontsize=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=75)


def _draw_curves(axes: Axes, curves: Curves, name: str, carrier: str, period: int) -> None:
    """Mean over the sets against the amplitude; a filled marker is a find in every set."""
    probe = PROBES[name]
    for orientation in probe.orientations:
        curve = curves[carrier, name, period, orientation]
        means = [sum(values) / len(values) for values in curve]
        colour, marker = _COLOURS[orientation], _MARKERS[orientation]
        axes.plot(range(len(means)), means, color=colour, linewidth=1.8)
        for x, (mean, values) in enumerate(zip(means, curve, strict=True)):
            fill = colour if is_found(probe, values, curve[0]) else "white"
            axes.plot(x, mean, marker, color=colour, markerfacecolor=fill, markersize=7)
    if not probe.relative:
        axes.axhline(probe.threshold, color="0.35", linewidth=1, linestyle="--")
    if probe.unit != "dB":
        axes.set_yscale("symlog", linthresh=probe.threshold / 100)
        axes.set_ylim(-probe.threshold / 200, 1)
    axes.set_xticks(range(len(_TICKS)), _TICKS)
    axes.set_xlabel("amplitude of the pattern (grey levels of 255)")
    axes.set_ylabel(probe.unit)
    axes.grid(alpha=0.25)


def _draw_examples(axes: Axes, carriers: dict[str, Tensor]) -> None:
    """One image of each carrier, clean and with diagonal checkerboards, for the eye to compare."""
    rows = []
    for images in carriers.values():
        image = images[0]
        pattern = checkerboard(2, "diagonal", image.shape[-2], image.shape[-1])
        tiles = torch.cat([image + level * GREY_LEVEL * pattern for level in _EXAMPLE_LEVELS], dim=-1)
        tiles = torch.nn.functional.interpolate(tiles[None], size=(96, 96 * len(_EXAMPLE_LEVELS)))[0]
        rows.append(tiles.expand(3, -1, -1))
    axes.imshow(torch.cat(rows, dim=1).clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([48 + 96 * i for i in range(len(_EXAMPLE_LEVELS))], [f"{level:g}" for level in _EXAMPLE_LEVELS])
    axes.set_yticks([])
    axes.set_xlabel("amplitude (grey levels of 255)")
    axes.set_title("To the eye:\ndiagonal pattern, period 2")


def _legend() -> list[Line2D]:
    lines = [Line2D([], [], color=_COLOURS[o], marker=_MARKERS[o], label=o) for o in ORIENTATIONS]
    open_marker = Line2D([], [], color="0.3", marker="o", markerfacecolor="white", linestyle="", label="not found")
    threshold = Line2D([], [], color="0.35", linestyle="--", label="found above this line (filled markers)")
    return [*lines, open_marker, threshold]
