"""Evaluate the best checkpoint of a run: figures, and a picture of reconstructions."""

from __future__ import annotations

import sys

from upsample_lab.cli.main import BadRequest, run_script
from upsample_lab.options.evaluate import EvaluateConfig

USAGE = """\
Evaluate the best checkpoint of a run, and draw what it reconstructs: test images, uniform images, flat areas.

  python scripts/evaluate.py run=outputs/default/<run directory>
  python scripts/evaluate.py run=<run directory> images=validation count=32"""
WIDTH = len("reconstructions:  ")


def main(config: EvaluateConfig) -> int:

    from upsample_lab.training.display import Display, print_results
    from upsample_lab.training.evaluation import evaluate_run

    try:
        figures, pictures = evaluate_run(config, Display().warn)
    except ValueError as error:  # a checkpoint that is damaged, not there, or gives no numbers
        raise BadRequest(str(error)) from None
    name, task = figures.pop("run"), figures.pop("task")
    print_results([(name, figures)], f"Best checkpoint on the {config.images} set", task)
    for name, picture in pictures.items():
        print(f"{name}:".replace("_", " ").ljust(WIDTH) + str(picture))
    return 0


if __name__ == "__main__":
    sys.exit(run_script("evaluate", USAGE, main))
