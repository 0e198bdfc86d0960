"""Balance in foreign models: flat areas come out flat, little else changes, and the model that is given stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, weight_norm

from upsample_lab.doctor import balance, changes
from upsample_lab.upsamplers import build_upsampler


class Decoder(nn.Module):
    """As users write them: a layer, a shuffle whose convolution lies elsewhere, and a function called in a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.up1 = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)
        self.widen = nn.Conv2d(6, 16, 3, padding=1, padding_mode="replicate")
        self.shuffle = nn.PixelShuffle(2)
        self.kernel = nn.Parameter(torch.randn(4, 3, 4, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.shuffle(self.widen(self.up1(x)))
        return F.conv_transpose2d(x, self.kernel, stride=(2, 3))


SITES = ["up1", "shuffle", ":conv_transpose2d#1"]


def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder().double().eval()


def constant(size: int = 12) -> Tensor:
    return torch.full((1, 4, size, size), 0.7, dtype=torch.float64)


def flat_variation(model: nn.Module) -> float:
    """Standard deviation over root mean square of what a constant becomes, each channel's own, in the middle of it."""
    with torch.no_grad():
        output = model(constant(24))
    height, width = output.shape[-2:]
    middle = output[..., height // 3 : -(height // 3), width // 3 : -(width // 3)].flatten(2)
    return float((middle.std(2, correction=0).square().mean() / middle.square().mean()).sqrt())


@pytest.mark.parametrize("parametrized", [False, True])
def test_all_sites_of_a_model_leave_a_flat_area_flat(parametrized: bool) -> None:
    model = decoder()
    cured = balance(model, parametrize=parametrized, inputs=constant())
    assert flat_variation(model) > 0.2
    assert flat_variation(cured) < 1e-13
    assert [change.path for change in changes(cured).each] == SITES


def test_the_model_that_is_given_stays_and_no_name_changes() -> None:
    model = decoder()
    before = copy.deepcopy(model.state_dict())
    cured = balance(model, inputs=constant())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert cured.state_dict().keys() == before.keys()
    model.load_state_dict(cured.state_dict())
    assert flat_variation(model) < 1e-13


def test_how_much_changed_is_told() -> None:
    torch.manual_seed(0)
    model = nn.ConvTranspose2d(32, 32, 4, 2, 1)
    x = torch.randn(2, 32, 8, 8)
    told = changes(balance(model, inputs=x))
    cured = balance(model)
    moved = ((cured.weight - model.weight).norm() / model.weight.norm()).detach()
    assert told.each[0].weight_change == pytest.approx(float(moved), rel=1e-4)
    assert told.each[0].weight_change == pytest.approx((3 / 16) ** 0.5, rel=0.02)  # 3 of 16 directions of a random one
    with torch.no_grad():
        assert told.output_change == pytest.approx(float((cured(x) - model(x)).norm() / model(x).norm()), rel=1e-4)
    assert changes(cured).output_change is None
    assert "changes by 43" in str(told)


def test_one_site_alone() -> None:
    model = decoder()
    cured = balance(model, ["up1"], inputs=constant())
    changed = {name for name, value in cured.state_dict().items() if not torch.equal(value, model.state_dict()[name])}
    assert changed == {"up1.weight"}


def test_a_parametrization_holds_through_training_and_is_baked_in_afterwards() -> None:
    cured = balance(decoder(), parametrize=True, inputs=constant()).train()
    optimizer = torch.optim.Adam(cured.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        (cured(torch.randn(2, 4, 6, 6, dtype=torch.float64)) - 1).square().mean().backward()
        optimizer.step()
    assert flat_variation(cured) < 1e-13
    before = cured(constant())
    for owner, name in [(cured.up1, "weight"), (cured.widen, "weight"), (cured.widen, "bias"), (cured, "kernel")]:
        parametrize.remove_parametrizations(owner, name)
    assert cured.state_dict().keys() == decoder().state_dict().keys()
    torch.testing.assert_close(cured(constant()), before)


def test_without_inputs_layers_are_found_by_their_types() -> None:
    torch.manual_seed(0)
    own = build_upsampler("pixel_shuffle", 6, 8, init="random", tie_bias=False)
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 4, 2, 1), own, nn.Conv2d(8, 12, 1), nn.PixelShuffle(2))
    model.append(build_upsampler("deconv", 3, 3)).append(build_upsampler("nearest", 3, 4)).double()
    cured = balance(model)
    assert [change.path for change in changes(cured).each] == ["0", "1", "3", "4"]
    assert flat_variation(model) > 0.2
    assert flat_variation(cured) < 1e-13


def test_a_block_that_is_used_twice_is_balanced_once_and_stays_one() -> None:
    torch.manual_seed(0)
    block = nn.ConvTranspose2d(4, 4, 4, 2, 1)
    cured = balance(nn.Sequential(block, nn.ReLU(), block))
    assert len(changes(cured).each) == 1
    assert cured[0] is cured[2]


def test_a_weight_that_a_parametrization_makes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(parametrizations.weight_norm(nn.ConvTranspose2d(4, 3, 4, 2, 1).double()))
    for how in ({"inputs": constant()}, {}, {"parametrize": True}):
        cured = balance(model, **how)
        assert flat_variation(model) > 0.2
        assert flat_variation(cured) < 1e-13


def test_a_model_with_parametrizations_of_its_own_stays_as_it_is() -> None:
    """torch keeps them in the class of a module, and gives a copy the same class."""
    torch.manual_seed(0)
    conv = parametrizations.weight_norm(nn.Conv2d(4, 12, 3))
    model = nn.Sequential(conv, nn.PixelShuffle(2)).double()
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    before = model(x)
    cured = balance(model, parametrize=True)  # of the bias too
    torch.testing.assert_close(model(x), before)
    for name in ("weight", "bias"):
        parametrize.remove_parametrizations(cured[0], name)
    torch.testing.assert_close(model(x), before)
    assert flat_variation(cured) < 1e-13


BAD: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    r"'up2': must be one of up1, shuffle, :conv_transpose2d#1; did you mean up1\?": (
        decoder(),
        {"paths": ["up2"], "inputs": constant()},
    ),
    "no transposed convolution that enlarges .* give inputs=": (nn.Conv2d(3, 3, 3), {}),
    "'': a kernel of 2 x 2 with stride 3 x 3": (nn.ConvTranspose2d(3, 3, 2, 3), {}),
    "a hook makes its weight": (weight_norm(nn.ConvTranspose2d(3, 3, 4, 2)), {}),
    "the model cannot take them": (decoder(), {"inputs": torch.zeros(1, 5, 4, 4)}),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("reason", BAD)
def test_what_cannot_be_done_is_told_in_one_line(reason: str) -> None:
    model, how = BAD[reason]
    with pytest.raises(ValueError, match=reason) as told:
        balance(model, **how)
    assert "\n" not in str(told.value)


def test_only_a_model_that_was_changed_tells_of_changes() -> None:
    with pytest.raises(ValueError, match="none that swap or balance gave"):
        changes(decoder())
