"""The source of plugins, read without importing it: which files there are, and which parts they register."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class WrittenPart(NamedTuple):
    """A part as its decorator `@register(kind, name, options=…)` says, and the words that each option may take."""

    kind: str
    name: str
    options: dict[str, tuple[str, ...]]


def with_neighbours(path: Path) -> Iterator[Path]:
    """A module's file, and those beside it that it imports, directly or by one of them."""
    pending, seen = [path], set()
    while pending:
        file = pending.pop()
        if file not in seen and file.is_file():
            seen.add(file)
            yield file
            pending += [file.with_name(f"{name}.py") for name in _imports(file)]


def _imports(path: Path) -> list[str]:
    """The top-level names that a source file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.partition(".")[0])
    return names


def written_parts(path: Path) -> Iterator[WrittenPart]:
    """The parts that a file registers by literal names. Raises `SyntaxError` for what is no Python."""
    tree = ast.parse(path.read_bytes())
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        for call in getattr(node, "decorator_list", []):
            if not isinstance(call, ast.Call) or "register" not in ast.unparse(call.func) or len(call.args) < 2:
                continue
            kind, name = (argument.value if isinstance(argument, ast.Constant) else None for argument in call.args[:2])
            options = next((ast.unparse(each.value) for each in call.keywords if each.arg == "options"), "")
            if isinstance(kind, str) and isinstance(name, str):
                yield WrittenPart(kind, name, _fields(options, classes))


def _fields(name: str, classes: dict[str, ast.ClassDef]) -> dict[str, tuple[str, ...]]:
    """The fields of a dataclass in the file, inherited ones first, each with the words that it may take."""
    if name not in classes:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for base in classes[name].bases:
        found |= _fields(ast.unparse(base), {key: each for key, each in classes.items() if key != name})
    for item in classes[name].body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            words: tuple[str, ...] = ("true", "false") if ast.unparse(item.annotation) == "bool" else ()
            for keyword in item.value.keywords if isinstance(item.value, ast.Call) else []:
                if keyword.arg == "choices" and isinstance(keyword.value, ast.Tuple | ast.List):
                    words = tuple(str(each.value) for each in keyword.value.elts if isinstance(each, ast.Constant))
            found[item.target.id] = words
    return found
