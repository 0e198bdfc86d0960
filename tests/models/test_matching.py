"""Equal budgets: every upsampler gets the parameters, or the multiply-accumulates, of the reference."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from upsample_lab.compose import compose_one
from upsample_lab.models import ConvolutionalAutoencoder, build_model, macs_per_image, match_budget
from upsample_lab.models.matching import TOLERANCE, closest_widths
from upsample_lab.options import load_option
from upsample_lab.options.model import decoder_widths
from upsample_lab.runs.identity import identity
from upsample_lab.settings import ConfigError
from upsample_lab.upsamplers import UPSAMPLERS

GREY = (1, 28, 28)
NATIVE = load_option("conv", "native")
BEYOND_THE_BUDGET = {("carafe", "params"), ("carafe", "macs"), ("bilinear_additive", "macs")}  # on the small model


def small(**changes: object):
    return dataclasses.replace(load_option("model", "small"), **changes)


def build(upsample: str, **changes: object) -> ConvolutionalAutoencoder:
    model = build_model(small(**changes), load_option("upsample", upsample), NATIVE, GREY, seed=0)
    assert isinstance(model, ConvolutionalAutoencoder)
    return model


@pytest.mark.run
@pytest.mark.parametrize("by", ["params", "macs"])
@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_every_upsampler_gets_the_budget_or_a_refusal(upsample: str, by: str) -> None:
    def cost(model: ConvolutionalAutoencoder) -> int:
        return sum(p.numel() for p in model.parameters()) if by == "params" else macs_per_image(model, GREY)

    if (upsample, by) in BEYOND_THE_BUDGET:
        with pytest.raises(ConfigError, match=f"model.match={by}: no decoder widths give upsample={upsample}"):
            build(upsample, match=by)
        return
    target, model = cost(build("deconv")), build(upsample, match=by)
    assert model.match is not None
    assert model.match.budget == target
    assert model.match.achieved == cost(model)
    assert abs(cost(model) / target - 1) <= TOLERANCE
    assert model(torch.rand(2, *GREY)).shape == (2, *GREY)


def test_the_reference_keeps_its_widths() -> None:
    for by in ("params", "macs"):
        match = match_budget(small(match=by), load_option("upsample", "deconv"), NATIVE, GREY)
        assert match is not None
        assert match.widths == decoder_widths([32, 64])
        assert match.deviation == 0


@pytest.mark.run
@pytest.mark.parametrize("upsample", ["nearest", "pixel_shuffle", "unpool"])
def test_the_encoder_is_left_alone(upsample: str) -> None:
    plain, matched = build("deconv"), build(upsample, match="params")
    for name, weight in plain.encoder.state_dict().items():
        torch.testing.assert_close(matched.encoder.state_dict()[name], weight, rtol=0, atol=0)


def test_the_count_is_what_the_kernels_do() -> None:
    """For the transposed convolution, whose borders PyTorch's counter counts as the inside too."""
    model = build("deconv").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, *GREY))
    assert counter.get_total_flops() == 2 * macs_per_image(model, GREY)


def test_unequal_proportions_only_where_they_help() -> None:
    found = closest_widths([64, 32, 32], 1000, cost=lambda widths: 5 * sum(widths))
    assert found is not None
    assert found.achieved == 1000
    assert sum(found.widths) == 200
    assert found.widths[0] == pytest.approx(2 * found.widths[1], abs=4)


def test_no_widths_at_all() -> None:
    assert closest_widths([4, 2], 100, cost=sum, allowed=lambda widths: False) is None


def test_matching_by_nothing_keeps_the_names_of_older_runs() -> None:
    plain = compose_one("train", [])
    assert "match" not in identity(plain)["model"]
    assert "match" in identity(compose_one("train", ["model.match=params"]))["model"]


def test_a_matched_run_tells_and_stores_its_budget(
    train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("upsample=nearest", "model.match=params", "model.widths=[8,16]", "trainer.max_steps=2") == 0
    assert "model.match: decoder widths" in capsys.readouterr().err
    (summary,) = (tmp_path / "out").glob("*/*/summary.json")
    match = json.loads(summary.read_text())["match"]
    assert match["achieved"] == json.loads(summary.read_text())["parameters"]
