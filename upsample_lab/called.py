"""How the user calls the commands, for usage texts, hints, and what is recorded of a run: as it can be pasted."""

from __future__ import annotations

import os
from pathlib import Path

COMMAND, MODULE, SCRIPT = "upsample-lab {}", "python -m upsample_lab {}", "python scripts/{}.py"
FORMS = (COMMAND, MODULE, SCRIPT)
FROM_CHECKOUT = (Path(__file__).parents[1] / "scripts" / "train.py").is_file()
ENVIRONMENT = "UPSAMPLE_LAB_CALLED"


def remember_form(form: str) -> None:
    """Note how this process was called, one of `FORMS`; in the environment, for the workers of a sweep."""
    os.environ[ENVIRONMENT] = form


def call(command: str) -> str:
    """The words that call a command: `python scripts/train.py`, `upsample-lab train`."""
    form = os.environ.get(ENVIRONMENT)
    if form not in FORMS:
        form = SCRIPT if FROM_CHECKOUT else COMMAND
    return form.format(command)


def program(command: str) -> str:
    """The same for who starts Python by other means, as torchrun does: `scripts/train.py`, `-m upsample_lab train`."""
    return call(command).replace("upsample-lab", "-m upsample_lab").removeprefix("python ")
