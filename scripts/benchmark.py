"""Measure speed; `upsample-lab benchmark` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("benchmark"))
