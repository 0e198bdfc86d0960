"""What a diagnosis says of a model, and what it does not do to it."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conftest import ROOT
from tests.doctor.gallery import GALLERY, noise, picture
from upsample_lab.doctor import Diagnosis, assert_clean, diagnose, find_sites
from upsample_lab.doctor.kernels import balanced
from upsample_lab.drawing.style import png
from upsample_lab.metrics import pattern_levels
from upsample_lab.settings import ConfigError


def quiet(model: nn.Module, inputs: object, output_range: tuple[float, float] | None = (0, 1)) -> Diagnosis:
    return diagnose(model, inputs, output_range=output_range, progress=lambda share, what: None)


class TwoStages(nn.Module):
    """An image enlarged by 4: a nearest neighbour's kernel, whose first phase can be made brighter, at each stage."""

    def __init__(self, first: float = 0.0, second: float = 0.0) -> None:
        super().__init__()
        self.up1, self.up2 = (nn.ConvTranspose2d(1, 1, 2, 2, bias=False) for _ in range(2))
        with torch.no_grad():
            for layer, more in ((self.up1, first), (self.up2, second)):
                layer.weight.fill_(1)
                layer.weight[..., 0, 0] += more

    def forward(self, x: Tensor) -> Tensor:
        return self.up2(self.up1(x))


FLAT = torch.full((1, 1, 16, 16), 0.5)


def test_the_sentence_names_site_share_period_and_what_remains() -> None:
    found = quiet(TwoStages(first=0.2), FLAT)
    levels = 127.5 * np.std([1.2, 1, 1, 1])
    expected = f"up1 causes 100 % of the period-4 pattern; with it balanced 0.0 of {levels:.1f} levels remain."
    assert found.sentence() == expected
    assert found.worst is not None
    assert found.worst.site.path == "up1"
    assert expected in found.table()
    assert expected in found.html()


def test_two_sites_have_each_their_own_period_and_the_stronger_is_first() -> None:
    found = quiet(TwoStages(first=0.05, second=0.2), FLAT)
    assert [(row.site.path, [reach.period for reach in row.reaches]) for row in found.ranking] == [
        ("up2", [(2, 2)]),
        ("up1", [(4, 4)]),
    ]
    assert [finding.where for finding in found.findings if finding.severity == "defect"] == ["up2", "up1"]


def test_on_flat_areas_the_figures_are_those_of_pattern_levels() -> None:
    """Two uneven layers, of which the second undoes part of what the first makes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(1, 4, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(4, 1, 3, 2, 1, 1))
    flat = torch.full((1, 1, 32, 32), 0.5)
    with torch.no_grad():
        truth = pattern_levels(model(flat), 4).by_period
    found = {row.site.path: row for row in quiet(model, flat).ranking}
    for path, period in (("0", 4), ("2", 2)):
        arrives = found[path].arrives
        assert arrives is not None
        assert 255 * arrives.rms == pytest.approx(truth[period], rel=0.01)


def test_a_pattern_that_another_layer_undoes_is_not_blamed_and_its_cure_is_warned_of() -> None:
    """The second stage's kernel is the inverse of the pattern that the first one makes."""

    class Undone(TwoStages):
        def forward(self, x: Tensor) -> Tensor:
            y = self.up1(x)
            return y / torch.tensor([[1.2, 1.0], [1.0, 1.0]]).repeat(x.shape[-2], x.shape[-1])

    found = quiet(Undone(first=0.2), picture(1, 1, 32, 32))
    assert found.worst is None
    assert "Other layers even out what up1 makes: with it alone balanced" in found.table()


def test_the_pattern_is_followed_along_the_chain() -> None:
    found = quiet(TwoStages(first=0.2), picture(1, 1, 32, 32))
    steps = {step.where: step.relative for step in found.chain}
    assert list(steps) == ["up1", "up2", "output"]
    assert steps["up1"].keys() == {(4, 4)}
    assert steps["up1"][4, 4] == pytest.approx(steps["output"][4, 4], rel=0.05)
    assert steps["output"][2, 2] == pytest.approx(0, abs=1e-3)


