"""Evaluate the best checkpoint of a run; `upsample-lab evaluate` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("evaluate"))
