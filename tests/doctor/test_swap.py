"""Swap in foreign models: the same map where one exists, the nearest where not, and nothing else touched."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.doctor import changes, swap
from upsample_lab.upsamplers import UPSAMPLERS, build_upsampler


class Decoder(nn.Module):
    """As users write them; each kind of layer once, and a function called in the forward."""

    def __init__(self) -> None:
        super().__init__()
        self.up1 = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.up2 = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.PixelShuffle(2), nn.ReLU())
        self.up3 = nn.Upsample(scale_factor=2, mode="bilinear")
        self.up4 = nn.ConvTranspose2d(4, 4, 3, 2, 1)  # twice the size less a pixel
        self.out = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.up1(x)).relu()
        x = self.up4(self.up3(self.up2(x)))
        return self.out(F.interpolate(x, scale_factor=2))


def decoder() -> Decoder:
    torch.manual_seed(0)
    model = Decoder().eval()
    for conv in (part for part in model.modules() if isinstance(part, nn.Conv2d)):
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # so that a shuffle can be one transposed convolution
    return model


def images() -> Tensor:
    return torch.randn(2, 8, 6, 5, generator=torch.Generator().manual_seed(1))


# ----------------------------------------------------------------------------------------------------------------------
# Exact


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("up1", "pixel_shuffle"),
        ("up2.1", "deconv"),
        ("up2.0", "deconv"),  # the convolution's path does too
        ("up4", "pixel_shuffle"),
        ("up4", "deconv"),
        ("up1", {"name": "pixel_shuffle", "tie_bias": False, "kernel_size": 5}),
    ],
)
def test_where_theory_allows_the_swapped_model_is_the_same(path: str, name: Any) -> None:
    model = decoder()
    swapped = swap(model, {path: name})
    torch.testing.assert_close(swapped(images()), model(images()), rtol=1e-5, atol=1e-5)
    (change,) = changes(swapped).each
    assert "the same map" in str(change)


DRAWN = [  # kernel, stride, padding, output padding, groups, dilation
    (2, 2, 0, 0, 1, 1),
    (3, 2, 1, 1, 2, 1),
    (5, 2, 1, 0, 1, 1),
    (5, 3, 2, 1, 1, 1),
    (4, 4, 0, 3, 3, 1),
    (3, 2, 0, 1, 1, 2),
    (6, 3, 4, 2, 6, 1),
    (3, 4, 0, 0, 1, 1),
]


@pytest.mark.parametrize("geometry", DRAWN)
def test_a_transposed_convolution_of_any_geometry_becomes_a_pixel_shuffle(geometry: tuple[int, ...]) -> None:
    kernel, stride, padding, output_padding, groups, dilation = geometry
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 6, kernel, stride, padding, output_padding, groups, True, dilation)
    x = torch.randn(2, 6, 5, 7)
    swapped = swap(nn.Sequential(layer), {"0": "pixel_shuffle"})
    torch.testing.assert_close(swapped(x), layer(x), rtol=1e-5, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# Nearest


def least_squares_case(mode: str) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A layer, its input, and the problem in the plainest form: features `[pixels, 28]`, outputs `[pixels, 2]`."""
    torch.manual_seed(0)
    layer, x = nn.ConvTranspose2d(3, 2, 4, 2, 1).double(), torch.randn(2, 3, 5, 6).double().relu()
    large = F.interpolate(x, scale_factor=2, mode=mode)
    patches = F.unfold(large, 3, padding=1).transpose(1, 2).flatten(0, 1)
    features = torch.cat([patches, patches.new_ones(len(patches), 1)], 1)
    wanted = layer(x).detach().permute(0, 2, 3, 1).flatten(0, 2)
    return layer, x, features, wanted


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_no_descent_from_100_random_starts_ends_nearer(mode: str) -> None:
    layer, x, features, wanted = least_squares_case(mode)
    swapped = swap(nn.Sequential(layer), {"0": mode}, inputs=x)
    ours = float((swapped(x) - layer(x)).detach().square().sum())
    weights = torch.randn(100, features.shape[1], 2, dtype=torch.float64)
    step = 1 / torch.linalg.matrix_norm(features, 2) ** 2
    gram, right = features.T @ features, features.T @ wanted
    for _ in range(3000):
        weights -= step * (gram @ weights - right)
    best = float((features @ weights - wanted).square().sum((1, 2)).min())
    exact = torch.linalg.lstsq(features, wanted).solution
    least = float((features @ exact - wanted).square().sum())
    assert ours <= best * (1 + 1e-12)
    assert ours == pytest.approx(least, rel=1e-9)  # the problem is convex: this is the least there is
    assert best == pytest.approx(least, rel=1e-2)  # and the descent did come down to it
    kept = changes(swapped).each[0].kept
    assert kept == pytest.approx(1 - ours / float(wanted.square().sum()), rel=1e-9)


