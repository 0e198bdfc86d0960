"""Draw what trained models make of uniform images, beside each other: the picture that the README opens with.

    python scripts/pattern_picture.py OUT.png RUN [RUN ...] [--grey 192]

Each run is a directory of scripts/train.py. Each column is one run: the reconstruction of an image of one grey, at
true contrast, and with its differences from its own mean enlarged by the factor that is written on it.
Exit status 2 where a run keeps no such images.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from upsample_lab.catalogue import GREYS
from upsample_lab.cli.main import BadRequest, OneLineParser, guarded
from upsample_lab.drawing.pictures import pattern_grid
from upsample_lab.runs.files import TEST_IMAGES
from upsample_lab.runs.stored_config import read_train_config


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--grey", type=int, choices=GREYS, default=192)
    given = parser.parse_args(words)
    tiles, heads = zip(*(_tile(run, given.grey) for run in given.runs), strict=True)
    picture = pattern_grid({f"grey {given.grey}": np.stack(tiles)}, heads)
    Image.fromarray(picture).save(given.out)
    for head in heads:
        print(head)
    return 0


def _tile(run: Path, grey: int) -> tuple[np.ndarray, str]:
    """The run's reconstruction of that grey, `[C, h, w]`, and what is written above it."""
    try:
        outputs = load_file(run / TEST_IMAGES)["uniform_outputs"]
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadRequest(f"{run}: keeps no reconstructions of uniform images ({error})") from None
    name = summary["upsample"]
    if getattr(read_train_config(run / "config.yaml").upsample, "phase_equal", False):
        name += ", phase_equal"
    return outputs[GREYS.index(grey)], f"{name}: {summary[f'uniform/grey{grey}_rms_levels']:.2f} levels"


if __name__ == "__main__":
    sys.exit(guarded(main))
