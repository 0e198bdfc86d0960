"""Derive the transposed convolution, or plan a decoder's sizes; `upsample-lab explain` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("explain"))
