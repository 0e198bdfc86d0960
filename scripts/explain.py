"""Derive the transposed convolution with symbols, or plan a decoder's sizes: `python scripts/explain.py --help`."""

from upsample_lab.explain.command import main

if __name__ == "__main__":
    raise SystemExit(main())
