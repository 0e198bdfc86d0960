"""The drawing of docs/architecture.md: its arrows are the imports, exactly, and none of them leads up."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

from tests.conftest import ROOT
from tests.test_structure import MODULES, TREES, imported, room

FACE = {"upsample_lab", "upsample_lab.__main__"}  # what users import or start: it hands on what the rooms hold
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = {room(module) for module in MODULES.keys() - FACE}


def rows(arrow: str) -> dict[str, set[str]]:
    """The rows of the page with that arrow, from top to bottom: a room and the rooms that it leads to."""
    found = re.findall(rf"^(\w+) +{re.escape(arrow)}(?: (.+))?$", PAGE, flags=re.MULTILINE)
    return {name: set(re.findall(r"\w+", targets)) for name, targets in found}


def differences(found: dict[tuple[str, str], list[str]], drawn: dict[str, set[str]]) -> list[str]:
    pairs = {(name, target) for name, targets in drawn.items() for target in targets}
    not_drawn = [f"{a} -> {b} is not drawn: {', '.join(found[a, b])}" for a, b in sorted(found.keys() - pairs)]
    return not_drawn + [f"{a} -> {b} is drawn, and no import makes it" for a, b in sorted(pairs - found.keys())]


def test_the_arrows_drawn_are_the_imports() -> None:
    found = defaultdict(list)
    for module in MODULES.keys() - FACE:
        for target in {*imported(MODULES[module])} - {"upsample_lab"}:
            if room(module) != room(target):
                found[room(module), room(target)].append(module)
    assert differences(found, rows("->")) == []


def test_what_is_asked_of_a_room_above_is_drawn_too() -> None:
    """`from_above` finds a module by its name: an import that no import statement shows."""
    found = defaultdict(list)
    for module, path in MODULES.items():
        for target in re.findall(r"from_above\(\"(\w+)", (ROOT / path).read_text(encoding="utf-8")):
            found[room(module), target].append(module)
    assert differences(found, rows("=>")) == []


def test_the_face_hands_on_and_holds_nothing() -> None:
    """From `upsample_lab` itself, the rooms take its version alone."""
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "upsample_lab"]
    names = {alias.name for node in froms for alias in node.names if not node.level}
    assert {name for name in names if f"upsample_lab.{name}" not in MODULES} == {"__version__"}


def test_every_room_is_drawn_and_described_once() -> None:
    assert rows("->").keys() == ROOMS
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)) == sorted(ROOMS)


def test_no_arrow_leads_up() -> None:
    drawn = rows("->")
    order = list(drawn)
    assert [(a, b) for a in order for b in drawn[a] if order.index(b) <= order.index(a)] == []
