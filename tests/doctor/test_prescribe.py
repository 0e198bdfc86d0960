"""Prescriptions are pasted and run: each leaves a flat area flat and the output its size, in torch's words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.doctor.test_balance import Decoder, constant, decoder, flat_variation
from upsample_lab.doctor import find_sites, prescribe
from upsample_lab.doctor.prescriptions import access
from upsample_lab.upsamplers import build_upsampler


class Nested(nn.Module):
    """Sites behind numbers and names, sizes that are not exactly twice the input."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, 1), nn.Identity()),
                nn.Sequential(nn.ConvTranspose2d(4, 4, (5, 4), 2, 1), nn.Identity()),
            ]
        )
        self.tail = nn.Sequential(nn.Conv2d(4, 36, 3, padding=1), nn.PixelShuffle(3))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return self.tail(x)


def nested() -> nn.Module:
    torch.manual_seed(0)
    return Nested().double().eval()


def pasted(model: nn.Module, code: str, images: Tensor) -> nn.Module:
    names: dict[str, Any] = {"model": model, "torch": torch, "nn": nn, "images": images}
    exec(code, names)
    return names["model"].double()


@pytest.mark.parametrize("make", [decoder, nested])
def test_pasted_to_every_site_each_prescription_leaves_flat_areas_flat(make: Any) -> None:
    sites = find_sites(make(), constant())
    expected = make()(constant()).shape
    for number in range(max(len(prescribe(site)) for site in sites)):
        model = make()
        for site in sites:
            ways = [way for way in prescribe(site) if way.code]
            model = pasted(model, ways[min(number, len(ways) - 1)].code, constant())
        assert model(constant()).shape == expected
        assert flat_variation(model) < 1e-12


def test_the_first_prescription_of_a_kernel_is_the_nearest() -> None:
    from upsample_lab.doctor import balance

    model, inputs = decoder(), constant()
    for site in find_sites(model, inputs):
        pasted(model, prescribe(site)[0].code, inputs)
    expected = balance(decoder(), inputs=inputs).state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12)


def test_the_model_s_language_is_torch_s() -> None:
    first, second, third = (str(way) for way in prescribe(find_sites(Decoder().double(), constant())[0]))
    assert "model.up1.weight[..., a::2, b::2]" in first
    assert 'model.up1 = nn.Sequential(\n    nn.Upsample(scale_factor=2, mode="nearest"),' in second
    assert 'swap(model, {"up1": "nearest"}, inputs=images)' in third
    assert access("up.0.weight") == "model.up[0].weight"


class Functions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pooled, places = F.max_pool2d(x, 2, return_indices=True)
        return F.interpolate(F.max_unpool2d(pooled, places, 2), scale_factor=2)


def test_what_a_forward_calls_itself_is_told_in_words() -> None:
    told = [prescribe(site) for site in find_sites(Functions(), torch.randn(1, 3, 8, 8))]
    assert len(told) == 2
    assert all(len(ways) == 1 and ways[0].code == "" for ways in told)
    assert "F.interpolate" in str(told[0][0])


def test_one_of_our_own_layers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(build_upsampler("deconv", 4, 3)).double()
    (site,) = find_sites(model, constant())
    for way in prescribe(site):
        assert (
            flat_variation(pasted(nn.Sequential(build_upsampler("deconv", 4, 3)).double(), way.code, constant()))
            < 1e-12
        )
