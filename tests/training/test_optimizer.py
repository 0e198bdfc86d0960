"""The optimizers: PyTorch's to the bit, and the same after a checkpoint."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch

from upsample_lab.options import load_option
from upsample_lab.training.optimizer import Optimizer, make_optimizer

RATES = (0.1, 0.05, 0.2, 0.01, 0.1, 0.3)
SETTINGS = {
    "adam": {"weight_decay": 0.0},
    "adam with decay": {"weight_decay": 0.1},
    "adamw": {"weight_decay": 0.1},
    "sgd": {"momentum": 0.0},
    "sgd with momentum": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.1},
    "sgd, nesterov": {"momentum": 0.9, "nesterov": True},
}


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 4, 3), torch.nn.ConvTranspose2d(4, 8, 4))
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)


def options(case: str):
    return dataclasses.replace(load_option("optim", case.split()[0].rstrip(",")), **SETTINGS[case])


def backward(model: torch.nn.Module, number: int) -> None:
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(number))
    model(images).square().mean().backward()


def train(model: torch.nn.Module, optimizer: Optimizer, numbers: range) -> None:
    for number in numbers:
        optimizer.zero_grad()
        backward(model, number)
        optimizer.step(RATES[number])


def torch_optimizer(case: str, model: torch.nn.Module) -> torch.optim.Optimizer:
    chosen = options(case)
    if case.startswith("sgd"):
        nesterov = chosen.nesterov and chosen.momentum > 0
        settings = {"momentum": chosen.momentum, "nesterov": nesterov, "weight_decay": chosen.weight_decay}
        return torch.optim.SGD(model.parameters(), lr=1.0, fused=True, **settings)
    kind = torch.optim.AdamW if case == "adamw" else torch.optim.Adam
    betas = (chosen.beta1, chosen.beta2)
    return kind(model.parameters(), lr=1.0, betas=betas, weight_decay=chosen.weight_decay, fused=True)


@pytest.mark.parametrize("case", SETTINGS)
def test_the_weights_are_those_of_torch_optim(case: str) -> None:
    ours, theirs = make_model(), make_model()
    train(ours, make_optimizer(options(case), ours), range(6))
    optimizer = torch_optimizer(case, theirs)
    for number in range(6):
        optimizer.param_groups[0]["lr"] = RATES[number]
        optimizer.zero_grad()
        backward(theirs, number)
        optimizer.step()
    for name, parameter in theirs.named_parameters():
        assert torch.equal(parameter, ours.get_parameter(name)), name


@pytest.mark.parametrize("case", SETTINGS)
def test_a_restored_optimizer_goes_on_exactly(case: str) -> None:
    whole, first, second = make_model(), make_model(), make_model()
    train(whole, make_optimizer(options(case), whole), range(6))
    optimizer = make_optimizer(options(case), first)
    train(first, optimizer, range(3))
    saved = {name: tensor.contiguous().clone() for name, tensor in optimizer.tensors().items()}
    second.load_state_dict(first.state_dict())
    restored = make_optimizer(options(case), second)
    restored.restore(saved)
    train(second, restored, range(3, 6))
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, second.get_parameter(name)), name
    for tensors in restored.state.values():
        shaped = [(t, p) for t, p in zip(tensors, restored.parameters, strict=True) if t.ndim]
        assert all(tensor.stride() == parameter.stride() for tensor, parameter in shaped)


def test_a_parameter_without_gradient_is_left_alone() -> None:
    model = make_model()
    model[1].weight.requires_grad_(False)
    before = model[1].weight.clone()
    train(model, make_optimizer(options("adamw"), model), range(2))
    assert torch.equal(model[1].weight, before)


@pytest.mark.parametrize("max_norm", [None, 0.01, 1e6])
def test_clipping_scales_all_gradients_together(max_norm: float | None) -> None:
    model = make_model()
    optimizer = make_optimizer(options("adam"), model)
    backward(model, 0)
    before = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    norm = optimizer.clip_gradients(max_norm)
    after = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    torch.testing.assert_close(norm, before.norm())
    torch.testing.assert_close(after, before * min(1.0, (max_norm or 1e9) / norm.item()), rtol=1e-4, atol=0)


@pytest.mark.process
def test_the_compiler_is_not_imported_for_a_training_step() -> None:
    code = """
import sys, torch
from upsample_lab.options import load_option
from upsample_lab.training.optimizer import make_optimizer
import upsample_lab.training.loop
model = torch.nn.Linear(2, 3)
optimizer = make_optimizer(load_option("optim", "adam"), model)
model(torch.ones(1, 2)).sum().backward()
optimizer.clip_gradients(1.0)
optimizer.step(0.1)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
