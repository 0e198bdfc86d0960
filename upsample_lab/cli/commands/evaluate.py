"""Evaluate the best checkpoint of a run: figures, and a picture of reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from upsample_lab.cli.main import BadRequest, answer
from upsample_lab.options.evaluate import EvaluateConfig

USAGE = """
Evaluate the best checkpoint of a run, and draw what it reconstructs: test images, uniform images, flat areas.

  {call} run=outputs/default/<run directory>
  {call} run=<run directory> images=validation count=32
"""
WIDTH = len("reconstructions:  ")


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError`."""
    return answer("evaluate", USAGE, run, words)


def run(config: EvaluateConfig) -> int:
    """Evaluate, draw, and print the figures and where the pictures are."""
    from upsample_lab.training.display import Display, print_results

    try:
        figures, pictures = evaluate_run(config, Display().warn)
    except ValueError as error:  # a checkpoint that is damaged, not there, or gives no numbers
        raise BadRequest(str(error)) from None
    name, task = figures.pop("run"), figures.pop("task")
    print_results([(name, figures)], f"Best checkpoint on the {config.images} set", task)
    for name, picture in pictures.items():
        print(f"{name}:".replace("_", " ").ljust(WIDTH) + str(picture))
    return 0


def evaluate_run(
    config: EvaluateConfig, warn: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Figures of a run's best checkpoint, and the pictures that are written beside it, by what they show.

    `warn` is told where the images are not those that the run was trained on.
    Raises `ConfigError`, `DamagedCheckpoint` and `NotFiniteOutput`, each with one line. Nothing in the directory is
    executed.
    """
    from upsample_lab.cost import parameter_count
    from upsample_lab.runs.directory import RunDirectory
    from upsample_lab.trained import best_of, images_of, stored_config
    from upsample_lab.training.same_data import changed_since

    folder = Path(config.run)
    trained = stored_config(folder, config.data_root)
    trained.trainer.reconstruction_count = config.count
    sets = images_of(trained)
    if warn is not None and (changed := changed_since(RunDirectory(folder), sets)):
        warn(changed)
    if config.images == "validation":
        sets = replace(sets, test=sets.validation)
    task, models, state = best_of(folder, trained, sets, config.device)
    found = task.evaluate(models, "test", draw=True)
    # Kernels are for TensorBoard, which shows them over training.
    drawn = {name: grid for name, grid in found.pictures.items() if not name.startswith("kernels/")}
    parameters = parameter_count(next(iter(models.values())))
    facts = {"run": folder.name, "task": task.name, "parameters": parameters, "steps": state.get("step")}
    return {**facts, **found.figures}, _write(folder, config.images, drawn, task.saved_picture)


def _write(folder: Path, images: str, drawn: dict[str, Any], main: str) -> dict[str, Path]:
    """Write the pictures, arrays of uint8, beside the run; their paths by the last word of their name."""
    from PIL import Image

    from upsample_lab.runs.files import replacing

    pictures = {}
    for name, grid in drawn.items():
        word = name.rpartition("/")[2]
        pictures[word] = folder / f"evaluation-{images}{'' if name == main else f'-{word}'}.png"
        with replacing(pictures[word]) as temporary:
            Image.fromarray(grid).save(temporary, format="PNG")
    return pictures
