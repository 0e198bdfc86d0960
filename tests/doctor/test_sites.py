"""Sites are found by module and by call, whatever the forward looks like, and the model is left as it was."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv import ConvTranspose2d
from upsample_lab.doctor import find_sites
from upsample_lab.settings import ConfigError
from upsample_lab.upsamplers import build_upsampler

IMAGE = torch.zeros(1, 4, 8, 8)


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3)


def repeat(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def windows(x: Tensor) -> Tensor:
    """Cut into windows and put together again, as attention in windows does."""
    n, c, h, w = x.shape
    cut = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, 2, 2)
    return cut.view(n, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, w)


class Forward(nn.Module):
    """A forward that calls one function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function
        self.spare = nn.ConvTranspose2d(4, 4, 4, 2, 1)  # registered, and not used

    def forward(self, x: Tensor) -> Tensor:
        assert callable(self.function)
        output: Tensor = self.function(x)
        return output


KERNEL = torch.ones(4, 2, 3, 3)
LAYERS = {
    "deconv": (nn.ConvTranspose2d(4, 2, 3, (2, 3)), "", "deconv", (2, 3)),
    "ours": (ConvTranspose2d(4, 2, 4, 2, 1), "", "deconv", (2, 2)),
    "normed": (nn.utils.parametrizations.weight_norm(nn.ConvTranspose2d(4, 2, 4, 2, 1)), "", "deconv", (2, 2)),
    "shuffle": (nn.Sequential(nn.Conv2d(4, 8, 1), nn.PixelShuffle(2)), "1", "pixel_shuffle", (2, 2)),
    "upsample": (nn.Upsample(scale_factor=(2, 1)), "", "resize", (2, 1)),
    "upsampler": (build_upsampler("deconv", 4, 2), "", "upsampler", (2, 2)),
    "conv_transpose2d": (lambda x: F.conv_transpose2d(x, KERNEL, stride=2), ":conv_transpose2d#1", "deconv", (2, 2)),
    "interpolate": (lambda x: F.interpolate(x, size=(16, 12)), ":interpolate#1", "resize", (2, 1.5)),
    "pixel_shuffle": (
        lambda x: F.pixel_shuffle(input=x, upscale_factor=2),
        ":pixel_shuffle#1",
        "pixel_shuffle",
        (2, 2),
    ),
    "grid_sample": (
        lambda x: F.grid_sample(x, torch.zeros(1, 16, 16, 2), align_corners=False),
        ":grid_sample#1",
        "grid_sample",
        (2, 2),
    ),
    "unpool": (
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
        ":max_unpool2d#1",
        "unpool",
        (2, 2),
    ),
    "by_hand": (lambda x: shuffle(x).reshape(1, 1, 16, 16), ":reshape#1", "pixel_shuffle", (2, 2)),
    "copied": (lambda x: shuffle(x).contiguous().view(1, 1, 16, 16), ":view#1", "pixel_shuffle", (2, 2)),
    "repeated": (repeat, ":reshape#1", "resize", (2, 2)),
    "one_dimension": (
        lambda x: F.interpolate(x.flatten(2), scale_factor=2.0, mode="linear"),
        ":interpolate#1",
        "resize",
        (2,),
    ),
    "volume": (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.ConvTranspose3d(2, 2, 2, 2)), "1", "deconv", (2, 2, 2)),
}
NOTHING = {
    "same_size": lambda x: F.interpolate(x, size=x.shape[-2:]),
    "smaller": lambda x: F.interpolate(x, scale_factor=0.5),
    "warp": lambda x: F.grid_sample(x, torch.zeros(1, 8, 8, 2), align_corners=False),
    "windows": windows,
    "unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "stride_1": nn.ConvTranspose2d(4, 4, 3, 1, 1),
    "padded": nn.Conv2d(4, 4, 3, padding=6),
}


def as_module(part: object) -> nn.Module:
    return part if isinstance(part, nn.Module) else Forward(part)


@pytest.mark.parametrize("name", LAYERS)
def test_each_way_to_enlarge_is_one_site(name: str) -> None:
    part, path, kind, scale = LAYERS[name]
    (site,) = find_sites(as_module(part), IMAGE)
    assert (site.path, site.kind, site.scale, site.calls) == (path, kind, scale, 1)
    assert site.measured == (len(scale) == 2)


@pytest.mark.parametrize("name", NOTHING)
def test_what_enlarges_nothing_is_no_site(name: str) -> None:
    assert find_sites(as_module(NOTHING[name]), IMAGE) == ()


def test_a_site_tells_its_sizes_channels_and_kernel() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 4, 2, 1), nn.Conv2d(6, 12, 3), nn.PixelShuffle(2))
    deconv, shuffle = find_sites(model, IMAGE)
    assert (deconv.in_channels, deconv.out_channels, deconv.in_size, deconv.out_size) == (4, 6, (8, 8), (16, 16))
    assert (deconv.kernel_size, deconv.weight, deconv.layer) == ((4, 4), "0.weight", "ConvTranspose2d")
    assert (shuffle.in_channels, shuffle.out_channels, shuffle.conv, shuffle.weight) == (12, 3, "1", "1.weight")


def test_a_layer_that_is_used_again_is_one_site_with_all_its_calls() -> None:
    up = nn.Upsample(scale_factor=2)
    (site,) = find_sites(nn.Sequential(up, nn.ReLU(), up), IMAGE)
    assert (site.path, site.calls, site.in_size, site.out_size) == ("0", 2, (16, 16), (32, 32))
    assert site.sizes == (((8, 8), (16, 16)), ((16, 16), (32, 32)))


def test_a_projection_from_one_pixel_is_a_site_of_scale_one() -> None:
    (site,) = find_sites(nn.ConvTranspose2d(4, 2, 4), torch.zeros(1, 4, 1, 1))
    assert (site.scale, site.in_size, site.out_size) == ((1, 1), (1, 1), (4, 4))


def test_the_model_and_the_random_numbers_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Upsample(scale_factor=2), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    model[1].eval()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    find_sites(model, torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert [part.training for part in model.modules()] == [True, True, False, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_inputs_that_the_model_refuses_are_told_in_one_line_with_its_own_error_as_the_cause() -> None:
    with pytest.raises(ConfigError, match=r"^inputs \[1, 4, 8, 8\]: the model cannot take them: RuntimeError") as told:
        find_sites(nn.Conv2d(3, 3, 3), IMAGE)
    assert isinstance(told.value.__cause__, RuntimeError)
    assert "\n" not in str(told.value)


@pytest.mark.run
def test_compiled_parts_are_seen_through() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(4, 4, 4, 2, 1))
        model[1].compile()
    assert [site.path for site in find_sites(model, IMAGE)] == ["0", "1"]
