"""Train one encoder-decoder, or a sweep of them; `--help` explains every setting."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace

from upsample_lab.cli.main import asks_help, error_line, print_help
from upsample_lab.config import TrainConfig
from upsample_lab.options.trainer import RunOptions
from upsample_lab.settings import ConfigError
from upsample_lab.training.ranks import read_ranks, speaks

USAGE = """\
Train a small encoder-decoder with the upsampler of your choice, and measure what it reconstructs.

  {call} upsample=deconv                        one run
  {call} upsample=nearest data=cifar10 seed=1   another dataset and seed
  {call} -m upsample=deconv,nearest seed=0,1,2  a sweep: every combination
  {call} experiment=mnist_upsamplers            a preset: nine upsamplers, five seeds
  {call} upsample=deconv --cfg job              print the configuration, train nothing
  torchrun --nproc-per-node=2 {program} upsample=deconv   one run, each batch shared by two processes

The same command again skips a complete run and resumes an interrupted one. A sweep's runs are trained side by side with
hydra/launcher=parallel, on many machines with hydra/launcher=slurm or ray_cluster; docs/sweeps.md says more."""


def main(words: list[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError`."""
    from upsample_lab.cli.sweep import MULTIRUN_FLAGS, informs, launch
    from upsample_lab.compose import compose_grid, compose_one, is_sweep

    if asks_help(words):
        print_help("train", USAGE, [word for word in words if word not in MULTIRUN_FLAGS])
        return 0
    if informs("train", words):
        launch("train", lambda config: None, words, multirun=False)
        return 0
    settings = [word for word in words if word not in MULTIRUN_FLAGS]
    if len(settings) < len(words) or is_sweep("train", settings):
        if (size := read_ranks().size) > 1:
            raise ConfigError(f"a sweep cannot run in {size} processes of torchrun; start one run at a time with it")
        return sweep(settings, compose_grid("train", settings))
    return single(compose_one("train", settings))


def single(config: TrainConfig) -> int:
    from upsample_lab.cli.job import command, run
    from upsample_lab.training.display import CURVES, Display, print_results

    outcome = run(config, Display(quiet=not speaks()))
    if not speaks():
        return outcome.exit_status
    if outcome.summary is None:
        print(f"{outcome.state}: {outcome.reason}", file=sys.stderr)
        if outcome.state == "interrupted":
            going_on = replace(config, run=RunOptions(mode="auto"))  # fresh would start yet another run
            print(f"saved in {outcome.path}; to go on: {command(going_on)}", file=sys.stderr)
        return outcome.exit_status
    print_results([(outcome.path.name, outcome.summary)], "Best checkpoint on the test set", config.task.name)
    print(f"run directory:  {outcome.path}")
    print(f"look at it:     tensorboard --logdir {shlex.quote(str(outcome.path))}")
    print(f"                and open {CURVES}")
    if not outcome.trained:
        print("This run was complete already; nothing was trained. To train it again: add run.mode=fresh")
    return 0


def sweep(words: list[str], grid: list[TrainConfig]) -> int:
    """Run a checked grid by Hydra's launcher, then print one table of all its runs."""
    from upsample_lab.cli.job import sweep_job
    from upsample_lab.cli.sweep import StoppingWorkers, fixed_places, launch
    from upsample_lab.cli.sweep_report import plan_line, report_sweep
    from upsample_lab.compose import hydra_settings, quoted_words
    from upsample_lab.launchers import check_reachable, in_process
    from upsample_lab.training.display import Display
    from upsample_lab.training.session import check_data_each, with_available_data_each

    launcher = hydra_settings("train", words).launcher
    check_reachable(launcher)
    as_typed = in_process(launcher) and not any("=~" in word for word in words)  # Hydra makes a folder of its own
    words = words if as_typed else [*words, *fixed_places(grid)]
    grid = with_available_data_each(grid, Display())  # downloads once, before the runs start
    check_data_each(grid, Display())
    print(plan_line(grid), flush=True)
    status = 0
    try:
        with StoppingWorkers():
            launch("train", sweep_job, quoted_words("train", words), multirun=True)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except Exception as error:  # a launcher's own, as of a worker that was killed
        print(f"error: the launcher stopped: {error_line(error)}", file=sys.stderr)
        status = 1
    reported = report_sweep(grid)
    return status or reported
