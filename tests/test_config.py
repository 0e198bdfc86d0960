"""The configuration surface: what is refused and how, what composes, and which names users may rely on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from upsample_lab.compose import command_words, compose_grid, compose_one, groups_of, is_sweep, quoted_words
from upsample_lab.options import load_option
from upsample_lab.runs.identity import deciding, identity
from upsample_lab.runs.stored_config import read_train_config
from upsample_lab.settings import GROUPS, ConfigError, choices, option_values, rule_of

REFUSED = {
    # words: what the message must contain
    "misspelt group choice": (["upsample=decnv"], ["upsample=decnv", "deconv", "nearest", "did you mean deconv?"]),
    "misspelt key": (["upsample.kernel_sze=3"], ["kernel_sze", "did you mean upsample.kernel_size?"]),
    "key without its group": (["lr=3"], ["lr=3", "did you mean optim.lr?"]),
    "misspelt group": (["upsampel=deconv"], ["upsampel=deconv", "did you mean upsample?"]),
    "unknown key in a group": (["optim.zzz=3"], ["optim.zzz=3", "optim.lr"]),
    "text for a number": (["optim.lr=abc"], ["optim.lr=abc", "a number above 0"]),
    "text for an integer": (["seed=one"], ["seed=one", "an integer"]),
    "fraction for an integer": (["trainer.epochs=3.5"], ["trainer.epochs=3.5", "an integer from 1"]),
    "truth for an integer": (["trainer.epochs=true"], ["trainer.epochs=true", "an integer from 1"]),
    "number for a truth": (["trainer.compile=7"], ["trainer.compile=7", "true or false"]),
    "kernel of nothing": (["upsample.kernel_size=0"], ["upsample.kernel_size=0", "from 2 to 8"]),
    "kernel too large": (["upsample.kernel_size=99"], ["upsample.kernel_size=99", "from 2 to 8"]),
    "even kernel after a resize": (["upsample=nearest", "upsample.kernel_size=4"], ["kernel_size=4", "odd"]),
    "negative rate": (["optim.lr=-1"], ["optim.lr=-1", "above 0"]),
    "zero rate": (["optim.lr=0"], ["optim.lr=0", "above 0"]),
    "rate that is no number": (["optim.lr=nan"], ["optim.lr=nan", "above 0"]),
    "infinite rate": (["optim.lr=inf"], ["optim.lr=inf", "above 0"]),
    "negative decay": (["optim.weight_decay=-1"], ["weight_decay=-1", "from 0 up"]),
    "no widths": (["model.widths=[]"], ["model.widths=[]", "at least one"]),
    "a width of nothing": (["model.widths=[32,0]"], ["model.widths=[32,0]", "from 1 to"]),
    "number for a list": (["model.widths=32"], ["model.widths=32", "a list"]),
    "lists for widths": (["model.widths=[[4]]"], ["model.widths=", "a list of at least one"]),
    "words for widths": (["model.widths=[a,b]"], ["model.widths", "a list"]),
    "28 pixels and three stages": (["model.widths=[8,16,32]"], ["28 pixels", "24 or 32", "model.widths=[8,16]"]),
    "28 pixels by 3": (["model.scale=3"], ["28 pixels", "27 or 36", "another model.scale"]),
    "list for a number": (["optim.lr=[1,2]"], ["optim.lr=[1,2]", "a number"]),
    "word not among the choices": (
        ["model.norm=btch"],
        ["model.norm=btch", "batch, group, none", "did you mean batch?"],
    ),
    "unknown loss": (["trainer.loss=l2"], ["trainer.loss=l2", "mse, l1, bce"]),
    "bce of unbounded output": (
        ["trainer.loss=bce", "model.output=linear"],
        ["trainer.loss=bce", "model.output=sigmoid"],
    ),
    "unknown device": (["trainer.device=gpu"], ["trainer.device=gpu", "auto, cpu, cuda"]),
    "null for a number": (["seed=null"], ["seed=null", "an integer"]),
    "negative seed": (["seed=-1"], ["seed=-1", "from 0"]),
    "empty output root": (["output_root="], ["output_root"]),
    "path as a name": (["experiment.name=../x"], ["experiment.name=../x", "letters, digits"]),
    "empty name": (["experiment.name="], ["experiment.name"]),
    "unknown mode": (["run.mode=again"], ["run.mode=again", "auto, fresh"]),
    "unknown fallback": (["data.fallback=cifar10"], ["data.fallback=cifar10", "glyphs or null"]),
    "limit of nothing": (["data.limit=0"], ["data.limit=0", "from 1 up or null"]),
    "added key": (["+foo=1"], ["+foo=1", "cannot be added"]),
    "removed key": (["~optim"], ["~optim", "cannot be added, removed"]),
    "renamed group": (["upsample@other=deconv"], ["upsample@other=deconv", "cannot be added"]),
    "no equals sign": (["foo"], ["foo", "key=value"]),
    "group without value": (["upsample"], ["upsample", "key=value"]),
    "two equals signs": (["seed=1=2"], ["seed=1=2", "key=value"]),
    "unknown flag": (["--epochs"], ["--epochs", "unknown flag"]),
    "value for a group of settings": (["run=fresh"], ["run=fresh", "run.mode"]),
    "mapping for a group": (["model={a:1}"], ["model=", "medium, mlp, small"]),
    "several values without a sweep": (["seed=1,2"], ["seed=1,2", "-m"]),
    "name changed behind the choice": (["upsample.name=nearest"], ["upsample.name=nearest", "upsample=nearest"]),
    "folder not given": (["data=image_folder"], ["data.path", "must be given"]),
    "interpolation to nowhere": (["optim.lr=${nowhere}"], ["optim.lr", "nowhere"]),
    "sums of channels that do not divide": (
        ["upsample=bilinear_additive", "model.widths=[8,12]"],
        ["upsample=bilinear_additive", "12 input channels", "8 equal groups"],
    ),
    "equal phases without weights": (
        ["upsample.phase_equal=true", "upsample.kernel_size=2", "model.scale=4", "model.widths=[8]"],
        ["upsample.phase_equal=true", "at least the scale"],
    ),
    "an option of other layers": (
        ["upsample.fold=never"],
        ["upsample.fold=never: upsample=deconv has no such setting; bicubic, bilinear,", "nearest have it"],
    ),
    "an option of another model": (["model.hidden=[8]"], ["model=small has no such setting; mlp has it"]),
    "a folder for what has no files": (["data=glyphs", "data.root=/x"], ["data=glyphs has no such setting; cifar10,"]),
    "unknown launcher": (["hydra/launcher=nowhere"], ["hydra/launcher=nowhere", "basic"]),
    "unknown preset": (["experiment=defualt"], ["experiment=defualt", "did you mean default?"]),
}


@pytest.mark.parametrize(("words", "parts"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(words: list[str], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_one("train", words)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_choice_has_values_for_exactly_its_schema(group: str) -> None:
    for name in choices(group):
        schema = GROUPS[group][name]
        fields = {item.name for item in dataclasses.fields(schema)}
        values = set(option_values(group, name))
        required = {"path"} if name == "image_folder" else set()
        assert fields - {"name"} - required <= values | {"name"}, f"configs/{group}/{name}.yaml lacks a value"
        assert values <= fields, f"configs/{group}/{name}.yaml has a key without a schema"
        if name != "image_folder":
            assert dataclasses.is_dataclass(load_option(group, name))


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_field_explains_itself(group: str) -> None:
    for schema in GROUPS[group].values():
        for item in dataclasses.fields(schema):
            rule = rule_of(schema, item.name)
            assert item.name == "name" or (rule is not None and rule.help), f"{schema.__name__}.{item.name}"


def test_defaults_live_in_configs_only() -> None:
    with pytest.raises(ConfigError, match=r"unknown; choose one of .*did you mean deconv"):
        option_values("upsample", "deconf")
    assert all(
        item.default == "???" or item.default is dataclasses.MISSING
        for schemas in GROUPS.values()
        for schema in schemas.values()
        for item in dataclasses.fields(schema)
    )


def test_a_preset_may_sweep_by_itself() -> None:
    assert not is_sweep("train", ["upsample=deconv"])


def test_grid_is_every_combination_in_order() -> None:
    grid = compose_grid("train", ["upsample=deconv,nearest", "seed=0,1,2", "trainer.epochs=1"])
    assert [(config.upsample.name, config.seed) for config in grid] == [
        (name, seed) for name in ("deconv", "nearest") for seed in (0, 1, 2)
    ]
    assert all(config.trainer.epochs == 1 for config in grid)


@pytest.mark.parametrize(
    "words", [["seed=range(0,3)"], ["seed=choice(0,1,2)"], ["seed=0,1,2"]], ids=lambda words: words[0]
)
def test_grid_takes_every_discrete_form(words: list[str]) -> None:
    assert [config.seed for config in compose_grid("train", words)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["upsample=deconv,decnv"], "did you mean deconv?"),
        (["optim.lr=0.1,-1"], "optim.lr=-1"),
        (["optim.lr=interval(0,1)"], "interval"),
        (["upsample=deconv,nearest", "upsample.kernel_size=3,4"], "odd"),
        (["upsample=deconv,nearest", "upsample.init=bilinear"], "upsample=nearest has no such setting; blur_deconv"),
        (["upsample=deconv,unpool", "upsample.fold=never"], "upsample=deconv has no such setting; bicubic"),
    ],
    ids=["choice", "value", "interval", "combination", "option that decides of others", "option of none of them"],
)
def test_grid_is_checked_before_it_starts(words: list[str], part: str) -> None:
    with pytest.raises(ConfigError, match=part.replace("?", r"\?")):
        compose_grid("train", words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["upsample=nearest", "upsample.kernel_size=5"],
        ["data=image_folder", "data.path=my pictures/it's here"],
        ["model.widths=[8,16]", "data.limit=null", "trainer.compile=true"],
        ["optim=sgd", "optim.momentum=0.5", "optim.clip_grad_norm=1.5"],
        ["output_root=/tmp/a b,c=d"],
    ],
    ids=lambda words: " ".join(words) or "defaults",
)
def test_command_words_compose_to_the_same_configuration(words: list[str]) -> None:
    words = [word if "," not in word or "[" in word else f"output_root='{word.partition('=')[2]}'" for word in words]
    words = [
        f"data.path='{word.partition('=')[2]}'".replace("it's", r"it\'s") if "data.path" in word else word
        for word in words
    ]
    config = compose_one("train", words)
    assert compose_one("train", command_words("train", config)) == config


@pytest.mark.parametrize("path", ["/data/März/ü", "C: drive/é", "a b/c d", "naïve—run"])
def test_paths_need_no_quotes_of_their_own(path: str) -> None:
    assert compose_one("train", [f"output_root={path}"]).output_root == path
    assert compose_grid("train", [f"output_root={path}", "seed=0,1"])[1].output_root == path


def test_a_setting_that_decides_nothing_goes_to_those_points_of_a_sweep_that_have_it() -> None:
    """Hydra composes its points anew, and is to come to the same."""
    from hydra import compose, initialize_config_dir

    from upsample_lab.settings import CONFIG_DIR

    words = ["upsample=deconv,nearest", "upsample.fold=never", "data=mnist,glyphs", "data.fallback=null"]
    grid = compose_grid("train", words)
    assert [getattr(config.upsample, "fold", None) for config in grid] == [None, None, "never", "never"]
    assert [getattr(config.data, "fallback", "none") for config in grid] == [None, "none", None, "none"]
    upsample, fold, data, fallback = quoted_words("train", words)
    assert [upsample, fold, data, fallback] == [words[0], f"++{words[1]}", words[2], f"++{words[3]}"]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR)):
        points = [
            [f"upsample={u}", fold, f"data={d}", fallback] for u in ("deconv", "nearest") for d in ("mnist", "glyphs")
        ]
        assert [OmegaConf.to_object(compose("train", overrides=point)) for point in points] == grid


def test_hydra_composes_what_we_checked() -> None:
    """The grid is checked by our own assignment and run by Hydra's composition: they must agree."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from upsample_lab.settings import CONFIG_DIR

    words = [
        "upsample=nearest",
        "upsample.kernel_size=5",
        "model.widths=[8,16]",
        "optim=sgd",
        "seed=3",
        "data.limit=10",
    ]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR)):
        composed = OmegaConf.to_object(compose("train", overrides=words))
    assert composed == compose_one("train", words)


