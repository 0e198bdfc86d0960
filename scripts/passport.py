"""Measure an upsampler alone, or those of a run; `upsample-lab passport` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("passport"))
