"""Formulas as people write them, `C_in·C_out·k²/s² + C_out`, that can be evaluated: tests hold what the docs say."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def evaluate(formula: str, symbols: Mapping[str, float]) -> float:
    """The value of a formula of names, numbers, `+ - · / ² ( )`. Raises ValueError for anything else in it."""
    text = formula.replace("·", "*").replace("²", "**2")
    return _value(ast.parse(text, mode="eval").body, symbols, formula)


def _value(node: ast.expr, symbols: Mapping[str, float], formula: str) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name) and node.id in symbols:
        return symbols[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = (_value(part, symbols, formula) for part in (node.left, node.right))
        return _OPERATIONS[type(node.op)](left, right)
    raise ValueError(f"formula {formula!r}: {ast.unparse(node)!r} is no known name, number or operation")
