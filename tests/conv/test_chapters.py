"""`conv/` reads as a book: every chapter's example is right, and no chapter needs one that comes after it."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from upsample_lab import conv
from upsample_lab.settings import option_values
from upsample_lab.upsamplers import build_upsampler

FOLDER = Path(conv.__file__).parent
CHAPTERS = re.findall(r"^ ?\d+  `(\w+)`", conv.__doc__, re.MULTILINE)


def imports(path: Path) -> set[str]:
    """The modules of the package that a module of it imports, as `geometry` or `fast.blocks`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].relative_to(FOLDER).parts + tuple((node.module or "").split("."))
            for target in [base, *((*base, alias.name) for alias in node.names)]:
                place = [part for part in target if part]
                if FOLDER.joinpath(*place).with_suffix(".py").is_file():
                    found.add(".".join(place))
    return found


FILES = {".".join(p.relative_to(FOLDER).with_suffix("").parts): p for p in FOLDER.rglob("[!_]*.py")}
IMPORTS = {name: imports(path) for name, path in FILES.items()}


def needs(name: str) -> set[str]:
    """All that a module imports, and what that imports."""
    return IMPORTS[name].union(*map(needs, IMPORTS[name]))


@pytest.mark.parametrize("name", [*CHAPTERS, "arithmetic", "transforms"])
def test_the_example_of_a_chapter_is_right(name: str) -> None:
    module = import_module(f"{conv.__name__}.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_no_circle_of_modules() -> None:
    assert {"geometry", "fast.blocks", "fast.grey_output"} <= set(TopologicalSorter(IMPORTS).static_order())


@pytest.mark.parametrize("number", range(len(CHAPTERS)), ids=CHAPTERS)
def test_no_chapter_needs_a_later_one(number: int) -> None:
    assert CHAPTERS[number] in FILES
    assert needs(CHAPTERS[number]).isdisjoint(CHAPTERS[number:])
    assert needs(CHAPTERS[-1]) >= set(CHAPTERS[:-1])


@pytest.mark.process
def test_who_counts_waits_for_no_torch() -> None:
    code = "import sys; from upsample_lab.conv import plan_sizes, exact_padding; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", conv.__all__)
def test_the_package_hands_on_every_name(name: str) -> None:
    assert getattr(import_module(conv.__name__), name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(ImportError, match="conv3d"):
        from upsample_lab.conv import conv3d  # noqa: F401


def test_one_default_algorithm() -> None:
    made = (conv.conv2d, conv.conv_transpose2d, conv.Conv2d, conv.ConvTranspose2d)
    defaults = {inspect.signature(each).parameters["algorithm"].default for each in made}
    built = {build_upsampler("deconv", 1, 1).conv.algorithm, build_upsampler("nearest", 1, 1).conv.algorithm}
    chosen = option_values("conv", "custom")
    assert {*defaults, *built, chosen["conv2d"], chosen["conv_transpose2d"]} == {conv.DEFAULT_ALGORITHM}
