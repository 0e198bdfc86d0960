"""The terms of the objective: each acts on what its name says."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from upsample_lab.config import TrainerOptions, load_option
from upsample_lab.metrics import dc_phase_variation
from upsample_lab.models import build_model
from upsample_lab.training.losses import objective, phase_penalty, reconstruction_loss

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def make(upsample: str = "deconv", **changes: object):
    options = dataclasses.replace(load_option("model", "small"), widths=[4, 8])
    upsample_options = dataclasses.replace(load_option("upsample", upsample), **changes)
    return build_model(options, upsample_options, load_option("conv", "custom"), (1, 28, 28), seed=0)


def settings(**values: object) -> TrainerOptions:
    return dataclasses.replace(load_option("trainer", "default"), **values)


@pytest.mark.parametrize("name", ["mse", "l1", "bce"])
def test_reconstruction_losses_follow_their_definitions(name: str) -> None:
    model = make()
    raw = model.raw(IMAGES).detach()
    output = raw.sigmoid()
    expected = {
        "mse": (output - IMAGES).square().mean(),
        "l1": (output - IMAGES).abs().mean(),
        "bce": -(IMAGES * output.log() + (1 - IMAGES) * (1 - output).log()).mean(),
    }
    torch.testing.assert_close(reconstruction_loss(name, model, raw, IMAGES), expected[name])


def test_without_extra_terms_the_objective_is_the_loss() -> None:
    model = make()
    total, loss = objective(settings(), model, model.raw(IMAGES), IMAGES)
    assert total is loss


@pytest.mark.parametrize("upsample", ["deconv", "pixel_shuffle", "blur_deconv"])
def test_descending_the_phase_penalty_makes_the_gains_equal(upsample: str) -> None:
    model = make(upsample, init="random")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    before = phase_penalty(model).item()
    for _ in range(60):
        optimizer.zero_grad()
        phase_penalty(model).backward()
        optimizer.step()
    assert phase_penalty(model).item() < 0.05 * before
    stage = model.decoder[0].upsampler
    constant = torch.ones(1, 8, 10, 10)
    with torch.no_grad():
        response = stage(constant) - stage(torch.zeros_like(constant))
    assert dc_phase_variation(response, 2) < 0.3


def test_interpolating_upsamplers_have_nothing_to_penalise() -> None:
    assert phase_penalty(make("bilinear")).item() == 0


def test_the_spectral_loss_reaches_the_weights() -> None:
    model = make()
    weight = model.to_image.weight
    plain, _ = objective(settings(), model, model.raw(IMAGES), IMAGES)
    spectral, _ = objective(settings(loss_spectrum=0.1), model, model.raw(IMAGES), IMAGES)
    (plain_grad,) = torch.autograd.grad(plain, weight)
    (spectral_grad,) = torch.autograd.grad(spectral, weight)
    assert spectral > plain
    assert not torch.allclose(plain_grad, spectral_grad)
