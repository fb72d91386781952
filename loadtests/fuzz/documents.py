"""Targets: strict JSON held against the standard library's, and the SSE splitter held against a model of the standard."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from support.sse_model import model

from gateway.errors import BadRequest, UpstreamMalformed
from gateway.wire import strict
from gateway.wire.base import WireLimits
from gateway.wire.sse import Event, Splitter, encode
from loadtests.fuzz.cuts import pieces

LIMITS = WireLimits(depth=24, keys=200)
Loads = Callable[[bytes, WireLimits], dict[str, Any]]


def claim(held: bool, what: str) -> None:
    """Raises AssertionError for a claim that does not hold."""
    assert held, what


class Unfit(Exception):
    """Not what a strict parser may accept."""


def document(data: bytes, loads: Loads = strict.loads) -> None:
    """What strict JSON accepts is what the standard library reads and nothing is lost; what both can read is accepted."""
    try:
        tree = loads(data, LIMITS)
    except BadRequest as refusal:
        claim(refusal.message.isascii(), "a message quotes the body")
        claim(not readable(data), f"refused as {refusal.code}, but it is sound")
        return
    same(tree, lenient(data))
    same(loads(strict.dumps(tree), LIMITS), tree)


def readable(data: bytes) -> bool:
    """Whether the standard library finds one sound object within the limits."""
    try:
        tree = lenient(data)
        return isinstance(tree, dict) and bounded(tree, LIMITS.depth) <= LIMITS.keys
    except (Unfit, ValueError, RecursionError):
        return False


def lenient(data: bytes) -> Any:
    """The tree as the standard library reads it. Raises Unfit for what it reads and a strict parser must not."""
    return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Unfit("a key twice")
    return dict(pairs)


def _constant(name: str) -> None:
    raise Unfit(name)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Unfit("out of range")
    return number


def bounded(value: Any, depth: int) -> int:
    """The number of keys. Raises Unfit for depth, numbers and characters that are out of bounds."""
    if isinstance(value, str):
        text_fits(value)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > strict.MAX_INTEGER:
        raise Unfit("out of range")
    if not isinstance(value, dict | list):
        return 0
    if depth == 0:
        raise Unfit("too deep")
    keys = 0
    if isinstance(value, dict):
        keys = len(value)
        for key in value:
            text_fits(key)
    return keys + sum(bounded(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value))


def text_fits(text: str) -> None:
    """Raises Unfit for NUL and lone surrogates."""
    if "\0" in text or any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise Unfit("a character out of bounds")


def same(one: Any, other: Any) -> None:
    """Equal in values, types and the order of keys."""
    assert type(one) is type(other), f"{type(one).__name__} is not {type(other).__name__}"
    if isinstance(one, dict):
        assert list(one) == list(other), "keys differ"
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other), "items differ"
        for each, counterpart in zip(one, other, strict=True):
            same(each, counterpart)
    else:
        assert one == other, "values differ"


def events(data: bytes, splitter: Callable[[int], Any] = Splitter) -> None:
    """However a stream is cut, the events are those of the model; what they hold can be written and read again."""
    wanted = modelled(data)
    for chunks in ([data], pieces(data)):
        found = followed(chunks, splitter)
        assert found == wanted, "the splitter and the model differ"
    for event in wanted[0] if wanted else ():
        if not {"\r", "\n"} & set(event.event) and "\r" not in event.data:
            again = followed([encode(event.data.encode(), event.event)], splitter)
            assert again == ([event], False), "an event does not survive writing and reading"


def modelled(data: bytes) -> tuple[list[Event], bool] | None:
    """Events and whether more was begun; None where an event is not UTF-8."""
    try:
        return model(data)
    except UnicodeDecodeError:
        return None


def followed(chunks: list[bytes], splitter: Callable[[int], Any]) -> tuple[list[Event], bool] | None:
    """The same from the splitter."""
    made = splitter(1 << 20)
    try:
        found = [event for chunk in chunks for event in made.feed(chunk)]
    except UpstreamMalformed:
        return None
    return [*found, *made.end()], made.pending
