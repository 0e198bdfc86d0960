"""Train one encoder-decoder, or a sweep of them; `upsample-lab train` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("train"))
