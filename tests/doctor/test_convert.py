"""Exact conversions: the same map as another layer, in float32, over drawn configurations; and what is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from upsample_lab.doctor.convert import to_conv_transpose, to_pixel_shuffle
from upsample_lab.upsamplers import build_upsampler

DRAWN = 200
LARGEST_ERROR = 1e-5  # of the largest output, in float32


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.detach() - expected.detach()).abs().max() / expected.abs().max())


def drawn_transposed(rng: random.Random) -> Iterator[nn.ConvTranspose2d]:
    """Kernel 2 to 9, stride 1 to 4, padding, output padding, groups; now and then a dilation."""
    while True:
        stride, groups = rng.randint(1, 4), rng.choice([1, 1, 2, 3])
        kernel = (rng.randint(2, 9), rng.randint(2, 9))
        yield nn.ConvTranspose2d(
            groups * rng.randint(1, 3),
            groups * rng.randint(1, 3),
            kernel,
            stride,
            (rng.randint(0, kernel[0]), rng.randint(0, kernel[1] // 2)),
            (rng.randint(0, stride - 1), rng.randint(0, stride - 1)),
            groups,
            bias=rng.random() < 0.7,
            dilation=rng.choice([1, 1, 1, 2]),
        )


def answers(module: nn.Module, x: Tensor) -> Tensor | None:
    """What the layer says, or None where torch refuses the configuration, such as a padding that leaves no pixel."""
    try:
        output: Tensor = module(x).detach()
    except RuntimeError:
        return None
    return output if output.numel() else None


def test_a_transposed_convolution_is_a_convolution_and_a_shuffle_and_back() -> None:
    torch.manual_seed(0)
    rng, count, worst = random.Random(0), 0, 0.0
    for layer in drawn_transposed(rng):
        x = torch.randn(2, layer.in_channels, rng.randint(4, 8), rng.randint(4, 8))
        expected = answers(layer, x)
        if expected is None:
            continue
        shuffle = to_pixel_shuffle(layer)
        back = to_conv_transpose(shuffle)
        assert isinstance(back, nn.ConvTranspose2d)
        worst = max(worst, relative_error(shuffle(x), expected), relative_error(back(x), expected))
        if layer.dilation == (1, 1):  # the very same layer
            assert (back.kernel_size, back.padding) == (layer.kernel_size, layer.padding)
            torch.testing.assert_close(back.weight, layer.weight, rtol=0, atol=0)
        count += 1
        if count == DRAWN:
            break
    assert worst < LARGEST_ERROR


def drawn_before_shuffle(rng: random.Random) -> nn.Sequential:
    scale, groups = rng.randint(1, 4), rng.choice([1, 2])
    conv = drawn_convolution(rng, 2 * groups, 2 * groups * scale**2, groups, rng.choice(["zeros", "replicate"]))
    if conv.bias is not None:  # a transposed convolution has one a channel
        conv.bias.data = conv.bias.data[:: scale**2].repeat_interleave(scale**2)
    return nn.Sequential(conv, nn.PixelShuffle(scale))


def drawn_after_resize(rng: random.Random) -> nn.Sequential:
    groups, mode = rng.choice([1, 2]), rng.choice(["nearest", "nearest", "bilinear", "bicubic"])
    padded = {"nearest": rng.choice(["zeros", "replicate"]), "bilinear": "replicate", "bicubic": ""}[mode]
    factor = (rng.randint(1, 4), rng.randint(1, 4))
    conv = drawn_convolution(rng, 2 * groups, 3 * groups, groups, padded)
    return nn.Sequential(nn.Upsample(scale_factor=factor, mode=mode), conv)


def drawn_convolution(rng: random.Random, c_in: int, c_out: int, groups: int, padding_mode: str) -> nn.Conv2d:
    padding = (rng.randint(0, 3), rng.randint(0, 3)) if padding_mode else 0
    kernel, dilation = (rng.randint(1, 7), rng.randint(1, 7)), rng.choice([1, 1, 2])
    bias, mode = rng.random() < 0.7, padding_mode or "zeros"
    return nn.Conv2d(c_in, c_out, kernel, 1, padding, dilation, groups, bias=bias, padding_mode=mode)


@pytest.mark.parametrize("draw", [drawn_before_shuffle, drawn_after_resize])
def test_a_shuffle_and_a_resize_convolution_are_a_transposed_convolution(draw: object) -> None:
    torch.manual_seed(0)
    rng, count, worst = random.Random(0), 0, 0.0
    while count < DRAWN:
        layer = draw(rng)  # type: ignore[operator]
        first = next(part for part in layer if isinstance(part, nn.Conv2d))
        x = torch.randn(2, first.in_channels, rng.randint(4, 8), rng.randint(4, 8))
        expected = answers(layer, x)
        if expected is not None:
            worst = max(worst, relative_error(to_conv_transpose(layer)(x), expected))
            count += 1
    assert worst < LARGEST_ERROR


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deconv", {"kernel_size": 6}),
        ("deconv", {"kernel_size": 5, "phase_equal": True}),
        ("nearest", {}),
        ("nearest", {"order": "conv_first"}),
        ("pixel_shuffle", {}),
    ],
)
def test_our_own_layers_are_converted(name: str, options: dict[str, object], scale: int) -> None:
    torch.manual_seed(0)
    layer, x = build_upsampler(name, 4, 3, scale, **options).double().eval(), torch.randn(2, 4, 5, 6).double()
    for made in (to_conv_transpose(layer), to_pixel_shuffle(layer)):
        assert not made.training
        torch.testing.assert_close(made(x), layer(x), rtol=1e-12, atol=1e-12)


def test_nearest_becomes_one_layer_of_the_folded_kernel() -> None:
    made = to_conv_transpose(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, padding=1)))
    assert isinstance(made, nn.ConvTranspose2d)
    assert (made.kernel_size, made.stride, made.padding) == ((4, 4), (2, 2), (1, 1))


def test_what_a_hook_or_a_parametrization_makes_of_the_weight_is_converted() -> None:
    layer = parametrizations.weight_norm(nn.ConvTranspose2d(2, 3, 4, 2, 1)).requires_grad_(False)
    x = torch.randn(1, 2, 5, 5)
    made = to_pixel_shuffle(layer)
    assert relative_error(made(x), layer(x)) < LARGEST_ERROR
    assert not any(parameter.requires_grad for parameter in made.parameters())


REFUSED = {
    "must be an nn.ConvTranspose2d": nn.Conv2d(2, 3, 3),
    "biases differ": nn.Sequential(nn.Conv2d(2, 8, 3), nn.PixelShuffle(2)),
    "different groups": nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.PixelShuffle(2)),
    "repeats borders where": nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(2, 3, 3, padding=1)),
    "must be a whole factor": nn.Sequential(nn.Upsample(scale_factor=1.5), nn.Conv2d(2, 3, 3)),
    "align_corners=True": nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.Conv2d(2, 3, 3)
    ),
    "stride=": nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, stride=2)),
    "padding_mode='circular'": nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
    ),
    "its blur": build_upsampler("blur_deconv", 2, 3),
    "no end": build_upsampler("fourier", 2, 3),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_the_same_map_is_refused_in_one_line(reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as told:
        to_conv_transpose(REFUSED[reason])
    assert "\n" not in str(told.value)


def test_a_shuffle_enlarges_both_axes_alike() -> None:
    with pytest.raises(ValueError, match="both axes alike"):
        to_pixel_shuffle(nn.ConvTranspose2d(2, 3, 4, (2, 1)))
