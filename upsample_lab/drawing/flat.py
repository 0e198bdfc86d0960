"""What each decoder makes of flat areas: of images of one grey, and of its worst flat window of the test set.

A pattern of one or two grey levels cannot be seen at true contrast, so each tile is shown twice: as it is, and with its
differences from its own mean enlarged, around middle grey. All variants of a column have one factor, so that they can
be compared by eye.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from upsample_lab.catalogue import ARTIFACT, GREYS, metric_of
from upsample_lab.compare.result import Comparison
from upsample_lab.compare.words import listed, metric_value, shortened
from upsample_lab.drawing.comparison import Drawing
from upsample_lab.drawing.looks import PNG_DPI, SMALL_PT
from upsample_lab.drawing.palette import INK
from upsample_lab.drawing.reconstructions import Bytes, as_rgb
from upsample_lab.drawing.stretch import deviation, stretch_factor
from upsample_lab.drawing.style import new_figure
from upsample_lab.runs.files import TEST_IMAGES

SHOWN_PX = 32  # the side of a tile, from its upper left, so that a pixel can be told from the next
MIDDLE = 128  # a stretched tile's mean

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Panel:
    """A column of tiles: by variant one picture `[h, w, 3]` for each of `heads`, and the pattern's size in words."""

    title: str
    heads: tuple[str, ...]
    tiles: Mapping[str, Sequence[Bytes]]
    words: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class FlatPictures:
    """`names` are the variants that have tiles, in the comparison's order."""

    names: tuple[str, ...]
    panels: tuple[Panel, ...]
    note: str


@dataclass(frozen=True, eq=False)
class _Kept:
    """Of one run: reconstructions of uniform images `[5, C, h, w]`, and its worst flat window, `[C, h, w]` each."""

    uniform: Floats
    target: Floats | None = None
    output: Floats | None = None
    window_levels: float = np.nan


def load_flat(comparison: Comparison) -> FlatPictures | None:
    """From the run with the lowest seed of each variant; None where none of them kept any (older runs did not)."""
    kept = {v.name: found for v in comparison.variants if v.runs and (found := _load(v.runs[0].path))}
    levels = {v.name: v.runs[0].summary for v in comparison.variants if v.runs}
    if not kept:
        return None
    panels = []
    for index, grey in enumerate(GREYS):
        shown = {name: one.uniform[index] for name, one in kept.items()}
        words = {name: _levels(levels[name].get(f"uniform/grey{grey}_rms_levels")) for name in shown}
        panels.append(_panel(f"grey {grey}", shown, {}, words))
    windows = {name: one for name, one in kept.items() if one.output is not None and one.target is not None}
    if windows:
        outputs = {name: one.output for name, one in windows.items() if one.output is not None}
        targets = {name: one.target for name, one in windows.items() if one.target is not None}
        words = {name: _levels(one.window_levels) for name, one in windows.items()}
        panels.append(_panel("worst flat window", outputs, targets, words))
    without = [v.name for v in comparison.variants if v.name not in kept]
    return FlatPictures(tuple(kept), tuple(panels), _note(comparison, without))


def _note(comparison: Comparison, without: Sequence[str]) -> str:
    text = (
        "What each decoder makes of images of one grey, and its worst flat window of the test set beside the target, "
        f"from the runs with seed {min(comparison.seeds)}: as it is, and with its differences from its mean enlarged "
        "by the factor above, which is the same for all variants of a column. Below: the pattern's root mean square "
        "in grey levels of 255."
    )
    return f"{text} {listed(without)} kept no such pictures." if without else text


def _load(folder: Path) -> _Kept | None:
    try:
        with safe_open(folder / TEST_IMAGES, framework="numpy") as file:
            names = set(file.keys())
            if "uniform_outputs" not in names:
                return None
            uniform = file.get_tensor("uniform_outputs").astype(np.float32)
            window: dict[str, Floats] = {
                part: file.get_tensor(f"flat_window_{part}").astype(np.float32)
                for part in ("target", "output", "rms_levels")
                if f"flat_window_{part}" in names
            }
    except (SafetensorError, OSError):
        return None
    if uniform.ndim != 4 or len(uniform) != len(GREYS):
        return None
    if len(window) < 3 or not all(len(part) for part in window.values()):
        return _Kept(uniform)
    return _Kept(uniform, window["target"][0], window["output"][0], float(window["rms_levels"][0]))


