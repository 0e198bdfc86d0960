"""Other people's modules: measured as far as it goes and left as they were, or refused in one line that says why."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.passport import lint, passport
from upsample_lab.passport.isolation import cast
from upsample_lab.passport.probe import Refused

from .modules import seeded


def bilinear(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2.0, mode="bilinear")


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: Tensor) -> object:
        return self.function(input)


class OneSize(nn.Module):
    """Takes images of one size only, as one with a table of positions does."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(size, size))

    def forward(self, input: Tensor) -> Tensor:
        assert input.shape[-2:] == self.positions.shape, "wrong size"
        return bilinear(input + self.positions)


class Spectral(nn.Module):
    """Real images with complex weights between them: half a turn of all frequencies but the constant."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.tensor(1j))

    def forward(self, input: Tensor) -> Tensor:
        turned = torch.fft.ifft2(torch.fft.fft2(input) * self.turn * self.turn.conj()).real
        return bilinear(turned)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.up = nn.ConvTranspose2d(8, 3, 4, 2, 1)

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.up(self.down(input))
        return output


def dcgan_block() -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())


def generator() -> nn.Module:
    """DCGAN's, from 1 x 1 to 64 x 64: its first layer adds 3 pixels, so that it has no factor."""
    doubled = [nn.ConvTranspose2d(8, 8, 4, 2, 1) for _ in range(4)]
    return nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 1, 0), *doubled)


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, and met
        module = torch.jit.script(nn.Sequential(nn.ConvTranspose2d(3, 3, 4, 2, 1), nn.ReLU()))
    assert isinstance(module, nn.Module)
    return module


def traced() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.trace(nn.Upsample(scale_factor=2, mode="bilinear"), torch.ones(1, 3, 16, 16))
    assert isinstance(module, nn.Module)
    return module


# name: (module, codes of findings whatever their severity, whether a gradient comes back)
MEASURED: dict[str, tuple[Callable[[], nn.Module], set[str], bool]] = {
    "sequential": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1)), {"uneven-border"}, True
    ),
    "DCGAN block": (dcgan_block, {"unequal-phase-gains", "uneven-border"}, True),
    "with a scripted part": (
        lambda: nn.Sequential(scripted(), nn.Identity()), {"unequal-phase-gains", "uneven-border"}, True
    ),
    "scripted": (scripted, {"unequal-phase-gains", "uneven-border"}, True),
    "traced": (traced, set(), True),
    "frozen": (
        lambda: nn.ConvTranspose2d(3, 3, 4, 2, 1).requires_grad_(False), {"unequal-phase-gains", "uneven-border"}, True
    ),
    "bfloat16": (lambda: nn.Upsample(scale_factor=2, mode="bilinear").bfloat16(), set(), True),
    "lazy": (lambda: nn.LazyConvTranspose2d(3, 4, 2, 1), {"unequal-phase-gains", "uneven-border"}, True),
    "one size": (lambda: OneSize(16), {"refused-size"}, True),
    "to a size": (lambda: nn.Upsample(size=(32, 32), mode="bilinear"), {"wrong-output-size"}, True),
    "no_grad": (lambda: Call(torch.no_grad()(bilinear)), {"no-gradient"}, False),
    "inference_mode": (lambda: Call(torch.inference_mode()(bilinear)), {"no-gradient"}, False),
    "through NumPy": (
        lambda: Call(lambda x: torch.from_numpy(x.numpy().repeat(2, -1).repeat(2, -2))), {"no-gradient"}, False
    ),
    "through NumPy, detached": (
        lambda: Call(lambda x: torch.from_numpy(x.detach().numpy().repeat(2, -1).repeat(2, -2))),
        {"no-gradient"},
        False,
    ),
    "writes to its input": (lambda: Call(lambda x: bilinear(x.mul_(2))), set(), True),
    "complex within": (Spectral, set(), True),
    "upside down": (lambda: Call(lambda x: bilinear(x).flip(-2)), {"displaced"}, True),
}  # fmt: skip


@pytest.mark.parametrize(("make", "codes", "differentiable"), MEASURED.values(), ids=MEASURED)
def test_measured_as_far_as_it_goes(make: Callable[[], nn.Module], codes: set[str], differentiable: bool) -> None:
    module = seeded(make)
    torch.manual_seed(0)  # a lazy module draws its weights at its first call
    measured = passport(module, 3, 2, size=16)
    assert {finding.code for finding in measured.findings} == codes
    assert np.isfinite(measured.gradient.border_ratio) == differentiable
    assert np.isfinite(measured.equivariance.integer_db)
    assert measured.cost is not None
    assert measured.cost.timings[0].forward_ms is not None
    assert (measured.cost.timings[0].backward_ms is not None) == differentiable
    assert measured.to_json()
    assert "undefined" in measured.table() or differentiable


def test_all_of_it_is_drawn_where_something_is_undefined() -> None:
    measured = passport(Call(torch.no_grad()(bilinear)), 3, 2, size=16, cost=False)
    measured.figure()


