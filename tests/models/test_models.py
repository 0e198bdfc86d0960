"""The models: shapes, pairing of initial weights, the bottleneck, and what a fully connected one costs."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch

from upsample_lab.conv import applied_weight
from upsample_lab.models import (
    Autoencoder,
    ConvolutionalAutoencoder,
    FullyConnectedAutoencoder,
    build_model,
    macs_per_image,
)
from upsample_lab.options import load_option
from upsample_lab.upsamplers import UPSAMPLERS

GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def make(upsample: str = "deconv", image_shape: tuple[int, int, int] = GREY, seed: int = 0, **model: object):
    options = dataclasses.replace(load_option("model", "small"), **{"widths": [4, 8], **model})
    return build_model(options, load_option("upsample", upsample), load_option("conv", "custom"), image_shape, seed)


@pytest.mark.parametrize("upsample", UPSAMPLERS)
@pytest.mark.parametrize("image_shape", [GREY, COLOUR], ids=["grey", "colour"])
def test_every_upsampler_gives_images_back(upsample: str, image_shape: tuple[int, int, int]) -> None:
    model = make(upsample, image_shape)
    images = torch.rand(2, *image_shape)
    output = model(images)
    assert output.shape == images.shape
    assert output.min() >= 0
    assert output.max() <= 1
    output.mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters()), "a parameter that nothing reaches"


@pytest.mark.parametrize(
    ("scale", "widths", "size"),
    [(2, [4], 14), (2, [4, 8, 8], 24), (3, [4], 27), (3, [4, 8], 18), (4, [4], 28), (4, [4, 8], 32)],
)
def test_sizes_come_back_for_every_scale(scale: int, widths: list[int], size: int) -> None:
    model = make(image_shape=(1, size, size), scale=scale, widths=widths)
    images = torch.rand(2, 1, size, size)
    latent, _ = model.encode(images)
    assert latent.shape[1:] == model.latent_shape == (4, size // scale ** len(widths), size // scale ** len(widths))
    assert model(images).shape == images.shape


def test_the_default_bottleneck_is_a_quarter_of_the_pixels() -> None:
    model = make()
    assert model.latent_shape == (4, 7, 7)
    assert model.decode(torch.zeros(1, 4, 7, 7)).shape == (1, *GREY)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu", "gelu"])
def test_norms_and_activations(norm: str, activation: str) -> None:
    model = make(norm=norm, activation=activation)
    assert model(torch.rand(2, *GREY)).isfinite().all()
    kinds = {type(module) for module in model.modules()}
    assert (torch.nn.BatchNorm2d in kinds) == (norm == "batch")
    assert (torch.nn.GroupNorm in kinds) == (norm == "group")


@pytest.mark.parametrize("other", UPSAMPLERS)
def test_runs_of_one_seed_start_from_the_same_encoder(other: str) -> None:
    ours, theirs = make("deconv").state_dict(), make(other).state_dict()
    shared = [name for name in ours if not name.startswith("decoder.")]
    assert any(name.startswith("encoder.") for name in shared)
    for name in shared:
        assert torch.equal(ours[name], theirs[name]), name


def test_the_seed_decides_the_weights_and_leaves_the_caller_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = make(seed=1).state_dict(), make(seed=1).state_dict(), make(seed=2).state_dict()
    assert torch.equal(torch.rand(3), expected)
    name = "encoder.0.0.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_custom_and_native_algorithms_exchange_weights() -> None:
    custom = make()
    native = build_model(
        dataclasses.replace(load_option("model", "small"), widths=[4, 8]),
        load_option("upsample", "deconv"),
        load_option("conv", "native"),
        GREY,
        seed=9,
    )
    native.load_state_dict(custom.state_dict(), strict=True)
    images = torch.rand(2, *GREY)
    torch.testing.assert_close(custom.eval()(images), native.eval()(images), rtol=1e-5, atol=1e-6)


def test_a_fully_connected_layer_needs_many_more_weights() -> None:
    mlp = build_model(
        load_option("model", "mlp"), load_option("upsample", "deconv"), load_option("conv", "custom"), GREY, 0
    )
    assert isinstance(mlp, FullyConnectedAutoencoder)
    convolutional = make(widths=[32, 64])
    assert isinstance(convolutional, ConvolutionalAutoencoder)
    assert mlp.latent_shape == convolutional.latent_shape
    assert mlp(torch.rand(2, *GREY)).shape == (2, *GREY)
    count = {
        name: sum(p.numel() for p in model.parameters()) for name, model in [("mlp", mlp), ("conv", convolutional)]
    }
    hidden, pixels, latent = 512, 784, 196
    assert count["mlp"] == 2 * hidden * (pixels + latent) + 2 * hidden + pixels + latent
    assert count["mlp"] > 10 * count["conv"]


def test_first_and_last_kernel_of_the_decoder_are_shown() -> None:
    kernels = make().decoder_kernels()
    assert list(kernels) == ["decoder.0.upsampler.conv.weight", "to_image.weight"]
    assert kernels["to_image.weight"].shape == (1, 4, 3, 3)


@pytest.mark.parametrize("upsample", UPSAMPLERS)
@pytest.mark.parametrize("model", ["small", "medium", "mlp"])
def test_a_hook_on_every_module_runs_once_a_call(model: str, upsample: str) -> None:
    built = build_model(
        load_option("model", model), load_option("upsample", upsample), load_option("conv", "custom"), GREY, seed=0
    )
    images = torch.rand(2, *GREY)
    plain = built.eval()(images)
    calls: Counter[str] = Counter()
    parts = {name: part for name, part in built.named_modules() if not isinstance(part, torch.nn.ModuleList)}
    for name, part in parts.items():
        part.register_forward_pre_hook(lambda *_, name=name: calls.update([name + " before"]))
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
    torch.testing.assert_close(built(images), plain, rtol=1e-5, atol=1e-5)
    assert calls == {f"{name}{moment}": 1 for name in parts for moment in ("", " before")}


def test_the_kernels_that_are_shown_are_those_that_are_applied() -> None:
    options = dataclasses.replace(load_option("upsample", "deconv"), phase_equal=True)
    built = build_model(
        dataclasses.replace(load_option("model", "small"), widths=[4, 8]),
        options,
        load_option("conv", "custom"),
        GREY,
        0,
    )
    conv = built.decoder[0].upsampler.conv
    torch.nn.init.normal_(conv.weight)
    shown = built.decoder_kernels()
    torch.testing.assert_close(shown["decoder.0.upsampler.conv.weight"], applied_weight(conv).detach())
    assert not torch.allclose(shown["decoder.0.upsampler.conv.weight"], conv.weight)
    torch.nn.utils.prune.random_unstructured(built.to_image, "weight", 0.5)
    assert (built.decoder_kernels()["to_image.weight"] == 0).sum() == built.to_image.weight.numel() // 2


def test_a_model_of_another_kind_is_counted_by_one_pass() -> None:
    class Foreign(Autoencoder):
        def __init__(self) -> None:
            super().__init__("sigmoid")
            self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)

        def raw(self, images: torch.Tensor) -> torch.Tensor:
            return self.conv(images)

    _, height, width = GREY
    assert macs_per_image(Foreign(), GREY) == 4 * 9 * height * width
