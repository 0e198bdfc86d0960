"""Train one encoder-decoder, or a sweep of them. `python scripts/train.py --help` explains every setting."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from upsample_lab.cli.main import asks_help, guarded, print_help
from upsample_lab.config import RunOptions, TrainConfig
from upsample_lab.settings import ConfigError
from upsample_lab.training.ranks import read_ranks, speaks

if TYPE_CHECKING:
    from upsample_lab.training.session import Outcome

USAGE = """\
Train a small encoder-decoder with the upsampler of your choice, and measure what it reconstructs.

  python scripts/train.py upsample=deconv                        one run
  python scripts/train.py upsample=nearest data=cifar10 seed=1   another dataset and seed
  python scripts/train.py -m upsample=deconv,nearest seed=0,1,2  a sweep: every combination
  python scripts/train.py upsample=deconv --cfg job              print the configuration, train nothing
  torchrun --nproc-per-node=2 scripts/train.py upsample=deconv   one run, each batch shared by two processes

The same command again skips a complete run and resumes an interrupted one."""


def main(words: list[str]) -> int:
    from upsample_lab.cli.compose import compose_grid, compose_one, is_sweep
    from upsample_lab.cli.sweep import MULTIRUN_FLAGS, informs, launch

    if asks_help(words):
        print_help("train", USAGE, [word for word in words if word not in MULTIRUN_FLAGS])
        return 0
    if informs("train", words):
        launch("train", run, words, multirun=False)
        return 0
    settings = [word for word in words if word not in MULTIRUN_FLAGS]
    if len(settings) < len(words) or is_sweep("train", settings):
        if (size := read_ranks().size) > 1:
            raise ConfigError(f"a sweep cannot run in {size} processes of torchrun; start one run at a time with it")
        return sweep(settings, compose_grid("train", settings))
    return single(compose_one("train", settings))


def single(config: TrainConfig) -> int:
    from upsample_lab.training.display import print_results

    outcome = run(config)
    if not speaks():
        return outcome.exit_status
    if outcome.summary is None:
        print(f"{outcome.state}: {outcome.reason}", file=sys.stderr)
        if outcome.state == "interrupted":
            going_on = replace(config, run=RunOptions(mode="auto"))  # fresh would start yet another run
            print(f"saved in {outcome.path}; to go on: {command(going_on)}", file=sys.stderr)
        return outcome.exit_status
    print_results([(outcome.path.name, outcome.summary)], "Best checkpoint on the test set")
    print(f"run directory:  {outcome.path}")
    print(f"look at it:     tensorboard --logdir {outcome.path}")
    if not outcome.trained:
        print("This run was complete already; nothing was trained. To train it again: add run.mode=fresh")
    return 0


def sweep(words: list[str], grid: list[TrainConfig]) -> int:
    """Run a checked grid by Hydra's launcher, then print one table of all its runs."""
    from upsample_lab.cli.compose import quoted_words
    from upsample_lab.cli.sweep import launch
    from upsample_lab.training.display import Display
    from upsample_lab.training.session import with_available_data_each
    from upsample_lab.training.sweep_report import report_sweep

    grid = with_available_data_each(grid, Display())  # downloads once, before the runs start
    launch("train", sweep_job, quoted_words("train", words), multirun=True)
    return report_sweep(grid)


def sweep_job(composed: Any) -> None:
    """One run of a sweep, in whatever process the launcher chose. A failed run does not stop the others."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_object(composed)
    assert isinstance(config, TrainConfig)
    try:
        outcome = run(config)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return
    print(f"{outcome.state + ('' if outcome.trained else ' already'):<18} {outcome.path}", flush=True)
    if outcome.state == "interrupted":
        sys.exit(outcome.exit_status)


def run(config: TrainConfig) -> Outcome:
    from upsample_lab.training.display import Display
    from upsample_lab.training.session import run_training

    return run_training(config, Display(quiet=not speaks()), command(config))


def command(config: TrainConfig) -> str:
    import shlex

    from upsample_lab.cli.compose import command_words

    return shlex.join(["python", "scripts/train.py", *command_words("train", config)])


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