FROZEN_GROUPS = ("task", "upsample", "data", "model", "conv", "optim", "trainer", "experiment")
FROZEN_KEYS = {
    "upsample.kernel_size", "upsample.init",
    "data.root", "data.limit", "data.fallback", "data.validation_count",
    "model.widths", "model.latent_channels", "model.norm", "model.activation", "model.scale", "conv.conv2d",
    "conv.conv_transpose2d", "optim.lr", "optim.weight_decay", "optim.schedule", "trainer.epochs", "trainer.max_steps",
    "trainer.batch_size", "trainer.loss", "trainer.precision", "trainer.device", "trainer.compile",
    "trainer.log_every_steps", "experiment.name", "run.mode", "seed", "output_root",
}  # fmt: skip
FROZEN_CHOICES = {
    "task": {"reconstruct"},
    "upsample": {"deconv", "nearest", "bilinear"},
    "data": {"mnist", "fashion_mnist", "cifar10", "image_folder", "glyphs"},
    "model": {"small", "medium", "mlp"},
    "conv": {"custom", "native", "matrix"},
    "optim": {"adam", "adamw", "sgd"},
    "experiment": {"default"},
}


def test_names_that_users_type_stay() -> None:
    from omegaconf import OmegaConf

    from upsample_lab.compose import leaf_keys

    assert groups_of("train") == FROZEN_GROUPS
    for upsample, keys in (("deconv", FROZEN_KEYS), ("nearest", {"upsample.fold", "upsample.order"})):
        assert set(leaf_keys(OmegaConf.structured(compose_one("train", [f"upsample={upsample}"])))) >= keys
    for group, names in FROZEN_CHOICES.items():
        assert set(choices(group)) >= names


