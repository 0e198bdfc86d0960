"""The schema of every configuration group, and the checks that run before anything starts.

Each group is a dataclass; the values live in `configs/` and nowhere else, so no field has a default here. A field says
what it means and what it allows (`setting`, see `settings.py`), and from that one place come the checks, their messages
and the help page. This module imports no torch: help and configuration errors answer at once.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from upsample_lab.settings import (
    GROUPS,
    OWN_HELP,
    OWN_VALUES,
    ConfigError,
    allowed_text,
    check_leaf,
    choices,
    leaves,
    nearest,
    option,
    option_values,
    pasted,
    setting,
    show,
)

# ----------------------------------------------------------------------------------------------------------------------
# upsample=


@dataclass
class UpsampleOptions:
    """What every upsampler's options have in common: the name in the registry, and how a resize is computed."""

    name: str = MISSING
    fold: str = setting(
        "compute a fixed resize and its convolution in one: auto where measured to be faster, always where exact; the "
        "other layers have nothing to fold, and take the key all the same",
        choices=("auto", "never", "always"),
        identity=False,
    )

    def check(self) -> None:
        """Raise `ConfigError` if options that are each allowed do not go together."""

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        """Raise `ConfigError` if a stage with these channels and this scale cannot have these options."""


@dataclass
class ResizeOptions(UpsampleOptions):
    """A fixed resize, and the convolution that learns."""

    kernel_size: int = setting("side of the convolution's kernel in pixels", low=1, high=9, odd=True)
    order: str = setting(
        "whether the image is resized before the convolution, or after it at 1/s² of the cost",
        choices=("resize_first", "conv_first"),
    )


@option("upsample", "nearest")
@dataclass
class NearestOptions(ResizeOptions):
    pass


@option("upsample", "bilinear")
@dataclass
class BilinearOptions(ResizeOptions):
    pass


@option("upsample", "bicubic")
@dataclass
class BicubicOptions(ResizeOptions):
    pass


@option("upsample", "kaiser")
@dataclass
class KaiserOptions(ResizeOptions):
    pass


@option("upsample", "fourier")
@dataclass
class FourierOptions(ResizeOptions):
    pass


@option("upsample", "bilinear_additive")
@dataclass
class BilinearAdditiveOptions(UpsampleOptions):
    kernel_size: int = setting("side of the convolution's kernel in pixels", low=1, high=9, odd=True)

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        if in_channels % out_channels:
            raise ConfigError(
                f"upsample=bilinear_additive: sums groups of channels, and {in_channels} input channels make no "
                f"{out_channels} equal groups; use a multiple of {out_channels}"
            )


@dataclass
class TransposedOptions(UpsampleOptions):
    """A transposed convolution."""

    kernel_size: int = setting("side of the kernel in pixels", low=2, high=8)
    init: str = setting("how the kernel starts", choices=("random", "bilinear"))


@option("upsample", "blur_deconv")
@dataclass
class BlurDeconvOptions(TransposedOptions):
    pass


@option("upsample", "deconv")
@dataclass
class DeconvOptions(TransposedOptions):
    phase_equal: bool = setting("keep all output phases at the same gain, so that flat areas cannot checker")

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        if self.phase_equal and self.kernel_size < scale:
            raise ConfigError(
                f"upsample.phase_equal=true: needs upsample.kernel_size={self.kernel_size} to be at least the scale, "
                f"{scale}, since some phases have no weights"
            )


@option("upsample", "pixel_shuffle")
@option("upsample", "blur_pixel_shuffle")
@dataclass
class PixelShuffleOptions(UpsampleOptions):
    kernel_size: int = setting("side of the convolution's kernel in pixels", low=1, high=9, odd=True)
    init: str = setting("how the kernels start; icnr: equal in all phases", choices=("random", "icnr"))
    tie_bias: bool = setting("one bias for all phases; untied ones checker from the start, also with icnr")


@option("upsample", "unpool")
@dataclass
class UnpoolOptions(UpsampleOptions):
    kernel_size: int = setting("side of the convolution that fills the empty pixels", low=1, high=9, odd=True)


@option("upsample", "carafe")
@dataclass
class CarafeOptions(UpsampleOptions):
    kernel_size: int = setting("side of the neighbourhood that is averaged, in input pixels", low=1, high=9, odd=True)
    encoder_kernel_size: int = setting("side of the convolution that predicts the weights", low=1, high=9, odd=True)
    compressed_channels: int = setting("channels that the weights are predicted from", low=1, high=1024)


