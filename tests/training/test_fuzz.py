"""Whatever configuration validates also trains: drawn from the schema, so a new key is drawn the moment it exists."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from upsample_lab.compose import compose_one
from upsample_lab.config import TrainConfig, check_values
from upsample_lab.data import load_images
from upsample_lab.device import MEMORY_FORMATS, Where, reproducibly
from upsample_lab.options import load_option
from upsample_lab.runs.identity import digest, run_name
from upsample_lab.settings import ConfigError, Rule, choices, rule_of
from upsample_lab.training.loop import build

pytestmark = pytest.mark.run

EXAMPLES = 30
LARGEST = 12  # of any size: a step has to be short
FIXED = {"trainer.device": "cpu", "trainer.compile": False, "data.train_count": 64, "data.test_count": 16}
DRAWN_GROUPS = ("upsample", "model", "conv", "optim")


def values(cls: type, name: str, rule: Rule) -> st.SearchStrategy[Any]:
    """What a field allows, of small sizes."""
    hint = typing.get_type_hints(cls)[name]
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    optional = type(None) in typing.get_args(hint)
    base = parts[0] if optional else hint
    if rule.choices:
        allowed: st.SearchStrategy[Any] = st.sampled_from(rule.choices)
    elif base is bool:
        allowed = st.booleans()
    elif base is int:
        low, high = int(rule.low or 0), int(min(rule.high or LARGEST, (rule.low or 0) + LARGEST))
        allowed = st.integers(low, high).filter(lambda value: not rule.odd or value % 2 == 1)
    elif base is float:
        low_value = rule.low if rule.low is not None else rule.above or 0.0
        allowed = st.floats(low_value, min(rule.high or 2.0, 2.0), exclude_min=rule.low is None)
    else:
        raise AssertionError(f"{name}: {hint} is drawn nowhere")
    return st.none() | allowed if optional else allowed


@st.composite
def configurations(draw: st.DrawFn) -> TrainConfig:
    """Every group at random, and every key of it; sizes that fit 28 pixels more often than not."""
    config = compose_one("train", ["data=glyphs"])
    config = dataclasses.replace(
        config, **{group: load_option(group, draw(st.sampled_from(choices(group)))) for group in DRAWN_GROUPS}
    )
    for group in (*DRAWN_GROUPS, "data", "trainer"):
        options = getattr(config, group)
        for item in dataclasses.fields(options):
            rule = rule_of(type(options), item.name)
            if f"{group}.{item.name}" in FIXED:
                setattr(options, item.name, FIXED[f"{group}.{item.name}"])
            elif rule is not None and item.name not in ("widths", "hidden", "fallback", "match", "variant"):
                setattr(options, item.name, draw(values(type(options), item.name, rule)))
    stages = draw(st.sampled_from([1, 2] if config.model.scale == 2 else [1]))
    config.model.widths = draw(st.lists(st.integers(1, LARGEST), min_size=stages, max_size=stages))
    if hasattr(config.model, "hidden"):
        config.model.hidden = draw(st.lists(st.integers(1, LARGEST), min_size=1, max_size=3))
    config.seed = draw(st.integers(0, 2**31 - 1))
    return config


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(configurations())
def test_what_validates_trains(config: TrainConfig) -> None:
    try:
        check_values(config)
    except ConfigError:
        assume(False)
    images = load_images(config.data)
    where = Where(torch.device("cpu"), MEMORY_FORMATS[config.trainer.memory_format])
    assert run_name(config).endswith(digest(config))
    with reproducibly(config.trainer.deterministic):
        training = build(config, images, where)
        training.step()
        assert training.progress.step == 0
        output = training.model(images.test[:2].float() / 255)
    assert output.shape == images.test[:2].shape
