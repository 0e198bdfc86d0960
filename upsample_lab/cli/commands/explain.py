"""Derive the transposed convolution, or plan a decoder's sizes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from upsample_lab.cli.main import BadRequest, answer
from upsample_lab.explain.algebra import Derivation
from upsample_lab.options.explain import ExplainConfig, PlanConfig
from upsample_lab.settings import ConfigError, nearest

USAGE = """
Derive the transposed convolution with symbols, for one small image: as text, picture, animation or page.

  {call}                                       4x4 input, 3x3 kernel, as text
  {call} input_size=5 stride=2 to=png          the picture
  {call} input_size=5 stride=2 to=gif          the kernel slides, both ways side by side
  {call} input_size=5 stride=2 to=html         one page to step through, no network needed
  {call} plan image_size=28 stages=3 scale=2   which layers give back an encoder's sizes; plan --help
"""

PLAN_USAGE = """
List every transposed convolution that gives back the sizes of an encoder of strided convolutions.

  {call} plan image_size=28 stages=3 scale=2
"""

DEFAULT_FOLDER = Path("outputs") / "explain"
DRAWN_INPUT_LIMIT = 8
"""Largest input that pictures show: with more, symbols are too small to read on a slide."""


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without subscripts shows question marks, not a traceback
    if words and words[0] == "plan":
        return answer("explain_plan", PLAN_USAGE, run_plan, words[1:])
    if words and "=" not in words[0] and not words[0].startswith("-"):
        raise BadRequest(
            f"{words[0]}: the only word without '=' is plan, and it comes first{nearest(words[0], ['plan'])}"
        )
    return answer("explain", USAGE, run_derivation, words)


def run_plan(config: PlanConfig) -> int:
    """Print the plan."""
    from upsample_lab.conv.arithmetic import plan_sizes
    from upsample_lab.explain.plan import plan_text

    try:
        plan = plan_sizes(
            config.image_size,
            config.stages,
            config.scale,
            config.encoder_kernel_size,
            config.encoder_padding,
            config.max_kernel_size,
        )
    except ValueError as error:
        raise BadRequest(str(error)) from None
    print(plan_text(plan), end="")
    return 0


def run_derivation(config: ExplainConfig) -> int:
    """Write the derivation to its file and say where it is; text is printed too."""
    derivation = derivation_of(config)
    path = Path(config.output) if config.output else default_path(config)
    suffix = SUFFIXES[config.to]
    if path.suffix.lower() != suffix:
        raise BadRequest(f"output={config.output}: must end in {suffix}, since to={config.to}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[config.to](derivation, path)
    except OSError as error:
        raise BadRequest(f"output={path}: cannot be written: {error.strerror or error}") from None
    print(path)
    return 0


def derivation_of(config: ExplainConfig) -> Derivation:
    """The derivation that the options ask for. Raises ConfigError where the options do not fit together."""
    if config.to != "text" and config.input_size > DRAWN_INPUT_LIMIT:
        raise ConfigError(
            f"input_size={config.input_size}: to={config.to} draws inputs of up to {DRAWN_INPUT_LIMIT} pixels; "
            f"to=text writes up to 10"
        )
    try:
        return Derivation(config.input_size, config.kernel_size, config.stride, config.padding)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def default_path(config: ExplainConfig) -> Path:
    """``outputs/explain/i5-k3-s2-p0.png`` and the like."""
    name = f"i{config.input_size}-k{config.kernel_size}-s{config.stride}-p{config.padding}"
    return DEFAULT_FOLDER / f"{name}{SUFFIXES[config.to]}"


# ------------------------------------------------------------------------------------------------------------ writers
#
# Each imports what it draws with only when it is asked for.


def _write_text(derivation: Derivation, path: Path) -> None:
    from upsample_lab.explain.text import derivation_text

    text = derivation_text(derivation)
    print(text)
    path.write_text(text, encoding="utf-8")


def _write_png(derivation: Derivation, path: Path) -> None:
    from upsample_lab.explain.picture import draw_derivation

    draw_derivation(derivation).savefig(path)


def _write_gif(derivation: Derivation, path: Path) -> None:
    from upsample_lab.explain.animation import write_animation

    write_animation(derivation, path)


def _write_html(derivation: Derivation, path: Path) -> None:
    from upsample_lab.explain.page import derivation_page

    path.write_text(derivation_page(derivation), encoding="utf-8")


SUFFIXES = {"text": ".txt", "png": ".png", "gif": ".gif", "html": ".html"}
WRITERS: dict[str, Callable[[Derivation, Path], None]] = {
    "text": _write_text,
    "png": _write_png,
    "gif": _write_gif,
    "html": _write_html,
}
