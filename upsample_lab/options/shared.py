"""Settings that several commands have alike."""

from __future__ import annotations

from typing import Any

from upsample_lab.settings import setting


def device_setting() -> Any:
    """Where to compute: no part of a run's identity."""
    return setting(
        "where to compute; auto takes CUDA when there is one",
        pattern=r"auto|cpu|cuda(:\d+)?",
        pattern_help="auto, cpu, cuda or cuda:<number>",
        identity=False,
    )


def plugins_setting() -> Any:
    """Whose parts may be chosen besides the package's own; what was chosen of them is in the group's own settings."""
    return setting(
        "modules with parts of your own, which are imported and so run",
        pattern=r"[A-Za-z_][\w.]*",
        pattern_help="a list of names of Python modules, such as [my_lab]",
        empty=True,
        identity=False,
    )