@option("upsample", "dysample")
@dataclass
class DySampleOptions(UpsampleOptions):
    groups: int = setting("groups of channels with offsets of their own; must divide the channels", low=1, high=64)
    scope: str = setting(
        "range of the offsets: a fixed quarter of a pixel, or predicted for each", choices=("static", "dynamic")
    )

    def check_stage(self, in_channels: int, out_channels: int, scale: int) -> None:
        if out_channels % self.groups:
            raise ConfigError(
                f"upsample.groups={self.groups}: must divide the output channels, which are {out_channels}"
            )


def upsample_options(name: str, given: dict[str, Any]) -> UpsampleOptions:
    """The options of one upsampler: those given, checked, and the rest from its YAML file.

    For the library's own use; a composed configuration has been checked already. Raises `ConfigError`.
    """
    names = choices("upsample")
    if name not in names:
        raise ConfigError(f"upsample={name}: must be one of {', '.join(names)}{nearest(str(name), names)}")
    cls, values = GROUPS["upsample"][name], option_values("upsample", name)
    del values["name"]
    for key, value in given.items():
        if key not in values:
            known = ", ".join(values) + nearest(key, values)
            raise ConfigError(f"upsample.{key}={value}: unknown; the options of {name} are {known}")
        if type(value) is not typing.get_type_hints(cls)[key]:
            raise ConfigError(f"upsample.{key}={value!r}: must be {allowed_text(cls, key)}")
        check_leaf(f"upsample.{key}", cls, key, value)
    options: UpsampleOptions = cls(name=name, **{**values, **given})
    options.check()
    return options


# ----------------------------------------------------------------------------------------------------------------------
# data=


@dataclass
class DataOptions:
    """What every dataset has in common. `image_size` and `channels` are facts of a dataset, or settings of a folder."""

    name: str = MISSING
    limit: int | None = setting("train on the first n images only; null for all", low=1)
    validation_count: int = setting("images taken from the end of the training set for validation", low=1)
    fallback: str | None = setting(
        "dataset to use when this one is neither on disk nor downloadable; null stops",
        choices=("glyphs",),
        identity=False,
    )


@dataclass
class DownloadedData(DataOptions):
    root: str = setting("folder of the datasets, $UPSAMPLE_LAB_DATA or data/", identity=False, is_path=True)
    mirrors: list[str] = setting("addresses to download from, tried in order", identity=False)
    timeout_sec: float = setting("seconds after which a silent mirror is given up", above=0, identity=False)


@option("data", "mnist")
@dataclass
class MnistData(DownloadedData):
    image_size: ClassVar[int] = 28
    channels: ClassVar[int] = 1


@option("data", "fashion_mnist")
@dataclass
class FashionMnistData(DownloadedData):
    image_size: ClassVar[int] = 28
    channels: ClassVar[int] = 1


@option("data", "cifar10")
@dataclass
class Cifar10Data(DownloadedData):
    image_size: ClassVar[int] = 32
    channels: ClassVar[int] = 3


@option("data", "image_folder")
@dataclass
class ImageFolderData(DataOptions):
    root: str = setting(
        "folder that a relative data.path starts from, $UPSAMPLE_LAB_DATA or data/", identity=False, is_path=True
    )
    path: str = setting("the folder of images: train/<class>/*, test/<class>/*, or flat")
    image_size: int = setting("side in pixels to which the images are resized and cropped", low=8, high=1024)
    channels: int = setting("1 for grey, 3 for colour", choices=("1", "3"))
    test_fraction: float = setting("part of a flat folder that is kept for testing", above=0, high=0.9)
    train_folders: list[str] | None = setting(
        "folders below data.path whose images train, '.' for those in none; null: by their names", neutral=None
    )
    test_folders: list[str] | None = setting(
        "folders below data.path whose images test; null: by their names", neutral=None
    )
    cache_dir: str | None = setting(
        "where the converted array is kept; null for the user's cache folder", identity=False, is_path=True
    )


@option("data", "glyphs")
@dataclass
class GlyphsData(DataOptions):
    image_size: ClassVar[int] = 28
    channels: ClassVar[int] = 1
    train_count: int = setting("training images to draw, validation included", low=64, high=1_000_000)
    test_count: int = setting("test images to draw", low=16, high=1_000_000)
    glyph_seed: int = setting("seed of the drawings", low=0)


# ----------------------------------------------------------------------------------------------------------------------
# model=

NORMS = ("batch", "group", "none")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu")


