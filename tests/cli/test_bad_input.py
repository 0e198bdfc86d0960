"""Bad input, tried for real: every script and every key. One line that says what is wrong, status 2, nothing left.

Most cases are made from the schema, so a new key is tried the moment it exists.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, load_script
from upsample_lab.cli.app import COMMANDS
from upsample_lab.cli.main import guarded
from upsample_lab.config import TrainConfig
from upsample_lab.options.compare import CompareConfig
from upsample_lab.options.diagnose import DiagnoseConfig
from upsample_lab.options.evaluate import EvaluateConfig
from upsample_lab.options.explain import ExplainConfig, PlanConfig
from upsample_lab.options.export import ExportConfig
from upsample_lab.options.passport import PassportConfig
from upsample_lab.settings import GROUPS, Rule, rule_of

# ----------------------------------------------------------------------------------------------------------------------
# The scripts, by their words


def call(script: str, words: Sequence[str]) -> int:
    return guarded(lambda: load_script(script).main(list(words)))


# ----------------------------------------------------------------------------------------------------------------------
# Cases from the schema

HUGE = "1" + "0" * 40
Case = tuple[str, list[str]]


def wrong_values(cls: type, name: str, rule: Rule) -> Iterator[str]:
    """Values that a field must refuse, in the words of the command line."""
    hint = typing.get_type_hints(cls)[name]
    parts = typing.get_args(hint) if not typing.get_origin(hint) else ()
    base = next((part for part in parts if part is not type(None)), hint)
    optional = type(None) in typing.get_args(hint)
    if not optional:
        yield "null"
    if base is bool:
        yield from ("7", "maybe", "1.5", "[true]")
    elif base is int:
        yield from ("abc", "1.5", "nan", "true", "[1,2]", "ä", "''")
    elif base is float:
        yield from ("abc", "nan", "inf", "-inf", "[1.0]", "''")
    elif typing.get_origin(base) is list:
        yield from ("[]", "7", "{a:1}") if typing.get_args(base)[0] is int else ("7",)
    elif rule.choices or rule.pattern:
        yield from ("''", "nonsense!", "[a]", "ä ö")
    else:
        yield from ("''", "[a]", "{a:1}")
    if base in (int, float):
        yield from (f"{bound:.0f}" for bound in (rule.low and rule.low - 1, rule.high and rule.high + 1) if bound)
        if rule.high is not None:
            yield HUGE


def schema_cases(
    script: str, node: type, words: Sequence[str] = (), prefix: str = ""
) -> Iterator[tuple[str, list[str]]]:
    for item in dataclasses.fields(node):
        rule = rule_of(node, item.name)
        if rule is not None:
            for value in wrong_values(node, item.name, rule):
                yield script, [*words, f"{prefix}{item.name}={value}"]


def all_schema_cases() -> Iterator[Case]:
    for group, options in GROUPS.items():
        seen: set[str] = set()
        for choice, cls in options.items():
            chosen = [] if group in ("trainer", "experiment") else [f"{group}={choice}"]
            for script, words in schema_cases("train", cls, chosen, f"{group}."):
                if words[-1] not in seen:  # the same field of a neighbour, inherited
                    seen.add(words[-1])
                    yield script, words
    from upsample_lab.options.trainer import ExperimentOptions, RunOptions

    yield from schema_cases("train", TrainConfig)
    yield from schema_cases("train", ExperimentOptions, (), "experiment.")
    yield from schema_cases("train", RunOptions, (), "run.")
    yield from schema_cases("evaluate", EvaluateConfig, ["run=nowhere"])
    yield from schema_cases("compare", CompareConfig, ["experiment=nowhere"])
    yield from schema_cases("passport", PassportConfig)
    yield from schema_cases("diagnose", DiagnoseConfig, ["run=nowhere"])
    yield from schema_cases("export", ExportConfig, ["run=nowhere"])
    yield from schema_cases("explain", ExplainConfig)
    yield from schema_cases("explain", PlanConfig, ["plan"])


# ----------------------------------------------------------------------------------------------------------------------
# Cases by hand: `{here}` is an empty folder, `{images}` one with an image too few

TINY_FOLDER = ["data=image_folder", "data.image_size=8", "model.widths=[4]", "trainer.max_steps=1"]
BY_HAND: list[Case] = [
    ("train", ["upsample=decnv"]),
    ("train", ["upsample="]),
    ("train", ["data=imagenet"]),
    ("train", ["lr=3"]),
    ("train", ["optim.lrr=3"]),
    ("train", ["="]),
    ("train", [""]),
    ("train", [" "]),
    ("train", ["seed"]),
    ("train", ["seed==1"]),
    ("train", ["seed=1=2"]),
    ("train", ["--epochs=3"]),
    ("train", ["-x"]),
    ("train", ["--"]),
    ("train", ["+seed=1"]),
    ("train", ["++seed=1"]),
    ("train", ["~seed"]),
    ("train", ["upsample@foo=deconv"]),
    ("train", ["seed=1,2"]),
    ("train", ["-m", "seed=1,one"]),
    ("train", ["-m", "seed=range(1,3"]),
    ("train", ["-m", "seed=interval(0,1)"]),
    ("train", ["-m", "upsample=deconv,decnv"]),
    ("train", ["seed=${nowhere}"]),
    ("train", ["optim.lr=${oc.env:NO_SUCH_VARIABLE}"]),
    ("train", ["optim.lr=${oc.decode:[}"]),
    ("train", ["output_root=${output_root}"]),
    ("train", ["seed=!!python/object/apply:os.system [touch planted]"]),
    ("train", ["model.widths=[32,64"]),
    ("train", ["model.widths=[8,16,32]"]),
    ("train", ["model.widths=[-1]"]),
    ("train", ["model.widths=[4.5]"]),
    ("train", ["model.widths=[null]"]),
    ("train", ["model.widths=[nan]"]),
    ("train", ["model.widths=[" + "4," * 40 + "4]"]),
    ("train", ["model.scale=3"]),
    ("train", ["hydra=nothing"]),
    ("train", ["hydra.nothing=1"]),
    ("train", ["hydra/launcher=nowhere"]),
    ("train", ["experiment.name=../../etc"]),
    ("train", ["experiment.name=/etc"]),
    ("train", ["experiment.name=a/b"]),
    ("train", ["experiment.name=.."]),
    ("train", ["experiment.name=" + "x" * 101]),
    ("train", ["experiment.name=a\tb"]),
    ("train", ["data=image_folder"]),
    ("train", ["data=image_folder", "data.path=nowhere"]),
    ("train", ["data=image_folder", "data.path=../.."]),
    ("train", ["data=image_folder", "data.path={here}"]),
    ("train", ["data=image_folder", "data.path=" + "x" * 300]),
    ("train", ["data=image_folder", "data.path=/dev/null"]),
    ("train", ["data=image_folder", "data.path={here}/\x00"]),
    ("train", [*TINY_FOLDER, "data.path={images}/one"]),
    ("train", [*TINY_FOLDER, "data.path={images}/broken"]),
    ("train", [*TINY_FOLDER, "data.path={images}/file.png"]),
    ("train", [*TINY_FOLDER, "data.path={images}/two", "data.cache_dir=/dev/null"]),
    ("train", [*TINY_FOLDER, "data.path={images}/two", "data.cache_dir=" + "x" * 300]),
    ("train", ["data.root=/dev/null", "data.fallback=null", "data.mirrors=[http://127.0.0.1:9/]"]),
    ("train", ["data.root=" + "x" * 300, "data.fallback=null", "data.mirrors=[http://127.0.0.1:9/]"]),
    ("train", ["data.root={here}", "data.fallback=null", "data.mirrors=[file:///etc/]"]),
    ("train", ["data.root={here}", "data.fallback=null", "data.mirrors=[]"]),
    ("train", ["data.root={here}", "data.fallback=null", "data.mirrors=[http://[/]"]),
    ("train", ["data=glyphs", "output_root=/dev/null"]),
    ("train", ["data=glyphs", "output_root=" + "x" * 300]),
    ("train", ["data=glyphs", "output_root=" + "x/" * 3000]),
    ("train", ["data=glyphs", "output_root={images}/file.png/out"]),
    ("train", ["data=glyphs", "data.train_count=64", "trainer.epochs=1000000", "trainer.batch_size=1"]),
    ("train", ["upsample=dysample", "upsample.groups=3"]),
    ("train", ["upsample.phase_equal=true", "upsample.kernel_size=2", "model.scale=4", "model.widths=[8]"]),
    ("train", ["trainer.loss=bce", "model.output=linear"]),
    ("train", ["data=glyphs", "trainer.device=cuda:99"]),
    ("evaluate", []),
    ("evaluate", ["run=nowhere"]),
    ("evaluate", ["run={here}"]),
    ("evaluate", ["run=/dev/null"]),
    ("evaluate", ["run=" + "x" * 300]),
    ("evaluate", ["run={images}/file.png"]),
    ("evaluate", ["runn=x"]),
    ("export", []),
    ("export", ["run=nowhere"]),
    ("export", ["run={here}", "to=onx"]),
    ("evaluate", ["+x=1"]),
    ("evaluate", ["run=a,b"]),
    ("compare", []),
    ("compare", ["experiment=nowhere"]),
    ("compare", ["experiment={here}"]),
    ("compare", ["experiment=/dev/null"]),
    ("compare", ["experiment=../../etc"]),
    ("compare", ["experiment=" + "x" * 300]),
    ("compare", ["experiment=nowhere", "output_root={images}/file.png"]),
    ("compare", ["experiment={here}", "primary=test/nonsense"]),
    ("passport", ["upsample=decnv"]),
    ("passport", ["upsample.kernel_size=99"]),
    ("passport", ["scale=0"]),
    ("passport", ["scale=two"]),
    ("passport", ["upsample=bilinear_additive", "in_channels=3", "out_channels=2"]),
    ("passport", ["upsample=dysample", "upsample.groups=5"]),
    ("passport", ["output_root=/dev/null"]),
    ("passport", ["output_root=" + "x" * 300]),
    ("passport", ["device=cuda:99"]),
    ("passport", ["--all"]),
    ("explain", ["plann"]),
    ("explain", ["plan", "stages=0"]),
    ("explain", ["plan", "image_size=5", "stages=30"]),
    ("explain", ["input_size=2", "kernel_size=9"]),
    ("explain", ["stride=0"]),
    ("explain", ["padding=99"]),
    ("explain", ["to=pdf"]),
    ("explain", ["to=png", "output={here}/x.txt"]),
    ("explain", ["to=png", "output=/dev/null/x.png"]),
    ("explain", ["--input=3"]),
    ("benchmark", []),
    ("benchmark", ["convv"]),
    ("benchmark", ["loader", "--no-such-option"]),
    ("benchmark", ["conv", "--json"]),
    ("completion", []),
    ("completion", ["fish"]),
    ("completion", ["bash", "zsh"]),
    ("passport", ["run=nowhere"]),
    ("passport", ["run=nowhere", "upsample=nearest"]),
    ("generate_docs", ["extra"]),
    ("generate_docs", ["--output", "x"]),
    ("pattern_picture", []),
    ("pattern_picture", ["{here}/out.png"]),
    ("pattern_picture", ["{here}/out.png", "{here}/missing"]),
    ("pattern_picture", ["{here}/out.png", "{here}/missing", "--grey", "3"]),
    ("metrics_selftest", ["--data-root"]),
    ("metrics_selftest", ["--data-root", "{here}"]),
    ("metrics_selftest", ["--data-root", "/dev/null"]),
    ("metrics_selftest", ["extra"]),
    ("metrics_selftest", ["--p-values", "--sets=0"]),
    ("metrics_selftest", ["--p-values", "--sets=many"]),
    ("metrics_selftest", ["--p-values", "--data-root", "{here}"]),
    ("screenshots", []),
    ("screenshots", ["nowhere"]),
    ("screenshots", ["{here}", "--too=x"]),
    ("scan", ["nowhere"]),
    ("scan", ["{here}", "--periods", "1"]),
    ("scan", ["{here}", "--period", "many"]),
    ("scan_selftest", ["nowhere"]),
    ("scan_selftest", []),
    ("statistics_selftest", ["extra"]),
    ("statistics_selftest", ["--cases=many"]),
    ("statistics_selftest", ["--cases=0"]),
]  # fmt: skip

CASES = [*all_schema_cases(), *BY_HAND]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of too few images, and a file where a folder belongs."""
    folder = tmp_path_factory.mktemp("images")
    picture = Image.fromarray(np.zeros((9, 7), np.uint8))
    for name in ("one", "two", "broken"):
        (folder / name).mkdir()
    for path in ("one/a.png", "two/a.png", "two/b.png", "two/c.png", "file.png"):
        picture.save(folder / path)
    for name in ("a.png", "b.jpg", "c.gif", "d.tiff"):
        (folder / "broken" / name).write_bytes(b"GIF89a\0\0")
    return folder


def shown(part: str | list[str]) -> str:
    return part if isinstance(part, str) else " ".join(part)[:70]


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 150
    assert {script for script, _ in CASES} == {path.stem for path in (ROOT / "scripts").glob("*.py")} | set(COMMANDS)


@pytest.mark.run
@pytest.mark.parametrize(("script", "words"), CASES, ids=shown)
def test_ends_in_one_line(
    script: str,
    words: list[str],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(images / "cache"))
    words = [word.replace("{here}", str(tmp_path)).replace("{images}", str(images)) for word in words]
    try:
        status = call(script, words)
    except SystemExit as stopped:  # how argparse ends
        status = int(stopped.code or 0)
    out, err = capsys.readouterr()
    assert status == 2, err
    (line,) = err.splitlines()
    assert len(line) > 15
    assert "Traceback" not in out + err
    assert os.listdir(tmp_path) == [], "something was left behind"
