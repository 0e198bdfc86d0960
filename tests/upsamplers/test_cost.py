"""The formulas of the table against counting."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.upsamplers.upsampler_cases import IN_CHANNELS, OUT_CHANNELS, SCALES, VARIANTS, build, guide_for, image, label
from upsample_lab.upsamplers import Algorithms
from upsample_lab.upsamplers._formula import evaluate

variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=label)


class CountMacs(TorchDispatchMode):
    """Multiply-accumulates of everything that is dispatched.

    A matrix product `[a, b] @ [b, c]` has a·b·c. The shifted sums of a resize are products with one weight, `mul` and
    `add` with one for each element and `lerp` with two. A bilinear look-up reads four pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self.count += result.numel() * args[0].shape[-1]
        elif name in ("addmm", "baddbmm"):
            self.count += result.numel() * args[1].shape[-1]
        elif name == "lerp" and "out" in kwargs:
            self.count += 2 * result.numel()
        elif (name == "mul" and "out" in kwargs) or (name == "add_" and kwargs.get("alpha", 1) != 1):
            self.count += result.numel()
        elif name == "grid_sampler_2d":
            self.count += 4 * result.numel()
        return result


@variants
@pytest.mark.parametrize("scale", SCALES)
def test_parameter_count(name: str, options: dict[str, Any], scale: int) -> None:
    module = build(name, scale, **options)
    assert module.parameter_count() == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(  # with phase_equal the weights are projected too, once a call and not for each pixel
    ("name", "options"), [case for case in VARIANTS if "phase_equal" not in case[1]], ids=label
)
@pytest.mark.parametrize("scale", [2, 4])  # with odd scales a phase falls on a pixel, and needs one tap only
def test_macs_per_pixel(name: str, options: dict[str, Any], scale: int) -> None:
    module = build(name, scale, algorithms=Algorithms("im2col", "col2im"), fold="never", **options)
    height, width = 34, 36  # longer than a dense matrix is used for, so that taps are counted one by one
    input = image(height, width, batch=1)
    guide = guide_for(module, input)
    with torch.no_grad(), CountMacs() as macs:
        module(input, guide)
    per_pixel = macs.count / (scale**2 * height * width)
    assert per_pixel == pytest.approx(module.macs_per_pixel(height, width), rel=1e-12)


def test_resize_takes_fewer_taps_at_odd_scales() -> None:
    """The formula counts every tap; where an output pixel lies on an input pixel, one is enough."""
    module = build("bilinear", 3)
    with torch.no_grad(), CountMacs() as macs:
        module.resize(image(33, 33, batch=1))  # type: ignore[operator]
    mean_taps = (2 + 1 + 2) / 3
    assert macs.count / (9 * 33 * 33 * IN_CHANNELS) == pytest.approx(mean_taps + mean_taps / 3)


def test_formulas_evaluate() -> None:
    assert evaluate("C_in·C_out·k²/s² + C_out·(2 - 1)", {"C_in": 3, "C_out": 5, "k": 4, "s": 2}) == 65
    assert math.isclose(evaluate("6 + 6/s", {"s": 4}), 7.5)


@pytest.mark.parametrize("formula", ["C_in·q", "-C_in", "max(C_in)", "'a'", "C_in % 2"])
def test_formulas_refuse_the_rest(formula: str) -> None:
    with pytest.raises(ValueError, match="is no known name, number or operation"):
        evaluate(formula, {"C_in": 1})


def test_a_named_example() -> None:
    """Transposed convolution 4x4 at scale 2: four taps of each phase meet one output pixel."""
    assert build("deconv", kernel_size=4).macs_per_pixel() == 4 * IN_CHANNELS * OUT_CHANNELS