def linear_names() -> list[str]:
    return [name for name in UPSAMPLERS if name != "unpool"]


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("name", linear_names())
def test_each_upsampler_is_matched_to_weights_that_it_could_have(name: str, scale: int) -> None:
    """What one of its own kind did, another does: the least is zero, and it is found."""
    torch.manual_seed(0)
    options = {"groups": 2} if name == "dysample" else {}
    teacher = build_upsampler(name, 4, 2, scale, **options).double().eval()
    if name == "dysample":
        teacher.offset.weight.data.zero_()
    if name == "carafe":  # whose predicted weights are not matched
        teacher.encode.weight.data.zero_()
        teacher.encode.bias.data.zero_()
    pupil: Any = {"name": name, **options}
    if name == "carafe":
        pupil = copy.deepcopy(teacher)
        pupil.values.weight.data.normal_()
    x = torch.randn(3, 4, 7, 6).double()
    swapped = swap(nn.Sequential(teacher), {"0": pupil}, inputs=x)
    torch.testing.assert_close(swapped(x), teacher(x), rtol=1e-7, atol=1e-7)
    assert changes(swapped).each[0].kept == pytest.approx(1, abs=1e-10)


def test_what_the_activations_leave_open_is_matched_on_noise() -> None:
    """A channel that is dead on these inputs, and flat ones: the weights still do what they can on others."""
    torch.manual_seed(0)
    layer, flat = nn.ConvTranspose2d(4, 3, 4, 2, 1), torch.ones(1, 4, 6, 6)
    flat[:, 2:] = 0
    swapped = swap(nn.Sequential(layer), {"0": "nearest"}, inputs=flat)
    noise = torch.randn(2, 4, 8, 8)
    apart = (swapped(noise) - layer(noise)).square().sum() / layer(noise).square().sum()
    assert swapped[0].conv.weight.abs().max() < 2
    assert apart < 0.6


def test_other_upsamplers_keep_size_place_and_most_of_a_smooth_image() -> None:
    """Layers that add a border pixel or lack one, on images without detail: the pixels must lie together."""
    torch.manual_seed(0)
    smooth = F.interpolate(torch.randn(2, 3, 4, 4), size=24, mode="bicubic")
    for kernel, padding in [(3, 1), (5, 1), (4, 0), (7, 2)]:
        layer = nn.ConvTranspose2d(3, 2, kernel, 2, padding)
        swapped = swap(nn.Sequential(layer), {"0": "bilinear"}, inputs=smooth)
        assert swapped(smooth).shape == layer(smooth).shape
        even = swap(
            nn.Sequential(layer), {"0": {"name": "deconv", "phase_equal": True, "kernel_size": 8}}, inputs=smooth
        )
        assert changes(even).each[0].kept > changes(swapped).each[0].kept - 0.05


# ----------------------------------------------------------------------------------------------------------------------
# Nothing else


def test_all_layers_of_a_kind_and_what_is_told_for_an_optimizer() -> None:
    model = decoder().train()
    before = copy.deepcopy(model.state_dict())
    swapped = swap(model, "nearest", kinds=("deconv",), inputs=images())
    told = changes(swapped)
    assert [change.path for change in told.each] == ["up1", "up4"]
    assert told.parameters == (
        "up1.conv.weight",
        "up1.conv.bias",
        "up4.upsampler.conv.weight",
        "up4.upsampler.conv.bias",
    )
    assert told.gone == ("up1.bias", "up1.weight", "up4.bias", "up4.weight")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    after = swapped.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if name not in told.gone)
    assert after.keys() - before.keys() == set(told.parameters)
    assert swapped.up1.training
    assert swapped(images()).shape == model(images()).shape
    for text in ("up1: ConvTranspose2d(8, 8, ", "% of the layer's output energy", "the model's output changes by"):
        assert text in str(told)


