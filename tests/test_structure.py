"""How the package is built: no circle of modules, rooms that are imported one way, and one name for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "upsample_lab"
TREES = {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in TREES}


def imported(path: Path) -> Iterator[str]:
    """The package's modules that one imports: anywhere, within functions and for types too."""
    package = path.parent.parts
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            for alias in node.names:
                found = f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module
                if found in MODULES and found != name_of(path):
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_no_circle_of_modules() -> None:
    needs = {name: set(imported(path)) for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(needs).static_order())) >= len(needs) > 200  # a circle raises CycleError


def test_measuring_and_deciding_do_not_draw() -> None:
    """What is above each of these rooms; `drawing` and `report` are imported by no room that they show."""
    above = {
        "passport": {"drawing", "report", "cli", "compare"},
        "compare": {"drawing", "report", "cli", "passport"},
        "metrics": {"options", "config", "models", "drawing", "selftest"},
        "doctor": {"drawing", "report", "cli", "compare"},
        "explain": {"cli"},
        "drawing": {"report", "cli"},
        "report": {"cli"},
        "cost": {room(name) for name in MODULES} - {"cost"},
    }
    arrows = {(room(name), room(other)) for name, path in MODULES.items() for other in imported(path)}
    assert {(a, b) for a, b in arrows if b in above.get(a, ())} == set()


def is_kind(node: ast.stmt) -> bool:
    """Whether an assignment names a type: `Pair = tuple[int, int]`."""
    return isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_type_name(ast.unparse(node.targets[0]))


def _is_type_name(name: str) -> bool:
    return name[:1].isupper() and not name.isupper() and name.isidentifier()


def test_no_two_classes_or_types_share_a_name() -> None:
    """Words of the same type may stand in two files; the same name for two things may not."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                meanings[node.name].add(f"{path}:{node.lineno}")
        for node in filter(is_kind, tree.body):
            assert isinstance(node, ast.Assign)
            meanings[ast.unparse(node.targets[0])].add(ast.unparse(node.value))
    assert len(meanings) > 250
    assert {name: places for name, places in meanings.items() if len(places) > 1} == {}
