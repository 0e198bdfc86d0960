"""Write a run's best checkpoint for where no Python is; `upsample-lab export` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("export"))