@dataclass
class ModelOptions:
    name: str = MISSING
    widths: list[int] = setting("channels of each encoder stage; the decoder mirrors them", low=1, high=4096)
    latent_channels: int = setting("channels of the bottleneck at the lowest resolution", low=1, high=4096)
    scale: int = setting("down- and upsampling factor of each stage", low=2, high=4)
    activation: str = setting("activation between layers", choices=ACTIVATIONS)
    output: str = setting("last activation: sigmoid keeps images in [0, 1]", choices=("sigmoid", "linear"))

    @property
    def total_stride(self) -> int:
        return self.scale ** len(self.widths)


def decoder_widths(widths: Sequence[int]) -> list[int]:
    """Channels before and after each decoder stage: the encoder's widths mirrored, the last one kept."""
    return [*reversed(widths), widths[0]]


@option("model", "small")
@option("model", "medium")
@dataclass
class ConvolutionalModel(ModelOptions):
    norm: str = setting("normalisation after each convolution", choices=NORMS)
    match: str = setting(
        "adjust the decoder's widths to the parameters, or the multiply-accumulates, that deconv would have",
        choices=("none", "params", "macs"),
        neutral="none",
    )


@option("model", "mlp")
@dataclass
class MlpModel(ModelOptions):
    """A fully connected autoencoder; widths and scale only set the bottleneck that it shares with the others."""

    hidden: list[int] = setting(
        "sizes of the hidden layers of the encoder; the decoder mirrors them", low=1, high=65536
    )


# ----------------------------------------------------------------------------------------------------------------------
# conv=

CONV2D_ALGORITHMS = ("custom", "im2col", "matrix", "native")
CONV_TRANSPOSE2D_ALGORITHMS = ("custom", "col2im", "zero_insert", "polyphase", "matrix", "native")


@option("conv", "custom")
@option("conv", "native")
@option("conv", "matrix")
@dataclass
class ConvOptions:
    name: str = MISSING
    conv2d: str = setting("algorithm of every convolution", choices=CONV2D_ALGORITHMS)
    conv_transpose2d: str = setting("algorithm of every transposed convolution", choices=CONV_TRANSPOSE2D_ALGORITHMS)


# ----------------------------------------------------------------------------------------------------------------------
# optim=


@dataclass
class OptimOptions:
    name: str = MISSING
    lr: float = setting("learning rate at its highest", above=0, high=100)
    weight_decay: float = setting("weight decay", low=0)
    schedule: str = setting("learning rate over training", choices=("constant", "cosine"))
    warmup_fraction: float = setting("part of the training over which the rate rises from 0", low=0, high=0.9)
    clip_grad_norm: float | None = setting("largest norm of the gradient; null for no clipping", above=0)


@option("optim", "adam")
@option("optim", "adamw")
@dataclass
class AdamOptions(OptimOptions):
    beta1: float = setting("decay of the first moment", low=0, high=0.9999)
    beta2: float = setting("decay of the second moment", low=0, high=0.999999)


@option("optim", "sgd")
@dataclass
class SgdOptions(OptimOptions):
    momentum: float = setting("momentum", low=0, high=0.9999)
    nesterov: bool = setting("Nesterov's form of momentum")


# ----------------------------------------------------------------------------------------------------------------------
# trainer., experiment., run.


def device_setting() -> Any:
    """Where to compute: no part of a run's identity."""
    return setting(
        "where to compute; auto takes CUDA when there is one",
        pattern=r"auto|cpu|cuda(:\d+)?",
        pattern_help="auto, cpu, cuda or cuda:<number>",
        identity=False,
    )


