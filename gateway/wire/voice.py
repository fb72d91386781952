"""Who speaks at a place of a request, and how its texts become leaves: single strings, and free JSON with all that is in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat
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
    texts = _Texts(found, found.limit - len(found.leaves))
    texts.value(node.value, node.path)
    found.leaves.extend(texts.leaves(voice, channel))
    return node.value


class _Texts:
    """Texts with their paths. Schemas hold thousands, so this is written for speed: no node per string."""

    __slots__ = ("_found", "_names", "_paths", "_room", "_texts")

    def __init__(self, found: Found, room: int) -> None:
        self._paths: list[str] = []
        self._texts: list[str] = []
        self._room = room
        self._found = found
        self._names: dict[str, str] = {}  # keys as they may stand in a path; schemas repeat them

    def value(self, value: Any, path: str) -> None:
        """Gather from any value at its path."""
        if isinstance(value, str):
            self._paths.append(path)
            self._texts.append(value)
        elif isinstance(value, list):
            for place, item in enumerate(value):
                self.value(item, f"{path}[{place}]")
        elif isinstance(value, dict):
            self._object(value, path)
        if len(self._paths) > self._room:
            raise self._found.too_many(self._paths[self._room])

    def leaves(self, voice: Voice, channel: Channel) -> list[Leaf]:
        """The leaves."""
        same = (repeat(voice.role), repeat(channel), repeat(voice.origin), repeat(voice.new))
        return [*map(Leaf, self._paths, self._texts, *same)]

    def _object(self, value: dict[str, Any], path: str) -> None:
        names, paths, texts = self._names, self._paths, self._texts
        for key, item in value.items():
            name = names.get(key)
            if name is None:
                name = names[key] = plain(key)
            below = f"{path}.{name}"
            paths.append(f"{below}~key")
            texts.append(key)
            if type(item) is str:  # most of them
                paths.append(below)
                texts.append(item)
            else:
                self.value(item, below)


def turn_start(roles: list[str]) -> int:
    """The first message of this turn. A prefill is part of this turn: it must not make the user's words before it look old."""
    end = len(roles)
    while end and roles[end - 1] == "assistant":
        end -= 1
    while end and roles[end - 1] != "assistant":
        end -= 1
    return end
