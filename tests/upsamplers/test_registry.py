"""One file, one dataclass, one YAML: they agree, and what they do not allow is told in one line."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

from tests.upsamplers.upsampler_cases import NAMES
from upsample_lab.settings import GROUPS, choices, option_values, rule_of
from upsample_lab.upsamplers import UPSAMPLERS, Upsampler, build_upsampler


def test_registry_has_the_family() -> None:
    expected = (
        "bicubic bilinear bilinear_additive blur_deconv blur_pixel_shuffle carafe deconv dysample fourier kaiser "
        "nearest pixel_shuffle unpool"
    )
    assert set(expected.split()) <= set(UPSAMPLERS)  # users' own may come on top
    assert list(UPSAMPLERS) == sorted(UPSAMPLERS)


def test_registry_schema_and_yaml_name_the_same() -> None:
    assert set(UPSAMPLERS) == set(GROUPS["upsample"]) == set(choices("upsample"))


@pytest.mark.parametrize("name", NAMES)
def test_options_agree(name: str) -> None:
    """The constructor takes what the dataclass describes and the YAML gives a value to, and has no default itself."""
    parameters = inspect.signature(UPSAMPLERS[name].__init__).parameters
    own = {key for key in parameters if key not in ("self", "in_channels", "out_channels", "scale", "algorithms")}
    fields = {field.name for field in dataclasses.fields(GROUPS["upsample"][name])}
    values = option_values("upsample", name)
    assert values["name"] == name
    others = {"name", "fold"}  # which no constructor needs
    assert own == fields - others == set(values) - others
    assert all(parameter.default is inspect.Parameter.empty for parameter in parameters.values())
    assert all(rule_of(GROUPS["upsample"][name], key) is not None for key in own)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_come_from_yaml(name: str) -> None:
    values = option_values("upsample", name)
    del values["name"]
    assert repr(build_upsampler(name, 8, 4)) == repr(build_upsampler(name, 8, 4, 2, **values))


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_told(name: str) -> None:
    cls = UPSAMPLERS[name]
    assert isinstance(cls.linear, bool)
    for fact in ("equation", "source", "shift_equivariant", "failure_modes", "parameter_count_formula"):
        assert getattr(cls, fact).strip(), fact
        assert "\n" not in getattr(cls, fact)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "bilinaer",
            {},
            f"upsample=bilinaer: must be one of {', '.join(sorted(NAMES))}; did you mean bilinear?",
        ),
        (
            "nearest",
            {"kernel": 3},
            "upsample.kernel=3: unknown; the options of nearest are kernel_size, order, fold; "
            "did you mean kernel_size?",
        ),
        ("fourier", {"xyz": 1}, "upsample.xyz=1: unknown; the options of fourier are kernel_size, order, fold"),
        ("deconv", {"kernel_size": 9}, "upsample.kernel_size=9: must be an integer from 2 to 8"),
        ("deconv", {"kernel_size": 1}, "upsample.kernel_size=1: must be an integer from 2 to 8"),
        ("deconv", {"kernel_size": "4"}, "upsample.kernel_size='4': must be an integer from 2 to 8"),
        ("deconv", {"kernel_size": True}, "upsample.kernel_size=True: must be an integer from 2 to 8"),
        ("deconv", {"kernel_size": None}, "upsample.kernel_size=None: must be an integer from 2 to 8"),
        ("deconv", {"phase_equal": 1}, "upsample.phase_equal=1: must be true or false"),
        ("bilinear", {"kernel_size": 2}, "upsample.kernel_size=2: must be an odd integer from 1 to 9"),
        (
            "pixel_shuffle",
            {"init": "incr"},
            "upsample.init=incr: must be one of random, icnr; did you mean icnr?",
        ),
        (
            "bicubic",
            {"order": "conv_frist"},
            "upsample.order=conv_frist: must be one of resize_first, conv_first; did you mean conv_first?",
        ),
        ("dysample", {"groups": 3}, "upsample.groups=3: must divide the output channels, which are 4"),
        (
            "deconv",
            {"kernel_size": 2, "scale": 3, "phase_equal": True},
            "upsample.phase_equal=true: needs upsample.kernel_size=2 to be at least the scale, 3, since some phases "
            "have no weights",
        ),
        ("deconv", {"scale": 1}, "scale=1: must be an integer from 2 up"),
        ("deconv", {"scale": 2.0}, "scale=2.0: must be an integer from 2 up"),
        ("deconv", {"in_channels": 0}, "in_channels=0: must be an integer from 1 up"),
        ("deconv", {"out_channels": True}, "out_channels=True: must be an integer from 1 up"),
        (
            "bilinear_additive",
            {"out_channels": 3},
            "upsample=bilinear_additive: sums groups of channels, and 8 input channels make no 3 equal groups; use a "
            "multiple of 3",
        ),
    ],
    ids=lambda value: ",".join(value) or "name" if isinstance(value, dict) else None,
)
def test_one_line_for_what_is_not_allowed(name: str, options: dict[str, Any], message: str) -> None:
    arguments = {"in_channels": 8, "out_channels": 4, **options}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build_upsampler(name, **arguments)


def test_base_class_defines_no_forward() -> None:
    with pytest.raises(NotImplementedError, match="Upsampler defines no forward"):
        Upsampler(1, 1, 2)(None)