@option("trainer", "default")
@dataclass
class TrainerOptions:
    epochs: int = setting("passes over the training images", low=1, high=1_000_000)
    max_steps: int | None = setting("stop after this many steps; null for whole epochs", low=1)
    batch_size: int = setting("images a step", low=1, high=65536)
    loss: str = setting("reconstruction loss", choices=("mse", "l1", "bce"))
    regularize: str = setting("phase penalises unequal gains of the upsampler's phases", choices=("none", "phase"))
    regularize_weight: float = setting("weight of that penalty beside the loss", low=0, high=1e6)
    loss_spectrum: float = setting("weight of the spectral loss beside the loss; 0 for none", low=0, high=1e6)
    precision: str = setting("fp32, or bf16 autocast", choices=("fp32", "bf16"))
    device: str = device_setting()
    threads: int | None = setting(
        "threads of one operation on the CPU; null for PyTorch's choice; another number may change the last bits",
        low=1,
        high=1024,
        identity=False,
    )
    compile: bool = setting("compile the model with torch.compile", identity=False)
    deterministic: bool = setting("kernels that give the same bits each time, slower on CUDA", identity=False)
    memory_format: str = setting(
        "layout of images and weights in memory", choices=("channels_last", "contiguous"), identity=False
    )
    log_every_steps: int = setting("steps between two reports of the training loss", low=1, identity=False)
    validate_every_epochs: int = setting("epochs between two validations; one more at the end", low=1)
    validate_every_steps: int | None = setting(
        "steps between two validations, beside those by epochs; null for none", low=1, neutral=None
    )
    checkpoint_every_sec: float = setting("seconds between two checkpoints", above=0, identity=False)
    checkpoint_every_steps: int | None = setting(
        "steps between two checkpoints, beside those by seconds; null for none", low=1, identity=False
    )
    reconstruction_count: int = setting("validation images shown as reconstructions", low=1, high=64, identity=False)


def plugins_setting() -> Any:
    """Whose parts may be chosen besides the package's own; what was chosen of them is in the group's own settings."""
    return setting(
        "modules with parts of your own, which are imported and so run",
        pattern=r"[A-Za-z_][\w.]*",
        pattern_help="a list of names of Python modules, such as [my_lab]",
        empty=True,
        identity=False,
    )


@dataclass
class ExperimentOptions:
    name: str = setting(
        "folder of the runs that are compared with each other",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
        pattern_help="letters, digits, '.', '_' and '-', at most 100",
        identity=False,
    )


@dataclass
class RunOptions:
    mode: str = setting(
        "auto skips a complete run and resumes an interrupted one; fresh starts beside the old one",
        choices=("auto", "fresh"),
        identity=False,
    )


@dataclass
class TrainConfig:
    """Everything that `scripts/train.py` takes."""

    upsample: UpsampleOptions = MISSING
    data: DataOptions = MISSING
    model: ModelOptions = MISSING
    conv: ConvOptions = MISSING
    optim: OptimOptions = MISSING
    trainer: TrainerOptions = MISSING
    experiment: ExperimentOptions = field(default_factory=ExperimentOptions)
    run: RunOptions = field(default_factory=RunOptions)
    seed: int = setting("decides initial weights and data order", low=0, high=2**31 - 1)
    output_root: str = setting("folder of all run directories", identity=False, is_path=True)
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="train_schema", node=TrainConfig, provider="upsample_lab")


# ----------------------------------------------------------------------------------------------------------------------
# Parts of the user's own (registry.py)

OWN_OPTIONS: dict[str, tuple[type, dict[str, Any]]] = {
    "upsample": (UpsampleOptions, {"fold": "auto"}),
    "data": (DataOptions, {"limit": None, "validation_count": 256, "fallback": None}),
    "model": (
        ModelOptions,
        {"widths": [32, 64], "latent_channels": 4, "scale": 2, "activation": "relu", "output": "sigmoid"},
    ),
}
"""What the options of a group have in common, and the values that a part of the user's own starts from."""


@dataclass
class NoOptions:
    """The options of a part that has none."""


def adopt_option(
    group: str, name: str, options: type | None, help: str, module: str, constants: dict[str, Any]
) -> None:
    """Make a plain dataclass with defaults the schema and the values of `group=name`, as a file and an entry here do.

    Raises `ConfigError` where it is no dataclass, or a field has no default.
    """
    base, values = OWN_OPTIONS[group]
    own = NoOptions if options is None else options
    if not (isinstance(own, type) and dataclasses.is_dataclass(own)):
        raise ConfigError(f"register({group!r}, {name!r}): options must be a dataclass, got {options!r}")
    missing = [item.name for item in dataclasses.fields(own) if _has_no_default(item)]
    if missing:
        raise ConfigError(f"register({group!r}, {name!r}): the option {missing[0]} has no default")
    own_names = frozenset(item.name for item in dataclasses.fields(own))
    if group == "data" and not {"image_size", "channels"} <= {*own_names, *constants}:
        raise ConfigError(f"register('data', {name!r}): its class or its options must say image_size and channels")
    body: dict[str, Any] = {
        "__module__": module,
        "__annotations__": {"name": "str"},
        "name": name,
        "own_names": own_names,
    }
    body |= {key: value for key, value in constants.items() if key not in own_names}
    for item in dataclasses.fields(base):
        if item.name in values and item.name not in own_names:
            body["__annotations__"][item.name] = item.type
            body[item.name] = field(default_factory=partial(deepcopy, values[item.name]), metadata=item.metadata)
    bases = (own,) if issubclass(own, base) else (own, base)
    derived: type = dataclass(type(f"_{group}_{name}", bases, body))
    setattr(sys.modules[module], derived.__name__, derived)  # so that a sweep's workers can unpickle it
    option(group, name)(derived)
    ConfigStore.instance().store(group=group, name=name, node=derived, provider=module)
    made: Any = derived()
    OWN_VALUES.setdefault(group, {})[name] = {item.name: getattr(made, item.name) for item in dataclasses.fields(made)}
    OWN_HELP[group, name] = help


