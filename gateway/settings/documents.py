"""YAML documents as plain data, with the place of every key and item, and every fault of the text itself.

Nodes are read instead of constructed objects: so all duplicate keys are found at once, and no tag can construct anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from gateway.settings.faults import ConfigInvalid, Fault

Loc = tuple[str | int, ...]

MAX_BYTES = 4 << 20
MAX_NODES = 200_000  # aliases can make a small file large
MAX_DEPTH = 32
# What the YAML library raises beside its own errors, for texts such as ``!!int ''``, ``"\\UFFFFFFFF"`` and ``%YAML 1.99``.
STUMBLES = (YAMLError, ValueError, ArithmeticError, LookupError, AssertionError, TypeError, AttributeError)
TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value comes from: a file with line and column (from 1), or a variable or flag (0, 0)."""

    source: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, the places of its keys and items, and the faults found while reading it."""

    file: str
    data: Any
    places: Mapping[Loc, Place] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def place(self, loc: Loc) -> Place:
        """The place of the nearest thing that stands in a source."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, Place(self.file))

    def fault(self, loc: Loc, message: str, suggestion: str = "") -> Fault:
        """A fault at this place."""
        place = self.place(loc)
        return Fault(place.source, place.line, place.column, dotted(loc), message, suggestion)


def dotted(loc: Loc) -> str:
    """``models[0].upstream.url``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(path: Path) -> Document:
    """Parse a YAML file. Raises ConfigInvalid when it cannot be read or is not YAML; other faults stand in the document."""
    text = _text(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # a name may be given anew; the library would write a warning to stderr
    try:
        root = yaml.compose(text)
    except RecursionError as error:
        raise ConfigInvalid([Fault(str(path), 0, 0, "", "is nested too deeply")]) from error
    except STUMBLES as error:
        raise ConfigInvalid([_syntax(path, error)]) from error
    reader = _Nodes(str(path), yaml)
    data = reader.plain(root, ()) if root is not None else None
    return Document(str(path), data, reader.places, tuple(reader.faults))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigInvalid([Fault(str(path), 0, 0, "", f"is larger than {MAX_BYTES >> 20} MiB")])
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigInvalid([Fault(str(path), 0, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid([Fault(str(path), 0, 0, "", "cannot be read: is not UTF-8 text")]) from error


def _syntax(path: Path, error: Exception) -> Fault:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    reason = error.reason if isinstance(error, ReaderError) else getattr(error, "problem", None)
    return Fault(str(path), line, column, "", f"is not valid YAML: {reason or 'cannot be parsed'}")


class _Nodes:
    """Turns nodes into plain data, noting places and faults on the way."""

    def __init__(self, file: str, yaml: YAML) -> None:
        self._file, self._constructor = file, yaml.constructor
        self._seen = 0
        self.places: dict[Loc, Place] = {}
        self.faults: list[Fault] = []

    def plain(self, node: Node, loc: Loc) -> Any:
        """The data of a node; None in place of what is at fault."""
        self._seen += 1
        if not loc:
            self.places[loc] = self._place(node)
        if len(loc) > MAX_DEPTH or self._seen > MAX_NODES:
            return self._refuse(node, loc[:MAX_DEPTH], "is nested too deeply or expands to too much")
        if isinstance(node, MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, SequenceNode):
            return self._sequence(node, loc)
        return self._scalar(node, loc)

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, loc) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                self._refuse(key_node, loc, "has a key that is not text")
            elif key in found:
                self._refuse(key_node, (*loc, key), "the same key twice")
            else:
                self.places[*loc, key] = self._place(key_node)
                found[key] = self.plain(value_node, (*loc, key))
        return found

    def _sequence(self, node: SequenceNode, loc: Loc) -> list[Any]:
        for index, item in enumerate(node.value):
            self.places[*loc, index] = self._place(item)
        return [self.plain(item, (*loc, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: Node, loc: Loc) -> Any:
        tag = str(node.tag)
        if tag not in TAGS:
            return self._refuse(node, loc, f"has a tag that has no meaning here: {tag}")
        try:
            return self._constructor.construct_object(node, deep=True)
        except STUMBLES:
            return self._refuse(node, loc, "is not a value of its kind, such as a date that does not exist")

    def _refuse(self, node: Node, loc: Loc, message: str) -> None:
        place = self._place(node)
        if self._seen <= MAX_NODES + 1:  # one word about a bomb is enough
            self.faults.append(Fault(self._file, place.line, place.column, dotted(loc), message))

    def _place(self, node: Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)