def test_a_clean_model_is_said_to_be_clean() -> None:
    found = quiet(TwoStages(), picture(1, 1, 32, 32))
    assert found.worst is None
    assert found.sentence().startswith("No site adds a pattern that is seen")


def test_what_is_no_image_is_told_in_decibels() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ConvTranspose2d(8, 5, 4, 2, 1))
    found = quiet(model, picture(2, 1, 32, 32), None)
    assert found.units.per_unit is None
    assert re.search(r"of \d+\.\d dB over the neighbourhood remain", found.sentence())


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_the_range_of_an_image_is_told_from_its_numbers(low: float, high: float) -> None:
    class Ranged(TwoStages):
        def forward(self, x: Tensor) -> Tensor:
            return low + (high - low) * super().forward(x)

    levels = []
    for given in (None, (low, high)):
        found = quiet(Ranged(second=0.1), picture(1, 1, 32, 32), given)
        assert (found.units.low, found.units.high) == (low, high)
        first = found.ranking[0].arrives
        assert first is not None
        assert found.units.per_unit is not None
        levels.append(first.rms * found.units.per_unit)
    assert levels[0] == pytest.approx(levels[1])


class Branches(nn.Module):
    """One output depends on `used`; `aux` runs, and nothing comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.aux = nn.ConvTranspose2d(1, 1, 4, 2, 1), nn.ConvTranspose2d(1, 1, 4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.aux(x)
        return {"image": self.used(x), "features": x}


def test_a_site_that_the_output_does_not_depend_on_is_told() -> None:
    found = quiet(Branches(), picture(1, 1, 32, 32))
    assert {row.site.path: row.depends for row in found.ranking} == {"used": True, "aux": False}
    assert found.output == "['image']"
    assert "The output does not depend on aux" in found.table()


class Enlarged(nn.Module):
    """Patches of a linear layer, put side by side: no function that is known to enlarge."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 16)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        patches = self.linear(x.permute(0, 2, 3, 1)).view(n, h, w, 2, 2, 4)
        return patches.permute(0, 5, 1, 3, 2, 4).reshape(n, c, 2 * h, 2 * w)


def test_an_enlargement_that_is_not_known_is_told_and_not_passed_over() -> None:
    found = quiet(nn.Sequential(nn.Upsample(scale_factor=2), Enlarged()), noise(1, 4, 16, 16))
    assert "1 (Enlarged) enlarges its input by 2 in a way that is not known" in found.table()


