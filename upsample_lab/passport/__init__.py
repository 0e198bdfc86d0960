"""The passport of an upsampler: what is measured of it alone, and what is wrong with it.

`passport(module, in_channels, scale)` measures any module; `lint` tells only what is wrong.
"""

import sys
from types import ModuleType
from typing import Any

from upsample_lab.cost import count_macs
from upsample_lab.passport.measure import Passport, lint, passport
from upsample_lab.passport.record import Finding

__all__ = ["Finding", "Passport", "count_macs", "lint", "passport"]


class _Callable(ModuleType):
    """`upsample_lab.passport` is this package for whoever imports from it, and the function for whoever calls it."""

    def __call__(self, *arguments: Any, **named: Any) -> Passport:
        return passport(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
