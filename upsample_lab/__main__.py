"""`python -m upsample_lab <command>`."""

from upsample_lab.called import MODULE
from upsample_lab.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main(form=MODULE))
