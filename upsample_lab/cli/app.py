"""`upsample-lab <command>`: the table of commands. Imports next to nothing, so it answers at once."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from upsample_lab import __version__
from upsample_lab.called import COMMAND, SCRIPT, call, remember_form

COMMANDS = {  # each is `main(words)` of the module of its name in cli/commands/
    "train": "train an encoder-decoder with the upsampler of your choice, or a sweep of them",
    "evaluate": "measure and draw what a run's best checkpoint reconstructs",
    "compare": "compare the runs of an experiment: a verdict with its error bar, and a report",
    "passport": "measure an upsampler alone, or those of a finished run",
    "diagnose": "find which layer of a model makes the checkerboard in its images",
    "scan": "look for patterns of a fixed period in a folder of images",
    "export": "write a run's best checkpoint as ONNX, torch.export's program or a compiled library",
    "explain": "derive the transposed convolution with symbols, or plan a decoder's sizes",
    "benchmark": "measure speed",
    "completion": "print the tab completion of a shell, bash or zsh",
}


def main(words: Sequence[str] | None = None, form: str = COMMAND) -> int:
    """Run a command line; returns the exit status. `form` is how the user calls the commands."""
    remember_form(form)
    name, *rest = [*(sys.argv[1:] if words is None else words), ""]
    if name in ("", "-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"upsample_lab {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"error: {name}: must be one of {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        return 2
    return run(name, rest[:-1])


def script(name: str) -> int:
    """What `scripts/<name>.py` does: the command of its name."""
    remember_form(SCRIPT)
    return run(name, sys.argv[1:])


def run(name: str, words: Sequence[str]) -> int:
    """Run a command; returns the exit status. A mistake is told in one line."""
    if "--version" in words:
        print(f"upsample_lab {__version__}")
        return 0
    module = f"upsample_lab.cli.commands.{name}"
    if name == "completion":  # without what the others need: a shell waits for it
        return int(import_module(module).main(list(words)))
    from upsample_lab.cli.main import guarded

    return guarded(lambda: import_module(module).main(list(words)))


def usage() -> str:
    """What `--help` prints without a command."""
    lines = [f"  {call(name):<{len(call('')) + 11}} {help}" for name, help in COMMANDS.items()]
    return "\n".join(
        [
            "A lab on upsampling layers: which should a decoder use, what does it do to the image, what does it cost?",
            "",
            *lines,
            "",
            f"{call('train')} --help explains every setting of a command; --version tells the version.",
        ]
    )
