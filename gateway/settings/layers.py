"""The layers of a configuration: file < environment (``ASL_GATEWAY__A__B``) < flags, merged with the source of every value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from gateway.settings.documents import Document, Loc, Place, read
from gateway.settings.faults import Fault
from gateway.settings.findings import annotation_at
from gateway.settings.model import Settings

ENVIRONMENT = "ASL_GATEWAY__"
COMMAND_LINE = "command line"
# Which flag of ``serve`` gave a value, for its faults.
FLAGS: Mapping[Loc, str] = {
    ("listen", "address"): "--listen",
    ("listen", "tls", "cert"): "--tls-cert",
    ("listen", "tls", "key"): "--tls-key",
    ("listen", "tls", "client_ca"): "--tls-client-ca",
    ("admin", "address"): "--admin-listen",
    ("admin", "tls", "cert"): "--admin-tls-cert",
    ("admin", "tls", "key"): "--admin-tls-key",
    ("probes", "address"): "--probes-listen",
    ("state",): "--state",
    ("rules",): "--rules",
    ("classifiers",): "--no-classifiers",
    ("screeners",): "--screeners",
    ("models", 0, "name"): "--model",
    ("models", 0, "aliases"): "--alias",
    ("models", 0, "asl"): "--asl",
    ("models", 0, "upstream", "url"): "--upstream",
}
# Paths that stand in a file are relative to that file; others to the working directory. ``*`` is any item.
PATHS: tuple[tuple[str, ...], ...] = (
    ("listen", "tls", "cert"),
    ("listen", "tls", "key"),
    ("listen", "tls", "client_ca"),
    ("admin", "tls", "cert"),
    ("admin", "tls", "key"),
    ("admin", "tls", "client_ca"),
    ("state",),
    ("levels",),
    ("rules",),
    ("guards", "*", "folder"),
    ("guards", "*", "ca"),
    ("guards", "*", "key", "file"),
    ("models", "*", "upstream", "ca"),
    ("models", "*", "upstream", "socket"),
    ("models", "*", "upstream", "key", "file"),
)


def layered(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Document:
    """All layers as one document. Raises ConfigInvalid when the file cannot be parsed; other faults stand in the document."""
    below = read(file) if file is not None else Document(COMMAND_LINE, {})
    if not isinstance(below.data, dict):
        return Document(below.file, below.data, below.places, below.faults)
    layers = _Layers(below)
    if file is not None:
        layers.root_paths(file.parent)
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT):
            loc: Loc = tuple(name.removeprefix(ENVIRONMENT).lower().split("__"))
            layers.put(loc, _typed(loc, text), Place(name))
    for loc, value in _leaves(flags, ()):
        layers.put(loc, value, Place(FLAGS.get(loc, COMMAND_LINE)))
    return Document(below.file, layers.data, layers.places, (*below.faults, *layers.faults))


def _leaves(value: Mapping[str, Any], loc: Loc) -> Iterator[tuple[Loc, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, (*loc, key))
        else:
            yield (*loc, key), item


def _typed(loc: Loc, text: str) -> Any:
    """The text of a variable as the kind that its key wants; as it stands where it does not fit, and validation says so."""
    annotation = annotation_at(Settings, loc)
    if annotation is None or _takes_text(annotation):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_takes_text(part) for part in get_args(annotation))
    return annotation in (str, Path)  # a tuple, since not every annotation can be hashed


class _Layers:
    """A document to which values are added from above."""

    def __init__(self, below: Document) -> None:
        self.data: dict[str, Any] = below.data
        self.places = dict(below.places)
        self.faults: list[Fault] = []

    def put(self, loc: Loc, value: Any, place: Place) -> None:
        """Set one value. Mappings on the way are made; anything else on the way is a fault."""
        node: Any = self.data
        for depth, part in enumerate(loc[:-1], start=1):
            node = node.setdefault(part, {})
            self.places.setdefault(loc[:depth], place)
            if not isinstance(node, dict):
                message = f"cannot be set: {'.'.join(map(str, loc[:depth]))} is not a mapping of settings"
                self.faults.append(Fault(place.source, 0, 0, ".".join(map(str, loc)), message))
                return
        self.places = {known: at for known, at in self.places.items() if known[: len(loc)] != loc}
        node[loc[-1]] = value
        self._note(loc, value, place)

    def _note(self, loc: Loc, value: Any, place: Place) -> None:
        """Everything in a value comes from where the value does; flags within a list have their own names."""
        if loc in FLAGS and place.source == COMMAND_LINE:
            place = Place(FLAGS[loc])
        self.places[loc] = place
        items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
        for key, item in items:
            self._note((*loc, key), item, place)

    def root_paths(self, base: Path) -> None:
        """Make the file's relative paths relative to the file."""
        for pattern in PATHS:
            for node in _parents(self.data, pattern[:-1]):
                if isinstance(node.get(pattern[-1]), str):
                    node[pattern[-1]] = str(base / node[pattern[-1]])


def _parents(node: Any, pattern: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if pattern and pattern[0] == "*":
        for item in node if isinstance(node, list) else ():
            yield from _parents(item, pattern[1:])
    elif isinstance(node, dict):
        if not pattern:
            yield node
        else:
            yield from _parents(node.get(pattern[0]), pattern[1:])
