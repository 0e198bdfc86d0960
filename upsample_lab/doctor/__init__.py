"""The doctor: find what checkers in anybody's model, see which layer does it, and cure it.

`diagnose` finds the sites where images are enlarged and tells which one makes the pattern; `swap` and `balance` cure
it; `scan` looks at images whose model nobody has; `assert_clean` is for a test suite. Each is imported when it is first
asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upsample_lab.doctor.balancing import balance
    from upsample_lab.doctor.diagnosis import Diagnosis, assert_clean, diagnose
    from upsample_lab.doctor.prescriptions import prescribe
    from upsample_lab.doctor.scanning import scan
    from upsample_lab.doctor.sites import Site, find_sites
    from upsample_lab.doctor.surgery import changes
    from upsample_lab.doctor.swapping import swap

__all__ = [
    "Diagnosis",
    "Site",
    "assert_clean",
    "balance",
    "changes",
    "diagnose",
    "find_sites",
    "prescribe",
    "scan",
    "swap",
]

_HOMES = {
    "Diagnosis": "diagnosis",
    "Site": "sites",
    "assert_clean": "diagnosis",
    "balance": "balancing",
    "changes": "surgery",
    "diagnose": "diagnosis",
    "find_sites": "sites",
    "prescribe": "prescriptions",
    "scan": "scanning",
    "swap": "swapping",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