# name: (module, channels, scale, what the line says, what it does not)
REFUSED: dict[str, tuple[Callable[[], nn.Module], int, int, str, str]] = {
    "U-Net": (UNet, 3, 2, "16 x 16 becomes 16 x 16; it does not enlarge", "give scale"),
    "DCGAN": (generator, 3, 16, "32 x 32 becomes 560 x 560, 17.5 times as large", "give scale"),
    "DCGAN, as was advised": (generator, 3, 18, "32 x 32 becomes 560 x 560, 17.5 times as large", "give scale"),
    "DCGAN, as it is used": (generator, 3, 64, "32 x 32 becomes 560 x 560, 17.5 times as large", "give scale"),
    "two factors": (
        lambda: nn.Upsample(scale_factor=(2, 3)), 3, 2, "becomes 32 x 48; a passport is of one factor", "give scale"
    ),
    "two and a half": (lambda: nn.Upsample(scale_factor=2.5), 3, 2, "40 x 40, 2.5 times as large", "give scale"),
    "another factor": (lambda: nn.Upsample(scale_factor=3), 3, 2, "give scale=3", "scale=2;"),
    "another factor, and a border": (lambda: nn.ConvTranspose2d(3, 3, 5, 4), 3, 2, "give scale=4", "scale=2;"),
    "smaller": (lambda: nn.Conv2d(3, 3, 3, 2, 1), 3, 2, "it does not enlarge", "give scale"),
    "tuple": (lambda: Call(lambda x: (bilinear(x),)), 3, 2, "got tuple", "fails"),
    "dict": (lambda: Call(lambda x: {"out": bilinear(x)}), 3, 2, "got dict", "fails"),
    "array": (lambda: Call(lambda x: bilinear(x).numpy()), 3, 2, "got ndarray", "fails"),
    "number": (lambda: Call(lambda x: x.mean()), 3, 2, r"got ()", "fails"),
    "complex": (lambda: Call(lambda x: bilinear(x) * 1j), 3, 2, "gives complex numbers", "fails"),
    "another size only": (lambda: OneSize(17), 3, 2, "fails for an input of 16 x 16 pixels: wrong size", "give"),
    "other channels": (lambda: nn.ConvTranspose2d(4, 4, 2, 2), 3, 2, "fails for an input of 16 x 16 pixels", "give"),
    "two inputs": (lambda: nn.Bilinear(3, 3, 3), 3, 2, "missing 1 required positional argument", "give"),
    "its own error": (lambda: Call(lambda x: {}["key"]), 3, 2, "KeyError 'key'", "give"),
    "no values": (lambda: nn.ConvTranspose2d(3, 3, 4, 2, 1, device="meta"), 3, 2, "meta device", "give scale"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "channels", "scale", "told", "never"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(make: Callable[[], nn.Module], channels: int, scale: int, told: str, never: str) -> None:
    size = 32 if "560" in told else 16
    with pytest.raises(Refused, match=re.escape(told)) as caught:
        lint(make(), channels, scale, size=size)
    assert never not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def double_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.usefixtures("double_by_default")
def test_a_default_dtype_of_float64() -> None:
    measured = passport(seeded(dcgan_block), 3, 2, size=16)
    assert measured.cost is not None
    assert [timing.note for timing in measured.cost.timings] == [""] * len(measured.cost.timings)


def test_within_inference_mode_it_is_measured_as_outside() -> None:
    module = seeded(dcgan_block)
    outside = passport(module, 3, 2, size=16, cost=False).to_json()
    with torch.inference_mode():
        assert passport(module, 3, 2, size=16, cost=False).to_json() == outside
        made_there = seeded(dcgan_block)
        assert passport(made_there, 3, 2, size=16, cost=False).to_json() == outside
    with torch.no_grad():
        assert passport(module, 3, 2, size=16, cost=False).to_json() == outside


def test_training_mode_is_left_as_it_was_found() -> None:
    module = nn.Sequential(nn.Dropout(), dcgan_block()).train()
    before = copy.deepcopy(module.state_dict())
    measured = passport(module, 3, 2, size=16)
    assert "not-repeatable" not in {finding.code for finding in measured.findings}, "dropout is measured switched off"
    assert all(part.training for part in module.modules())
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_conversion_keeps_imaginary_parts() -> None:
    module = cast(Spectral(), torch.float64)
    assert module.turn.dtype == torch.complex128
    assert cast(module, torch.float32).turn.dtype == torch.complex64
    assert complex(module.turn.detach()) == 1j


def test_what_runs_in_no_float32_has_no_cost_and_says_so() -> None:
    weight = torch.ones(3, 1, 2, 2, dtype=torch.float64)
    measured = passport(Call(lambda x: F.conv_transpose2d(x, weight, stride=2, groups=3)), 3, 2, size=16)
    assert measured.cost is None
    (finding,) = measured.findings
    assert (finding.code, finding.severity) == ("no-cost", "note")
    measured.figure()