def _has_no_default(item: dataclasses.Field[Any]) -> bool:
    return item.default in (dataclasses.MISSING, MISSING) and item.default_factory is dataclasses.MISSING


# ----------------------------------------------------------------------------------------------------------------------
# Reading values


def load_option(group: str, name: str) -> Any:
    """`option_values` as the group's dataclass."""
    schema = OmegaConf.structured(GROUPS[group][name]) if name in GROUPS.get(group, {}) else None
    values = option_values(group, name)
    return OmegaConf.to_object(OmegaConf.merge(schema, values))


MAX_CONFIG_BYTES, MAX_CONFIG_BRACKETS = 1 << 18, 1000  # a run's has one or two thousand bytes, and few brackets
MALFORMED = (KeyError, TypeError, AttributeError, ValueError, RecursionError, OSError)


def read_train_config(path: Path) -> TrainConfig:
    """The configuration that a run directory's `config.yaml` holds, checked. Raises `ConfigError` with one line.

    A setting that did not exist when the run was made has its default.
    """
    try:
        values: Any = _plain_values(path)
        names = {group: values[group].get("name", "default") for group in GROUPS if group in values}
        plugins = list(values.get("plugins") or [])
        _refuse_unknown(path, names, plugins)
        schema = TrainConfig(**{group: GROUPS[group][name]() for group, name in names.items()})
        defaults = {group: option_values(group, name) for group, name in names.items()}
        given = {**defaults, "plugins": plugins}
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), given, values))
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a run directory is one that scripts/train.py made") from None
    except (OmegaConfBaseException, YAMLError, *MALFORMED) as error:
        raise ConfigError(f"{path}: not the configuration of a run ({' '.join(str(error).split())})") from None
    assert isinstance(config, TrainConfig)
    check_values(config)
    return config


def _refuse_unknown(path: Path, names: Mapping[str, str], plugins: Sequence[str]) -> None:
    """A run's part that no plugin at hand has: its own configuration names the plugin, which is never imported for it,
    since a directory may be a stranger's."""
    for group, name in names.items():
        if name not in GROUPS[group]:
            hint = (
                f"; its plugins were plugins=[{','.join(map(str, plugins))}], give them if you trust them"
                if plugins
                else ""
            )
            raise ConfigError(f"{path}: {group}={name} is neither in the package nor in a plugin at hand{hint}")