def test_everything_at_once_trains() -> None:
    model = decoder()
    swapped = swap(model, {"name": "bilinear", "kernel_size": 1}, inputs=images()).train()
    assert [change.path for change in changes(swapped).each] == ["up1", "up2.1", "up3", "up4"]
    assert [type(part).__name__ for part in swapped.up2] == ["Bilinear", "Identity", "ReLU"]
    named = dict(swapped.named_parameters())
    optimizer = torch.optim.SGD([named[name] for name in changes(swapped).parameters], lr=0.01)
    swapped(images()).square().mean().backward()
    optimizer.step()
    assert all(named[name].grad is not None for name in changes(swapped).parameters)


def test_a_layer_that_is_used_twice_is_replaced_once_everywhere() -> None:
    torch.manual_seed(0)
    block = nn.ConvTranspose2d(4, 4, 4, 2, 1)
    model = nn.ModuleDict({"a": nn.Sequential(block), "b": nn.Sequential(nn.ReLU(), block)})
    whole = nn.Sequential(*model["a"], *model["b"])
    swapped = swap(whole, {"0": "nearest"}, inputs=torch.randn(1, 4, 4, 4))
    assert swapped[0] is swapped[2]
    assert len(changes(swapped).each) == 1


def test_a_random_start_and_a_model_that_is_one_layer() -> None:
    layer = nn.ConvTranspose2d(4, 3, 4, 2, 1).to(torch.bfloat16)
    swapped = swap(layer, "carafe", init="random")
    assert "starts anew" in str(changes(swapped))
    assert swapped(torch.randn(4, 5, 6, dtype=torch.bfloat16)).shape == (3, 10, 12)


class Shared(nn.Module):
    """One shuffle that two convolutions use by turns, and a transposed convolution that is told its size."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.shuffle = nn.Conv2d(4, 16, 1), nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)
        self.up = nn.ConvTranspose2d(4, 4, 3, 2, 1)
        self.wide = nn.ConvTranspose2d(4, 4, 3, (1, 2), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shuffle(self.b(self.shuffle(self.a(x))))
        return self.wide(self.up(x, output_size=(2 * x.shape[2], 2 * x.shape[3])))


SEVEN = torch.zeros(1, 4, 7, 7)
REFUSED: dict[str, tuple[nn.Module, Any, dict[str, Any]]] = {
    r"'up9': must be one of up1, up2.1, up3, up4; did you mean up\d\?": (
        decoder(),
        {"up9": "nearest"},
        {"inputs": images()},
    ),
    "':interpolate#1': is a function that a forward calls": (
        decoder(),
        {":interpolate#1": "nearest"},
        {"inputs": images()},
    ),
    "'up1': no weights make Nearest the same map, .* give inputs=": (decoder(), {"up1": "nearest"}, {}),
    "'up3': needs inputs=": (decoder(), {"up3": "nearest"}, {}),
    "'up1': upsample=neerest: must be one of .* did you mean nearest": (decoder(), {"up1": "neerest"}, {}),
    "'up1': upsample.kernel=5: unknown": (decoder(), {"up1": {"name": "nearest", "kernel": 5}}, {}),
    "'up1': unpool needs": (decoder(), {"up1": "unpool"}, {}),
    r"'up1': Nearest\(8, 4, .*must take 8 channels to 8 at scale 2": (
        decoder(),
        {"up1": build_upsampler("nearest", 8, 4)},
        {},
    ),
    "kinds=deconvs: the model has .* did you mean deconv": (decoder(), "nearest", {"kinds": "deconvs"}),
    "init='same': must be one of match, random": (decoder(), "nearest", {"init": "same"}),
    "by turns: a, b": (Shared(), {"shuffle": "deconv"}, {"inputs": SEVEN}),
    "such as an output_size": (Shared(), {"up": "nearest"}, {"inputs": SEVEN}),
    r"has stride \(1, 2\)": (Shared(), {"wide": "nearest"}, {"inputs": SEVEN}),
    "one site": (decoder(), {"up2.0": "deconv", "up2.1": "nearest"}, {}),
    "nothing to replace: no site": (nn.Conv2d(3, 3, 3), "nearest", {}),
    "the model cannot take them": (decoder(), {"up1": "nearest"}, {"inputs": torch.zeros(1, 3, 4, 4)}),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_done_is_told_in_one_line(reason: str) -> None:
    model, to, how = REFUSED[reason]
    with pytest.raises(ValueError, match=reason) as told:
        swap(model, to, **how)
    assert "\n" not in str(told.value)
