"""Who speaks at a place of a request, and how its texts become leaves: single strings, and free JSON with all that is in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Speech:
    """A voice in one channel."""

    voice: Voice
    channel: Channel

    def leaf(self, path: str, text: str) -> Leaf:
        """One text of it."""
        return Leaf(path, text, self.voice.role, self.channel, self.voice.origin, self.voice.new)


OPERATOR = Voice("system", Role.SYSTEM, Origin.OPERATOR, new=True)


def leaf(node: Node, voice: Voice, channel: Channel = Channel.CONTENT) -> str:
    """A text that is screened."""
    return node.leaf(voice.role, channel, voice.origin, new=voice.new)


def tree(node: Node, voice: Voice, channel: Channel) -> Any:
    """Free JSON: every string and every key is screened. A key's path ends in ``~key``."""
    return _tree(node.value, node.path, node.found, Speech(voice, channel))


def _tree(value: Any, path: str, found: Found, speech: Speech) -> Any:
    if isinstance(value, str):
        found.add(speech.leaf(path, value))
        return value
    if isinstance(value, list):
        return [_tree(item, f"{path}[{place}]", found, speech) for place, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        below = f"{path}.{plain(key)}"
        found.add(speech.leaf(below + "~key", key))
        out[key] = _tree(item, below, found, speech)
    return out


def turn_start(roles: list[str]) -> int:
    """The first message of this turn. A prefill is part of this turn: it must not make the user's words before it look old."""
    end = len(roles)
    while end and roles[end - 1] == "assistant":
        end -= 1
    while end and roles[end - 1] != "assistant":
        end -= 1
    return end
