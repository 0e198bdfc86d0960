"""In models of other people every site is found and none invented, and a planted defect is blamed on its site."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from torch import nn

from tests.doctor.gallery import GALLERY, noise, picture
from tests.doctor.planting import healthy, planted
from upsample_lab.doctor import Diagnosis, Site, diagnose, find_sites

PLANTED = [
    (name, path)
    for name, exhibit in GALLERY.items()
    for path, _, scale, _ in exhibit.sites
    if max(scale) > 1 and (name, path) != ("segnet", "unpool")  # the next unpooling alone makes a far stronger pattern
]


def quiet(model: nn.Module, inputs: object) -> Diagnosis:
    return diagnose(model, inputs, progress=lambda share, what: None)


@pytest.mark.parametrize("name", GALLERY)
def test_all_sites_are_found_and_none_is_invented(name: str) -> None:
    exhibit = GALLERY[name]
    sites = find_sites(exhibit.make(), exhibit.inputs())
    assert sorted((s.path, s.kind, s.scale, s.calls) for s in sites) == sorted(exhibit.sites)


@pytest.mark.parametrize(("name", "path"), PLANTED)
def test_a_planted_defect_is_blamed_on_its_site(name: str, path: str) -> None:
    exhibit = GALLERY[name]
    model, inputs = healthy(exhibit), exhibit.inputs()
    site = next(site for site in find_sites(model, inputs) if site.path == path)
    with planted(model, site):
        first = quiet(model, inputs).ranking[0]
    assert first.site.path == path
    assert first.adds is not None
    assert first.adds.rms > 0


@pytest.mark.parametrize("name", [name for name in GALLERY if name != "segnet"])  # unpooling is a pattern by itself
def test_healthy_models_are_not_blamed(name: str) -> None:
    exhibit = GALLERY[name]
    found = quiet(healthy(exhibit), exhibit.inputs())
    assert found.worst is None, found.sentence()
    assert not [finding for finding in found.findings if finding.severity == "defect"]


@pytest.mark.parametrize("name", GALLERY)
def test_every_exhibit_has_a_table_and_numbers(name: str) -> None:
    exhibit = GALLERY[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = quiet(exhibit.make(), exhibit.inputs())
    assert found.sentence() in found.table()
    numbers = json.loads(found.json())
    assert {row["path"] for row in numbers["ranking"]} == {path for path, *_ in exhibit.sites}


# ----------------------------------------------------------------------------------------------------------------------
# Libraries, where they are installed


def installed(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def kinds(sites: tuple[Site, ...]) -> list[tuple[str, str, tuple[float, ...]]]:
    return [(site.path, site.kind, site.scale) for site in sites]


@installed("segmentation_models_pytorch")
def test_a_unet_of_segmentation_models_pytorch() -> None:
    import segmentation_models_pytorch as smp

    model = smp.Unet("resnet18", encoder_weights=None, decoder_channels=(32, 16, 16, 8, 8), classes=2)
    sites = find_sites(model, picture(1, 3, 64, 64))
    assert kinds(sites) == [(f"decoder.blocks.{i}:interpolate#1", "resize", (2, 2)) for i in range(5)]


@installed("diffusers")
def test_the_decoder_of_a_vae_of_diffusers() -> None:
    from diffusers import AutoencoderKL

    blocks = ("UpDecoderBlock2D",) * 3
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=blocks, block_out_channels=(8, 8, 8),
        norm_num_groups=4,
    )  # fmt: skip
    found = quiet(vae, picture(1, 3, 64, 64))
    names = [f"decoder.up_blocks.{i}.upsamplers.0:interpolate#1" for i in range(2)]
    assert kinds(found.sites) == [(name, "resize", (2, 2)) for name in names]
    assert found.output == "['sample']"


@installed("monai")
def test_nets_of_monai() -> None:
    from monai.networks.blocks import SubpixelUpsample, UpSample
    from monai.networks.nets import UNet

    unet = UNet(2, 1, 2, channels=(4, 8, 16), strides=(2, 2), num_res_units=1)
    found = quiet(unet, picture(1, 1, 64, 64))
    assert [(site.kind, site.scale) for site in found.sites] == [("deconv", (2, 2))] * 2
    subpixel = find_sites(SubpixelUpsample(2, 4, scale_factor=2), noise(1, 4, 16, 16))
    assert [(site.kind, site.scale) for site in subpixel] == [("pixel_shuffle", (2, 2))]
    assert [s.kind for s in find_sites(UpSample(2, 4, 4, 2, mode="nontrainable"), noise(1, 4, 8, 8))] == ["resize"]
