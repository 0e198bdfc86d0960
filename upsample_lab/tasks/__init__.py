"""Tasks: what is trained, on what, and how it is judged."""

from __future__ import annotations

from typing import Any

from upsample_lab.registry import PARTS, made
from upsample_lab.settings import ConfigError
from upsample_lab.tasks.base import Batch, BuildModel, Findings, Models, Setting, Task
from upsample_lab.tasks.reconstruct import Reconstruct

__all__ = ["TASKS", "Batch", "BuildModel", "Findings", "Models", "Setting", "Task", "make_task"]

TASKS: dict[str, type[Task]] = {"reconstruct": Reconstruct}


def make_task(options: Any, setting: Setting) -> Task:
    """The task that `options.name` names, the package's own or a plugin's. Raises `ConfigError`, `ValueError`."""
    if options.name in TASKS:
        task = TASKS[options.name](setting)
    else:
        task = made(PARTS["task"][options.name], setting, options=options)
    if not isinstance(task, Task):
        raise ConfigError(f"task={options.name}: must be a subclass of upsample_lab.tasks.Task")
    task.name = options.name
    return task