OLDER = [
    *((["upsample=" + name], "upsample", "fold", "auto") for name in choices("upsample")),
    (["upsample=deconv/k3"], "upsample", "fold", "never"),
    *((["data=" + name], "data", "fallback", "glyphs") for name in choices("data") if name != "image_folder"),
    (["data=image_folder", "data.path=x"], "data", "fallback", "glyphs"),
]


@pytest.mark.parametrize(("words", "group", "key", "value"), OLDER, ids=str)
def test_a_run_from_before_a_choice_lost_a_setting_is_the_same_run(
    tmp_path: Path, words: list[str], group: str, key: str, value: str
) -> None:
    config = compose_one("train", words)
    values: Any = OmegaConf.to_container(OmegaConf.structured(config))
    decided = deciding(values)
    values[group].setdefault(key, value)
    assert deciding(values) == decided == identity(config)
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(values))
    assert read_train_config(tmp_path / "config.yaml") == config
    values[group]["fould"] = value
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(values))
    with pytest.raises(ConfigError, match="fould"):
        read_train_config(tmp_path / "config.yaml")


def test_a_run_from_before_a_setting_existed_has_its_default(tmp_path: Path) -> None:
    config = compose_one("train", ["upsample=nearest", "optim.lr=0.5"])
    values = OmegaConf.to_container(OmegaConf.structured(config))
    del values["upsample"]["fold"], values["model"]["match"], values["trainer"]["validate_every_steps"]
    del values["plugins"]
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(values))
    assert read_train_config(tmp_path / "config.yaml") == config
