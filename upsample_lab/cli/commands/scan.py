"""Look for patterns of a fixed period in images that exist already."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_lab.called import call
from upsample_lab.cli.main import OneLineParser, as_called
from upsample_lab.settings import ConfigError

if TYPE_CHECKING:
    from upsample_lab.doctor.scanning import RepeatedPattern, Scan, ScannedImage

USAGE = """
Look for patterns that repeat at a fixed period in the images of a folder: outputs of a model that nobody has, say.

  {call} outputs/samples                      periods 2, 4 and 8, and others up to 16 if they stand out
  {call} outputs/samples --periods 3 9        of a model with stages of scale 3
  {call} outputs/samples --out scan           the table, the picture and the JSON into scan/

What counts as a pattern, and how often clean photographs are taken to have one, is in docs/scan.md.
"""
SHOWN = 12  # images in the table
DRAWN = 6  # and in the picture
DRAWN_FACTOR = 10
NOTHING = "Nothing repeats in these images that could be seen."
CAUSES = {2: "one stage of scale 2", 4: "two stages of scale 2, or one of 4", 8: "three stages of scale 2"}


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError`."""
    parser = OneLineParser(
        prog=call("scan"),
        description=as_called(USAGE, "scan"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="images of any size and format, in folders of any depth")
    parser.add_argument(
        "--periods", type=int, nargs="+", default=[2, 4, 8], help="periods in pixels to look for (default: 2 4 8)"
    )
    parser.add_argument("--no-search", action="store_true", help="look for no other periods")
    parser.add_argument("--out", type=Path, help="folder for scan.json and scan.png (default: outputs/scan/<folder>)")
    given = parser.parse_args(list(words))
    return run(given)


def run(given: argparse.Namespace) -> int:
    """Scan, print the table, and write JSON and the picture."""
    from rich.console import Console
    from rich.progress import track

    from upsample_lab.doctor.scanning import scan

    bar = partial(track, description="looking", console=Console(stderr=True), transient=True)
    found = scan(given.folder, given.periods, search=not given.no_search, track=bar)
    out = given.out or Path("outputs") / "scan" / given.folder.absolute().name
    print(verdict(found))
    _print_table(found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        found.write_json(out / "scan.json")
        if found.flagged:
            _draw(found, out / "scan.png")
            print(f"picture:  {out / 'scan.png'}")
    except OSError as error:
        raise ConfigError(f"--out={out}: cannot be written ({error.strerror or error})") from None
    print(f"figures:  {out / 'scan.json'}")
    return 0


def verdict(found: Scan) -> str:
    """What was found, in sentences."""
    count = len(found.images)
    lines = []
    periods = sorted({p.period for image in found.flagged for p in image.patterns if not p.is_jpegs})
    for period in periods:
        own = [_of(image, period) for image in found.images]
        seen = [p for p in own if p is not None]
        levels = sorted(p.rms_levels for p in seen)
        hint = f" ({CAUSES[period]})" if period in CAUSES else ""
        lines.append(
            f"Period {period}{hint}: in {len(seen)} of {count} images, {levels[len(levels) // 2]:.2f} levels in the "
            f"median image, {levels[-1]:.2f} in the strongest."
        )
    for common in found.common:
        if not common.is_jpegs:
            lines.append(
                f"All images together have {common.rms_levels:.2f} levels of period {common.period} in step, in "
                f"{common.plane}: what repeats from image to image is the model's, not the subject's."
            )
    lines = lines or [NOTHING]
    blocks, halved = (sum(getattr(image, name) for image in found.images) for name in ("jpeg_blocks", "halved_colours"))
    if blocks:
        lines.append(f"{blocks} of {count} images show the 8 x 8 blocks of JPEG, which are no layer's.")
    if halved:
        lines.append(
            f"In {halved} of {count} the colours have half the resolution, as JPEG keeps them; nobody sees it."
        )
    if found.left_out:
        name, why = next(iter(found.left_out.items()))
        lines.append(f"{len(found.left_out)} files could not be read, such as {name}: {why}.")
    return "\n".join(lines)


def _of(image: ScannedImage, period: int) -> RepeatedPattern | None:
    """The strongest pattern of a period that is not JPEG's."""
    own = [p for p in image.patterns if p.period == period and not p.is_jpegs]
    return max(own, key=lambda pattern: pattern.rms_levels, default=None)


def _print_table(found: Scan) -> None:
    from rich import box
    from rich.table import Table

    from upsample_lab.training.display import result_console

    rows = [(image, pattern) for image in found.images for pattern in image.patterns]
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("image", overflow="fold")
    for heading in ("period", "levels", "over its\nneighbourhood"):
        table.add_column(heading, justify="right")
    for heading in ("in", "cause"):
        table.add_column(heading)
    for image, pattern in rows[:SHOWN]:
        levels, ratio = f"{pattern.rms_levels:.2f}", f"{pattern.ratio:,.0f} x"
        table.add_row(image.name, str(pattern.period), levels, ratio, pattern.plane, pattern.cause)
    result_console().print(table)
    if len(rows) > SHOWN:
        print(f"and {len(rows) - SHOWN} more patterns, all in scan.json")


def _draw(found: Scan, path: Path) -> None:
    """The calmest parts of the worst images, as they are, and the differences from their local mean stretched."""
    import numpy as np
    from PIL import Image

    from upsample_lab.data.decode import read_image, whole
    from upsample_lab.doctor.scanning import CROP_PX
    from upsample_lab.drawing.pictures import pattern_grid

    crops, heads = [], []
    for image in found.flagged[:DRAWN]:
        pixels = read_image(Path(found.folder) / image.name, whole)
        pixels = np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels
        top, left = image.crop
        crop = pixels[top : top + CROP_PX, left : left + CROP_PX].transpose(2, 0, 1) / np.float32(255)
        rest = [(0, 0), *((0, CROP_PX - side) for side in crop.shape[1:])]
        crops.append(np.pad(crop, rest, mode="edge"))
        heads.append(f"{Path(image.name).name[-18:]}: {image.strongest:.2f}")
    grid = pattern_grid({"as it is": np.stack(crops)}, heads, DRAWN_FACTOR, max(found.periods))
    Image.fromarray(grid).save(path, format="PNG")
