"""The terms of the objective: each acts on what its name says."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from upsample_lab.metrics import dc_phase_variation, phase_gain_penalty
from upsample_lab.models import build_model
from upsample_lab.objectives import Objective, objective_of, phase_penalty, reconstruction_loss
from upsample_lab.options import load_option
from upsample_lab.options.trainer import TrainerOptions
from upsample_lab.upsamplers import build_upsampler

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
    terms = objective_of(settings()).terms(model, model.raw(IMAGES), IMAGES)
    assert list(terms) == ["mse"]
    assert objective_of(settings()).total(terms) is terms["mse"]


def test_terms_are_weighed_by_name() -> None:
    chosen = objective_of(settings(loss="l1", loss_spectrum=0.5, regularize="phase", regularize_weight=3.0))
    assert chosen.weights == {"l1": 1.0, "spectrum": 0.5, "phase": 3.0}
    assert chosen.main == "l1"
    assert chosen.total({"l1": torch.tensor(1.0), "spectrum": torch.tensor(2.0), "phase": torch.tensor(0.25)}) == 2.75
    assert Objective({"mse": 1.0}).total({"of_the_task": torch.tensor(2.0)}) == 2.0


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


def response_penalty(layer: nn.Module, in_channels: int, stride: tuple[int, int]) -> torch.Tensor:
    """The penalty by its definition, of the layer's responses to a constant in one channel after the other."""
    constants = torch.zeros(in_channels, in_channels, 12, 12, dtype=torch.float64)
    constants[range(in_channels), range(in_channels)] = 1
    response = layer(constants) - layer(torch.zeros_like(constants))
    down, across = stride
    middle = response.narrow(-2, 4 * down, 4 * down).narrow(-1, 4 * across, 4 * across)
    gains = middle.unflatten(-1, (-1, across)).unflatten(-3, (-1, down)).mean((-4, -2)).flatten(-2)
    return gains.var(-1, correction=0).mean() / gains.square().mean()


TRANSPOSED = [
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": 5, "stride": 3, "groups": 2},
    {"kernel_size": (3, 5), "stride": (1, 2)},
    {"kernel_size": (5, 4), "stride": (3, 2)},
    {"kernel_size": (2, 3), "stride": (2, 1)},
    {"kernel_size": 4, "stride": 3, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "dilation": 2},
]


@pytest.mark.parametrize("arguments", TRANSPOSED, ids=str)
def test_the_penalty_of_torchs_transposed_convolution_is_that_of_its_responses(arguments: dict[str, object]) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, **arguments).double()
    found = phase_penalty(nn.Sequential(nn.ReLU(), layer))
    response = response_penalty(layer, 4, layer.stride)  # pairs of different groups gain 0: it is the same quotient
    torch.testing.assert_close(found, response, rtol=1e-9, atol=1e-12)
    assert found > 0.01


def test_the_penalty_sees_one_axis_of_a_signal_too() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose1d(3, 2, 5, stride=2).double()
    expected = phase_gain_penalty(layer.weight[:, :, None], (1, 2))
    torch.testing.assert_close(phase_penalty(layer), expected)
    assert expected > 0.01
    assert phase_penalty(nn.ConvTranspose2d(3, 2, 3)).item() == 0


def test_the_penalty_of_torchs_pixel_shuffle_is_that_of_its_responses() -> None:
    torch.manual_seed(0)
    shuffle = nn.PixelShuffle(2)  # without weights, so one may serve twice
    first, second = nn.Conv2d(3, 16, 3, padding=1).double(), nn.Conv2d(4, 12, 1).double()
    model = nn.Sequential(nn.Sequential(first, shuffle), nn.ReLU(), nn.Sequential(second, shuffle))
    parts = [response_penalty(model[0], 3, (2, 2)), response_penalty(model[2], 4, (2, 2))]
    torch.testing.assert_close(phase_penalty(model), sum(parts), rtol=1e-9, atol=0)


@pytest.mark.parametrize("options", [{}, {"phase_equal": True, "kernel_size": 4}], ids=["plain", "phase_equal"])
@pytest.mark.parametrize(
    "alter",
    [
        lambda conv: None,
        lambda conv: nn.init.normal_(conv.weight),
        lambda conv: nn.utils.prune.random_unstructured(conv, "weight", 0.5),
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
    ],
    ids=["as it is", "trained away", "pruned", "weight_norm", "spectral_norm"],
)
def test_the_penalty_sees_the_weight_that_is_applied(options: dict[str, object], alter) -> None:
    torch.manual_seed(0)
    layer = build_upsampler("deconv", 4, 3, **options).double()
    alter(layer.conv)
    penalty = phase_penalty(layer)
    torch.testing.assert_close(penalty, response_penalty(layer.eval(), 4, (2, 2)), rtol=1e-9, atol=1e-12)
    assert (penalty < 1e-20) == bool(options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.PixelShuffle(2)), "^2: cannot tell which convolution"),
        (nn.Sequential(nn.ConvTranspose3d(3, 4, 2, 2)), "^0: the phases of a ConvTranspose3d are not penalised"),
    ],
    ids=["a shuffle after something else", "three dimensions"],
)
def test_what_cannot_be_penalised_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phase_penalty(model)


@pytest.mark.parametrize("name", ["deconv", "pixel_shuffle"])
def test_a_wrapper_in_the_place_of_a_convolution_is_refused(name: str) -> None:
    layer = build_upsampler(name, 4, 3)
    layer.conv = nn.Sequential(layer.conv)
    with pytest.raises(ValueError, match=r"^0\.conv: cannot tell which kernel this Sequential"):
        phase_penalty(nn.Sequential(layer))


def test_the_spectral_loss_reaches_the_weights() -> None:
    model = make()
    weight = model.to_image.weight
    plain, spectral = (
        chosen.total(chosen.terms(model, model.raw(IMAGES), IMAGES))
        for chosen in (objective_of(settings()), objective_of(settings(loss_spectrum=0.1)))
    )
    (plain_grad,) = torch.autograd.grad(plain, weight)
    (spectral_grad,) = torch.autograd.grad(spectral, weight)
    assert spectral > plain
    assert not torch.allclose(plain_grad, spectral_grad)
