"""Measuring leaves no trace, and refuses in one line what cannot be measured."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from upsample_lab.passport import lint, passport

from . import modules
from .modules import seeded


def network() -> nn.Module:
    """Batch norm and dropout in training mode, a frozen layer, gradients in place."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 1)
    )
    module(torch.randn(2, 3, 8, 8)).sum().backward()
    module[4].eval()
    module[4].weight.requires_grad_(False)
    return module


class Uncopyable(nn.Module):
    """Keeps a computed tensor as an attribute, as weight normalisation of old does: Python cannot deep-copy it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.computed = self.inner[0].weight * 2

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.inner(input)
        return output


def state(module: nn.Module) -> dict[str, object]:
    return {
        "modes": [part.training for part in module.modules()],
        "tensors": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "objects": [id(tensor) for tensor in [*module.parameters(), *module.buffers()]],
        "storages": [tensor.data_ptr() for tensor in [*module.parameters(), *module.buffers()]],
        "gradients": [None if p.grad is None else p.grad.clone() for p in module.parameters()],
        "requires": [p.requires_grad for p in module.parameters()],
        "hooks": [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
    }


@pytest.mark.parametrize("cost", [False, True], ids=["without cost", "with cost"])
@pytest.mark.parametrize("make", [network, Uncopyable], ids=["copied", "in place"])
def test_the_module_is_left_exactly_as_it_was(make: Callable[[], nn.Module], cost: bool) -> None:
    module = seeded(make)
    if make is Uncopyable:
        with pytest.raises(RuntimeError):
            copy.deepcopy(module)
    before = state(module)
    passport(module, 3, 2, size=16, cost=cost)
    after = state(module)
    torch.testing.assert_close(after.pop("tensors"), before.pop("tensors"), rtol=0, atol=0)
    torch.testing.assert_close(after.pop("gradients"), before.pop("gradients"), rtol=0, atol=0)
    assert after == before


def test_random_number_generators_are_left_exactly_as_they_were() -> None:
    class Random(nn.Module):
        def forward(self, input: Tensor) -> Tensor:
            return nn.functional.interpolate(input, scale_factor=2.0) * (1 + random.random() + np.random.rand())

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    lint(nn.Sequential(modules.Noisy()), 3, 2)
    lint(Random(), 3, 2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    np.testing.assert_equal(np.random.get_state(), before[2])


def test_the_same_seed_gives_the_same_passport() -> None:
    module = seeded(modules.pad_pool)
    one, two = (passport(module, 4, 2, size=16, seed=3, cost=False).to_json() for _ in range(2))
    assert one == two


def test_a_module_of_its_own_precision_is_measured_in_it() -> None:
    measured = passport(modules.Single(), 1, 2, size=16, cost=False)
    assert measured.subject.precision == "float32"
    assert measured.subject.linear
    assert measured.gains.dc_phase_variation == 0


class Wrong(nn.Module):
    """Gives whatever it is told to."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, input: Tensor) -> object:
        return self.answer(input)


REFUSED: dict[str, tuple[object, int, int, int, str]] = {
    "no module": (torch.relu, 3, 2, 16, "module: must be a torch.nn.Module, got builtin_function_or_method"),
    "no channels": (nn.Identity(), 0, 2, 16, "in_channels=0: must be an integer from 1 up"),
    "scale 1": (nn.Identity(), 3, 1, 16, "scale=1: must be an integer from 2 up"),
    "fractional scale": (nn.Identity(), 3, 2.5, 16, "scale=2.5: must be an integer"),
    "too small": (nn.Identity(), 3, 2, 8, "size=8: must be an integer from 16 up"),
    "another scale": (nn.Upsample(scale_factor=3), 3, 2, 16, "16 x 16 becomes 48 x 48; give scale=3"),
    "no upsampler": (nn.Identity(), 3, 2, 16, "scale=2: not the module's factor, 16 x 16 becomes 16 x 16"),
    "other channels": (nn.ConvTranspose2d(4, 4, 2, 2), 3, 2, 16, "module: fails for an input of 16 x 16 pixels"),
    "not a tensor": (Wrong(lambda x: (x,)), 3, 2, 16, r"to a tensor \[N, C, H, W\], got tuple"),
    "not images": (Wrong(lambda x: x.mean()), 3, 2, 16, r"to a tensor \[N, C, H, W\], got \(\)"),
    "not finite": (
        nn.Sequential(nn.Upsample(scale_factor=2), Wrong(lambda x: x / 0)), 3, 2, 16, "gives values that are not finite"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("module", "channels", "scale", "size", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_clear_line(module: nn.Module, channels: int, scale: int, size: int, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        passport(module, channels, scale, size=size)
    assert "\n" not in str(caught.value)
