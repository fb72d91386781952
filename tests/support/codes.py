"""The stable codes that the source can answer with, read from its syntax: no list that could be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Which argument of a call is a code.
CALLS = {"HeadRefused": 0, "ChangeRefused": 0, "_await": 0, "Problem": 1}


def codes() -> set[str]:
    """Every code of the data plane, the edge and the admin API."""
    files = [ROOT / "gateway" / "errors.py", ROOT / "gateway" / "edge.py", ROOT / "gateway" / "edge_head.py"]
    for room in ("wire", "parsing", "policy", "console"):
        files += sorted((ROOT / "gateway" / room).glob("*.py"))
    return {code for path in files for node in ast.walk(ast.parse(path.read_text())) for code in _codes(node)}


def _codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        position = CALLS.get(name)
        if position is not None and len(node.args) > position:
            yield from _text(node.args[position])
        if isinstance(node.func, ast.Attribute) and node.func.attr == "refused" and node.args:
            yield from _text(node.args[0])
        yield from (code for keyword in node.keywords if keyword.arg == "code" for code in _text(keyword.value))


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, given in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, given)
    elif (target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")) == "code":
        yield from _text(value)


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
