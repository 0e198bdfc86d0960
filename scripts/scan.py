"""Look for patterns of a fixed period in images that exist already; `upsample-lab scan` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("scan"))
