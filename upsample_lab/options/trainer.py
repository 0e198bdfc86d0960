"""How long and how to train, `trainer.<option>=`, and where a run goes, `experiment.` and `run.`."""

from __future__ import annotations

from dataclasses import dataclass

from upsample_lab.options.shared import device_setting
from upsample_lab.settings import option, setting


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
