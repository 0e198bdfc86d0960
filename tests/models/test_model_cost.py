"""A model's cost: counted by formula, held against a count of what PyTorch really does."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from upsample_lab.cost import count_macs
from upsample_lab.models import build_model, decoder_parameter_count, macs_per_image
from upsample_lab.options import load_option
from upsample_lab.upsamplers import UPSAMPLERS

SHAPE = (3, 32, 32)
COUNTED_ALIKE = ("deconv", "nearest", "pixel_shuffle", "unpool")  # the others resize, where borders count less


def make(upsample: str, conv: str = "native", **model: object):
    options = dataclasses.replace(load_option("model", "small"), **{"widths": [4, 8], **model})
    return build_model(options, load_option("upsample", upsample), load_option("conv", conv), SHAPE, 0)


@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_a_model_costs_its_encoder_its_upsamplers_and_its_output(upsample: str) -> None:
    model = make(upsample)
    encoder = 16**2 * (4 * 3 * 9) + 8**2 * (8 * 4 * 9)
    bottleneck, output = 2 * 8**2 * (8 * 4), 32**2 * (3 * 4 * 9)
    up = sum(
        round(stage.upsampler.macs_per_pixel(size, size) * (2 * size) ** 2)
        for stage, size in zip(model.decoder, (8, 16), strict=True)
    )
    assert macs_per_image(model, SHAPE) == encoder + bottleneck + up + output
    assert macs_per_image(make(upsample, "custom"), SHAPE) == macs_per_image(model, SHAPE)


@pytest.mark.parametrize("upsample", COUNTED_ALIKE)
def test_the_formula_is_what_is_computed(upsample: str) -> None:
    model = make(upsample).eval()
    for stage in model.decoder:
        stage.upsampler.fold = "never"  # the formula is that of the definition, whatever cheaper order there is
    assert macs_per_image(model, SHAPE) == count_macs(model, torch.zeros(1, *SHAPE))


def test_the_fully_connected_model() -> None:
    model = build_model(
        dataclasses.replace(load_option("model", "mlp"), hidden=[16]),
        load_option("upsample", "deconv"), load_option("conv", "custom"), SHAPE, 0,
    )  # fmt: skip
    assert macs_per_image(model, SHAPE) == count_macs(model, torch.zeros(1, *SHAPE))
    latent, pixels = 4 * 8 * 8, 3 * 32 * 32
    assert decoder_parameter_count(model) == latent * 16 + 16 + 16 * pixels + pixels


@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_counting_changes_nothing(upsample: str) -> None:
    model = make(upsample)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    macs_per_image(model, SHAPE)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    parts = [model.from_latent, model.decoder, model.to_image]
    assert decoder_parameter_count(model) == sum(p.numel() for part in parts for p in part.parameters())