def test_layers_of_one_dimension_are_found_and_said_to_be_outside() -> None:
    class Signal(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(x, scale_factor=2.0) + F.interpolate(x[:, :, 0], scale_factor=2.0)[:, :, None]

    found = quiet(Signal(), picture(1, 1, 16, 16))
    assert [site.measured for site in found.sites] == [True, False]
    assert "enlarges along 1 axes, not 2" in found.table()


def test_the_model_is_left_as_it_was() -> None:
    exhibit = GALLERY["pix2pix"]
    model = exhibit.make().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quiet(model, exhibit.inputs())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(part.training for part in model.modules())


def test_curing_in_flight_is_what_balancing_does() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    inputs = picture(2, 3, 16, 16)
    before = quiet(model, inputs).ranking[0]
    layer = model.get_submodule(before.site.path)
    assert isinstance(layer, nn.ConvTranspose2d)
    with torch.no_grad():
        layer.weight.copy_(balanced(layer.weight, (2, 2)))
    after = next(row for row in quiet(model, inputs).ranking if row.site.path == before.site.path)
    assert before.remains is not None
    assert after.arrives is not None
    assert after.arrives.rms == pytest.approx(before.remains.rms, abs=1e-6)


def test_where_a_cure_alone_would_harm_all_sites_are_prescribed() -> None:
    found = quiet(TwoStages(first=0.2, second=0.1), FLAT)
    assert [site.path for site in found.to_cure()] == ["up1"]
    assert found.ranking[0].adds is not None
    harmful = replace(found.ranking[0], cure_adds=((2, 2), found.ranking[0].adds))
    harmed = replace(found, ranking=(harmful, *found.ranking[1:]))
    assert [site.path for site in harmed.to_cure()] == ["up1", "up2"]
    assert all(f"To paste, for {path}" in harmed.table() for path in ("up1", "up2"))
    assert found.outlook().startswith("With all sites cured, 0.0")


def test_the_example_of_the_docs_has_the_sites_that_the_page_says() -> None:
    spec = importlib.util.spec_from_file_location("example", ROOT / "docs/examples/decoder.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert [site.path for site in find_sites(example.Autoencoder(), picture(1, 3, 32, 32))] == ["up1", "up2"]


def test_figure_page_and_numbers() -> None:
    found = quiet(TwoStages(first=0.2), picture(1, 1, 32, 32))
    assert png(found.figure()).startswith(b"\x89PNG")
    page = found.html("the command")
    assert "the command" in page
    assert "data:image/png;base64," in page
    numbers = json.loads(found.json())
    assert numbers["ranking"][0]["path"] == "up1"
    assert numbers["ranking"][0]["share"] == pytest.approx(1, abs=0.05)
    assert numbers["levels_per_unit"] == 255


# ----------------------------------------------------------------------------------------------------------------------
# In a test suite


def test_assert_clean_lets_a_clean_model_pass_and_names_the_site_of_another() -> None:
    assert_clean(TwoStages(), FLAT, output_range=(0, 1))
    with pytest.raises(AssertionError, match=r"^a pattern of \d+\.\d\d levels, above 1\. up1 causes 100 %"):
        assert_clean(TwoStages(first=0.2), FLAT, output_range=(0, 1))
    assert_clean(TwoStages(first=0.2), FLAT, levels=50, output_range=(0, 1))


def test_assert_clean_refuses_what_it_cannot_tell() -> None:
    with pytest.raises(ConfigError, match="output_range"):
        assert_clean(nn.ConvTranspose2d(1, 5, 4, 2, 1), picture(1, 1, 16, 16))
    with pytest.raises(ConfigError, match="too small"):
        assert_clean(nn.ConvTranspose2d(1, 1, 2, 2), torch.ones(1, 1, 2, 2), output_range=(0, 1))


# ----------------------------------------------------------------------------------------------------------------------
# What cannot be diagnosed


def nan_weights() -> nn.Module:
    model = nn.Sequential(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(1, 1, 4, 2, 1))
    with torch.no_grad():
        model[1].weight.fill_(float("nan"))
    return model


BAD = {
    "no site": (nn.Conv2d(1, 1, 3), FLAT, r"no site: Conv2d enlarges no image"),
    "not called": (Branches().aux.__class__(1, 1, 1), FLAT, r"no site: ConvTranspose2d"),
    "not finite": (nan_weights(), FLAT, r"output is not finite \(NaN or infinity\), first at 1"),
    "inputs not finite": (nn.Upsample(scale_factor=2), FLAT / 0, r"inputs: not all numbers are finite"),
    "no images": (
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(1024, 3)),
        FLAT,
        r"gives no images \[N, C, H, W\], but \[1, 3\]",
    ),
    "shape": (TwoStages(), torch.ones(1, 3, 8, 8), r"inputs \[1, 3, 8, 8\]: the model cannot take them"),
    "too many": (TwoStages(), (FLAT, FLAT), r"the model cannot take them: TypeError"),
    "range": (TwoStages(), FLAT, r"output_range=\(1, 0\): must be \(low, high\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_diagnosed_is_told_in_one_line(name: str) -> None:
    model, inputs, told = BAD[name]
    with pytest.raises(ConfigError, match=told) as error:
        quiet(model, inputs, (1, 0) if name == "range" else None)
    assert "\n" not in str(error.value)
