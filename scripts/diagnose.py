"""Find which layer of a model makes the pattern in its images; `upsample-lab diagnose` is the same."""

from upsample_lab.cli.app import script

if __name__ == "__main__":
    raise SystemExit(script("diagnose"))