def _panel(title: str, shown: Mapping[str, Floats], before: Mapping[str, Floats], words: Mapping[str, str]) -> Panel:
    """Of `shown` true and stretched, after the true tiles of `before`."""
    cut = {name: tile[:, :SHOWN_PX, :SHOWN_PX] for name, tile in shown.items()}
    factor = stretch_factor(list(cut.values()))
    tiles = {
        name: [*(_true(other[name][:, :SHOWN_PX, :SHOWN_PX]) for other in [before] if name in other), _true(tile),
               stretched(tile, factor)]
        for name, tile in cut.items()
    }  # fmt: skip
    return Panel(title, (*(["target"] if before else []), "true", f"×{factor}"), tiles, words)


def stretched(tile: Floats, factor: int) -> Bytes:
    """`[C, h, w]` in 0…1 -> `[h, w, 3]`: its differences from each channel's mean, times a factor, around grey."""
    return as_rgb(_bytes(MIDDLE + factor * 255 * deviation(tile))[None])[0]


def _true(tile: Floats) -> Bytes:
    return as_rgb(_bytes(255 * tile)[None])[0]


def _bytes(levels: Floats) -> Bytes:
    return np.nan_to_num(levels).clip(0, 255).round().astype(np.uint8)


def _levels(value: float | None) -> str:
    return metric_value(metric_of(ARTIFACT), value)


# ----------------------------------------------------------------------------------------------------------- the figure

TILE_GAP, PANEL_GAP, WORDS, LABELS, HEADS = 5, 22, 30, 232, 68  # pixels of the figure
WORDS_PT = 7.0


def flat_drawing(pictures: FlatPictures) -> Drawing:
    return Drawing("flat", "What the decoders make of flat areas", pictures.note, partial(_figure, pictures))


def _figure(pictures: FlatPictures, width_in: float) -> Figure:
    """A row for each variant: all tiles side by side, with the pattern's size below.

    Laid out in pixels, each pixel of a tile a whole number of them: else a checkerboard would become a moiré.
    """
    width = round(width_in * PNG_DPI)
    count = sum(len(panel.heads) for panel in pictures.panels)
    room = (width - LABELS - PANEL_GAP * len(pictures.panels) - TILE_GAP * count) // count
    height = HEADS + (room + WORDS) * len(pictures.names)
    figure = new_figure(width_in, height / PNG_DPI, PNG_DPI)
    figure.set_layout_engine("none")

    def write(x: float, y: float, text: str, size_pt: float = WORDS_PT, side: str = "center") -> None:
        figure.text(x / width, 1 - y / height, text, ha=side, va="center", fontsize=size_pt, color=INK)

    tops = {name: HEADS + row * (room + WORDS) for row, name in enumerate(pictures.names)}
    for name, top in tops.items():
        write(LABELS - 16, top + room / 2, shortened(name, 22), SMALL_PT, "right")
    left = LABELS
    for panel in pictures.panels:
        middle = left + ((room + TILE_GAP) * len(panel.heads) - TILE_GAP) / 2
        write(middle, 20, panel.title, SMALL_PT)
        for head in panel.heads:
            write(left + room / 2, 50, head)
            for name, tiles in panel.tiles.items():
                tile = tiles[panel.heads.index(head)]
                scale = max(1, room // max(tile.shape[:2]))
                tall, wide = tile.shape[0] * scale, tile.shape[1] * scale
                x, y = left + (room - wide) // 2, height - tops[name] - (room + tall) // 2
                axes = figure.add_axes((x / width, y / height, wide / width, tall / height))
                axes.imshow(tile, interpolation="nearest", aspect="auto")
                axes.set_axis_off()
            left += room + TILE_GAP
        for name, words in panel.words.items():
            write(middle, tops[name] + room + 13, words)
        left += PANEL_GAP
    return figure
