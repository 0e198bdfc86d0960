"""Measure one upsampler alone, or compare several: `python scripts/passport.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from upsample_lab.cli.compose import compose_grid
from upsample_lab.cli.main import asks_help, guarded, print_help
from upsample_lab.settings import choices

USAGE = """
Measure an upsampler alone: gains of its phases, responses, borders, shifts, cost, and what is wrong with it.

  python scripts/passport.py upsample=deconv upsample.kernel_size=3     one passport
  python scripts/passport.py upsample=all                               a comparison of the whole registry
  python scripts/passport.py upsample=deconv,nearest,bilinear scale=3   a comparison of some
  python scripts/passport.py upsample=deconv upsample.kernel_size=2,3,4 a comparison of settings

Writes a PNG, a self-contained HTML page and JSON to <output_root>/passports/<name>/.
"""


def main(words: Sequence[str]) -> int:
    """Run the command line; returns the exit status. Nothing imports torch before the settings are known to be good."""
    words = [word for word in words if word not in ("-m", "--multirun")]  # several values compare, with or without
    if asks_help(words):
        print_help("passport", USAGE, [word for word in words if word != "upsample=all"])
        return 0
    every = ",".join(choices("upsample"))
    configs = compose_grid("passport", [f"upsample={every}" if word == "upsample=all" else word for word in words])
    from upsample_lab.passport.command import run

    return run(configs, whole_registry="upsample=all" in words, command=["python", "scripts/passport.py", *words])


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
