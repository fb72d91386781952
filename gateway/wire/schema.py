"""JSON schemas: the shapes of tools and of structured answers. Every string of one is screened.

A regular expression in a schema is more than a text: a server that decodes by the schema writes what it says, and it can spell a
phrase in ways that no view reads. Where the schema steers the answer, it is reported as grammar, which a profile may refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.exchange import Channel, Feature
from gateway.wire import strict
from gateway.wire.node import Node, plain
from gateway.wire.voice import OPERATOR, tree

# Keywords that hold a regular expression; the last one is llguidance's.
REGEX = ("pattern", "patternProperties", "whitespace_pattern")
# Keywords whose keys are names of the client's, and those whose values are data: a property may be called ``pattern``.
NAMES = frozenset({"properties", "$defs", "definitions", "dependencies", "dependentRequired", "dependentSchemas"})
DATA = frozenset({"const", "enum", "default", "examples", "example"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})  # the walk for them relies on their last letters
_SHELVES = ("#/$defs/", "#/definitions/")


def schema(node: Node, *, steers: bool) -> dict[str, Any]:
    """A schema, all its strings screened. ``steers`` where the server may have to write by it: reports grammar."""
    out: dict[str, Any] = tree(node.object(), OPERATOR, Channel.TOOL_DEFINITION)
    if steers:
        report(node)
    return out


def report(node: Node) -> None:
    """Report the first regular expression of a schema as grammar, under its own path."""
    path = regex(node.value, node.path)
    if path is not None:
        Node(None, path, node.found).use(Feature.GRAMMAR)


def regex(value: Any, path: str) -> str | None:
    """The path of a regular expression: one of a schema, or one in data where a reference could make a schema of data.

    Most schemas have none, and the encoder finds that out ten times faster than a walk.
    """
    raw = strict.dumps(value)
    if b"attern" not in raw:
        return None
    found = next(_walk(value, path, names=False, data=False), None)
    if found is None and b'ef":' in raw and _odd_reference(value):
        found = next(_walk(value, path, names=False, data=True), None)
    return found


def _walk(value: Any, path: str, *, names: bool, data: bool) -> Iterator[str]:
    """``names`` where keys are names and not keywords; ``data`` where data counts too."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _walk(item, f"{path}[{place}]", names=False, data=data)
        return
    for key, item in value.items():
        if not names and key in REGEX and item:
            yield f"{path}.{plain(key)}"
        if isinstance(item, dict | list) and (names or data or key not in DATA):
            yield from _walk(item, f"{path}.{plain(key)}", names=not names and key in NAMES, data=data)


def _odd_reference(value: Any) -> bool:
    """Whether anything refers to another place than the whole schema or an entry of its definitions."""
    if isinstance(value, list):
        return any(map(_odd_reference, value))
    if not isinstance(value, dict):
        return False
    return any(_odd(item) if key in _REFERENCES else _odd_reference(item) for key, item in value.items())


def _odd(reference: Any) -> bool:
    if not isinstance(reference, str):
        return _odd_reference(reference)  # a property that is called $ref
    shelf = next((shelf for shelf in _SHELVES if reference.startswith(shelf)), None)
    return reference != "#" and (shelf is None or "/" in reference.removeprefix(shelf))
