"""The names and digests that runs have had so far: whoever repeats a command finds the run that it made before.

`golden_names.json` holds words and the names of their runs as they were on 25 November 2026. A name in it changes only
where the meaning of a setting does; a new setting has a `neutral` value, or stays out of the identity.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from upsample_lab.compose import compose_grid, compose_one
from upsample_lab.runs.identity import run_name

GOLDEN = json.loads(Path(__file__).with_name("golden_names.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("words", GOLDEN["runs"], ids=lambda words: words or "defaults")
def test_a_run_keeps_its_name(words: str) -> None:
    assert run_name(compose_one("train", words.split())) == GOLDEN["runs"][words]


@pytest.mark.run
@pytest.mark.parametrize("words", GOLDEN["sweeps"])
def test_a_sweep_keeps_its_runs(words: str) -> None:
    assert [run_name(config) for config in compose_grid("train", words.split())] == GOLDEN["sweeps"][words]
