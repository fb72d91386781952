"""Who speaks at a place of a request, and how its texts become leaves: single strings, and free JSON with all that is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from gateway.exchange import Channel, Leaf, Origin, Role
from gateway.wire.node import Found, Node, plain


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks at a place of the request."""

    place: str
    role: Role
    origin: Origin
    new: bool

    def third_party(self, place: str) -> Voice:
        """The same place, but words of somebody else's."""
        return replace(self, place=place, origin=Origin.THIRD_PARTY)


OPERATOR = Voice("system", Role.SYSTEM, Origin.OPERATOR, new=True)


def leaf(node: Node, voice: Voice, channel: Channel = Channel.CONTENT) -> str:
    """A text that is screened."""
    return node.leaf(voice.role, channel, voice.origin, new=voice.new)


def tree(node: Node, voice: Voice, channel: Channel) -> Any:
    """Free JSON: every string and every key is screened. A key's path ends in ``~key``. The value itself is handed out, not a copy."""
    found = node.found
    gatherer = _Gatherer(found.limit - len(found.leaves), found)
    gatherer.value(node.value, node.path)
    found.leaves.extend(_leaves(gatherer.texts, voice, channel))
    return node.value


class _Gatherer:
    """Gathers texts with their paths. Schemas hold thousands, so this is written for speed: no node and no call per string."""

    __slots__ = ("_found", "_names", "_room", "texts")

    def __init__(self, room: int, found: Found) -> None:
        self.texts: list[tuple[str, str]] = []
        self._room = room
        self._found = found
        self._names: dict[str, str] = {}  # keys as they may stand in a path; schemas repeat them

    def value(self, value: Any, path: str) -> None:
        """Any value at its path."""
        if isinstance(value, str):
            self._add(path, value)
        elif isinstance(value, list):
            for place, item in enumerate(value):
                if type(item) in _WITH_TEXT:
                    self.value(item, f"{path}[{place}]")
        elif isinstance(value, dict):
            self._object(value, path)

    def _object(self, value: dict[str, Any], path: str) -> None:
        names, texts, room = self._names, self.texts, self._room
        for key, item in value.items():
            name = names.get(key)
            if name is None:
                name = names[key] = plain(key)
            below = f"{path}.{name}"
            if len(texts) >= room:
                raise self._found.too_many(f"{below}~key")
            texts.append((f"{below}~key", key))
            if type(item) in _WITH_TEXT:
                self.value(item, below)

    def _add(self, path: str, text: str) -> None:
        if len(self.texts) >= self._room:
            raise self._found.too_many(path)
        self.texts.append((path, text))


def _leaves(texts: list[tuple[str, str]], voice: Voice, channel: Channel) -> Iterator[Leaf]:
    """Leaves of one voice. Set slot by slot, which costs half of what a frozen dataclass does for itself."""
    role, origin, new = voice.role, voice.origin, voice.new
    for path, text in texts:
        made = _NEW(Leaf)
        _PATH(made, path)
        _TEXT(made, text)
        _ROLE(made, role)
        _CHANNEL(made, channel)
        _ORIGIN(made, origin)
        _AGE(made, new)
        yield made


_WITH_TEXT: frozenset[type] = frozenset({str, list, dict})  # the decoder makes these very classes
_NEW = object.__new__
_PATH, _TEXT, _ROLE, _CHANNEL, _ORIGIN, _AGE = (getattr(Leaf, field.name).__set__ for field in fields(Leaf))


def turn_start(roles: list[str]) -> int:
    """The first message of this turn. A prefill is part of this turn: it must not make the user's words before it look old."""
    end = len(roles)
    while end and roles[end - 1] == "assistant":
        end -= 1
    while end and roles[end - 1] != "assistant":
        end -= 1
    return end