def _plain_values(path: Path) -> DictConfig:
    """The values of a YAML file that may come from anybody: plain ones only, and not many.

    Neither aliases, of which a few lines make billions of values, nor interpolations, which read the environment.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        text = file.read(MAX_CONFIG_BYTES + 1).decode()
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"it has more than {MAX_CONFIG_BYTES} bytes")
    if text.count("[") + text.count("{") > MAX_CONFIG_BRACKETS:  # the parser's time grows with their square
        raise ValueError(f"it has more than {MAX_CONFIG_BRACKETS} brackets")
    if "${" in text:
        raise ValueError("it has interpolations, ${...}, where a run's configuration has values")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise ValueError("it has aliases")
    values = OmegaConf.create(text)
    if not isinstance(values, DictConfig):
        raise ValueError("it is not a mapping")
    return values


# ----------------------------------------------------------------------------------------------------------------------
# Checks


def check_values(config: Any) -> None:
    """Check a composed configuration, each value and then the whole. Raises `ConfigError` with one line."""
    for key, cls, name, value in leaves(config):
        check_leaf(key, cls, name, value)
    if isinstance(getattr(config, "upsample", None), UpsampleOptions):
        config.upsample.check()
    if isinstance(config, TrainConfig):
        _check_training(config)


def _check_training(config: TrainConfig) -> None:
    _check_sizes(config.data, config.model)
    if isinstance(config.model, ConvolutionalModel):
        for in_channels, out_channels in pairwise(decoder_widths(config.model.widths)):
            config.upsample.check_stage(in_channels, out_channels, config.model.scale)
    _check_loss(config)


def _check_sizes(data: DataOptions, model: ModelOptions) -> None:
    size: int = data.image_size  # type: ignore[attr-defined]  # every concrete dataset has one
    stride, stages = model.total_stride, len(model.widths)
    if size % stride == 0:
        return
    below, above = size // stride * stride, (size // stride + 1) * stride
    sizes = f"{below} or {above}" if below else f"{above}"
    fits = max((n for n in range(1, stages) if size % model.scale**n == 0), default=0)
    fewer = (
        f"{fits} of the stages, e.g. {pasted('model.widths', show(model.widths[:fits]))}"
        if fits
        else "another model.scale"
    )
    raise ConfigError(
        f"model.widths={show(model.widths)}: {stages} stages of scale {model.scale} divide the image by {stride}, and "
        f"{size} pixels (data={data.name}) is not a multiple of it; use images of {sizes} pixels, or {fewer}"
    )


def _check_loss(config: TrainConfig) -> None:
    if config.trainer.loss == "bce" and config.model.output != "sigmoid":
        raise ConfigError("trainer.loss=bce: needs model.output=sigmoid, since it compares probabilities")


# ----------------------------------------------------------------------------------------------------------------------
# passport


@dataclass
class PassportConfig:
    """Everything that `scripts/passport.py` takes."""

    upsample: UpsampleOptions = MISSING
    conv: ConvOptions = MISSING
    in_channels: int = setting("channels that go into the upsampler", low=1, high=1024)
    out_channels: int = setting("channels that come out of it", low=1, high=1024)
    scale: int = setting("upsampling factor", low=2, high=4)
    size: int = setting("side of the low-resolution test images in pixels", low=16, high=128)
    seed: int = setting("decides the initial weights and the random test images", low=0, high=2**31 - 1)
    cost: bool = setting("whether to count and time it too, which takes longest")
    device: str = device_setting()
    output_root: str = setting("the passport is written to <output_root>/passports/<name>/", is_path=True)
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="passport_schema", node=PassportConfig, provider="upsample_lab")


# ----------------------------------------------------------------------------------------------------------------------
# evaluate


@dataclass
class EvaluateConfig:
    """Everything that `scripts/evaluate.py` takes."""

    run: str = setting("the run directory whose best checkpoint is evaluated", is_path=True)
    images: str = setting("which images to evaluate on", choices=("test", "validation"))
    count: int = setting("images in the picture", low=1, high=64)
    data_root: str | None = setting(
        "folder of the datasets; null for the one that the run was trained from", is_path=True
    )
    device: str = device_setting()
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="evaluate_schema", node=EvaluateConfig, provider="upsample_lab")


# ----------------------------------------------------------------------------------------------------------------------
# compare


@dataclass
class CompareConfig:
    """Everything that `scripts/compare.py` takes."""

    experiment: str = setting(
        "the experiment whose runs are compared: its name, or the path of a folder of runs", is_path=True
    )
    output_root: str = setting("folder of all experiments", is_path=True)
    out: str | None = setting("where the report is written; null for <output_root>/<experiment>/report", is_path=True)
    only: list[str] | None = setting("compare these only: names of variants, upsamplers, or 'key=value'; null for all")
    vary: list[str] = setting("settings, or groups of them, that the runs may differ in")
    allow: list[str] | None = setting(
        "differences to pass over: code that touches training, seeds that some variants lack",
        choices=("code", "unpaired"),
    )
    primary: str = setting("the metric that decides the order and the verdict, a key of summary.json")
    metrics: list[str] = setting("the metrics that are compared, keys of summary.json")
    reference: str = setting("every variant is compared with this one: a variant's name, or an upsampler's")
    pairs: str = setting(
        "which pairs are compared: those with the reference and with the best, or all", choices=("questions", "all")
    )
    confidence: float = setting("of all intervals", low=0.5, high=0.999)
    resamples: int = setting("bootstrap resamples; of 6 seeds or fewer all are taken", low=999, high=1_000_000)
    bootstrap_seed: int = setting("decides the random resamples", low=0, high=2**31 - 1)
    latency: bool = setting("whether to time the models side by side; takes some seconds")
    report: bool = setting("whether to write the report with its figures; false for the tables alone")
    passports: bool = setting("whether the report measures each layer's passport, kept for next time; seconds a layer")
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="compare_schema", node=CompareConfig, provider="upsample_lab")
