"""What every script does around its own work: read the words, answer `--help`, turn errors into one line and a status.

Exit status: 0 done · 1 the run failed · 2 the request cannot be carried out as given · 3 another process holds the run
· 130, 143, 140 stopped by Ctrl-C, SIGTERM, SIGUSR2.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from upsample_lab.called import call, program
from upsample_lab.settings import ConfigError
from upsample_lab.training.ranks import speaks

EXIT_INTERRUPTED = 130


class BadRequest(ConfigError):
    """Something that the user asked for cannot be done, for a reason found after the configuration was read."""


def answer(config_name: str, usage: str, run: Callable[[Any], int], words: Sequence[str]) -> int:
    """Compose `configs/<config_name>.yaml` with the words of the command line, run, and return the exit status."""
    from upsample_lab.compose import compose_one

    if asks_help(words):
        print_help(config_name, usage, words)
        return 0
    return run(compose_one(config_name, words))


def wait_for_less(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let PyTorch's threads, once it is loaded, give up the core sooner where they wait for each other.

    They wait in a loop, ten times as often as here before they sleep (GNU OpenMP's 300,000). Where other processes want
    the cores that is most of their time: two default runs at once on two cores took 1.15 s a step, and take 0.37 s so;
    one alone takes 0.07 s either way. Whoever has set how to wait is obeyed.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", "30000")


@contextmanager
def drawing_to_files(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Let matplotlib, once it is loaded, draw without a screen, whatever MPLBACKEND says: a command writes files only.

    A notebook hands `module://matplotlib_inline.backend_inline` to every command that it starts, and where that package
    is not installed `import matplotlib` itself raises. Put back afterwards: who runs a command inside a notebook still
    has the notebook's backend.
    """
    before = environment.get("MPLBACKEND")
    environment["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        if before is None:
            environment.pop("MPLBACKEND", None)
        else:
            environment["MPLBACKEND"] = before


def guarded(work: Callable[[], int]) -> int:
    """Run `work`; a `ConfigError` becomes one line on stderr and its exit status."""
    wait_for_less()
    try:
        with drawing_to_files():
            return work()
    except ConfigError as error:
        if speaks():
            print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:  # before a run could save, or a second time
        if speaks():
            print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as in `| head`: no complaint
        return 0
    except OSError as error:  # a path of the user's that the code above did not expect to be unusable
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or ' '.join(str(error).split())}", file=sys.stderr)
        return ConfigError.exit_status


class OneLineParser(argparse.ArgumentParser):
    """For scripts with plain options: a mistake ends in one line and status 2, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        self.exit(ConfigError.exit_status, f"error: {' '.join(message.split())}; see {self.prog} --help\n")


def error_line(error: BaseException) -> str:
    """An unexpected error in one line: `KeyError: 'x'`."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0] or 'no message'}"


def asks_help(words: Sequence[str]) -> bool:
    return "--help" in words or "-h" in words


def print_help(config_name: str, usage: str, words: Sequence[str]) -> None:
    """`usage` as `as_called` takes it."""
    from upsample_lab.cli.help import help_page

    text = as_called(usage, config_name.partition("_")[0])
    print(help_page(config_name, text, [word for word in words if word not in ("--help", "-h")]))


def as_called(usage: str, command: str) -> str:
    """A usage text with the user's own words for `{call}` and `{program}`, and its examples' comments in one column."""
    text = usage.strip().format(call=call(command), program=program(command))
    lines = [(re.fullmatch(r"  (\S.*?)\s{2,}(\S.*)", line), line) for line in text.splitlines()]
    width = max((len(example[1]) for example, _ in lines if example), default=0)
    return "\n".join(f"  {example[1]:<{width}}  {example[2]}" if example else line for example, line in lines)
