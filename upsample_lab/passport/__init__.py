"""The passport of an upsampler: what is measured of it alone, and what is wrong with it.

`passport(module, in_channels, scale)` measures any module; `lint` tells only what is wrong.
"""

from upsample_lab.cost import count_macs
from upsample_lab.late import make_callable
from upsample_lab.passport.measure import Passport, lint, passport
from upsample_lab.passport.record import Finding

__all__ = ["Finding", "Passport", "count_macs", "lint", "passport"]


make_callable(__name__)
