"""What the gateway and its parser process say to each other: one request, then a head, texts in lots, the vetted tree, and an end.

Every message is MessagePack of a fixed type behind four bytes of length, so that nothing which is not a parsed request can be
taken for one. Large values of the tree come as JSON that is already ours and are embedded as they are in what goes upstream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import BadRequest, FeatureRefused, TooLarge, UnsupportedMedia
from gateway.exchange import Exchange, Leaf, Use
from gateway.wire import strict
from gateway.wire.base import WireLimits

LOT_LEAVES = 256
LOT_BYTES = 64 * 1024
LENGTH = struct.Struct(">I")
REFUSALS: tuple[type[BadRequest], ...] = (BadRequest, TooLarge, UnsupportedMedia, FeatureRefused)


class Nonsense(Exception):
    """What came is not an answer to what was asked."""


class Ask(msgspec.Struct, array_like=True, tag="ask", frozen=True):
    """A body of ``size`` bytes to parse, which follows as it is: no copy of it is made here.

    ``number`` comes back in the head and the end, so that no answer is taken for another's.
    """

    number: int
    dialect: str
    limits: WireLimits
    size: int


class Refused(msgspec.Struct, array_like=True, tag="refused", frozen=True):
    """The body is no request: the error, by its place in ``REFUSALS``."""

    number: int
    kind: int
    message: str
    code: str
    param: str | None


class Head(msgspec.Struct, array_like=True, tag="head", frozen=True):
    """An exchange without its texts and its tree, and how many of both are to come."""

    number: int
    dialect: str
    model: str
    stream: bool
    choices: int
    uses: tuple[Use, ...]
    dropped: tuple[str, ...]
    usage_asked: bool
    size: int
    leaves: int
    entries: int


class Texts(msgspec.Struct, array_like=True, tag="texts", frozen=True):
    """Some of the leaves, in order."""

    leaves: tuple[Leaf, ...]


class Entry(msgspec.Struct, array_like=True, tag="entry", frozen=True):
    """A top-level key of the tree with its value, or with no value where ``Json`` follows."""

    key: str
    value: Any
    follows: bool


class Json(msgspec.Struct, array_like=True, tag="json", frozen=True):
    """Bytes of the value of the entry before it."""

    data: bytes
    last: bool


class End(msgspec.Struct, array_like=True, tag="end", frozen=True):
    """The exchange is complete."""

    number: int


Message = Refused | Head | Texts | Entry | Json | End
_encoder = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_asks: msgspec.msgpack.Decoder[Ask] = msgspec.msgpack.Decoder(Ask)


def pack(message: Ask | Message) -> bytes:
    """A message with its length."""
    data = _encoder.encode(message)
    return LENGTH.pack(len(data)) + data


def read_ask(data: bytes) -> Ask:
    """Raises msgspec.MsgspecError."""
    return _asks.decode(data)


def read(data: bytes) -> Message:
    """A message of the process. Raises Nonsense."""
    try:
        return _messages.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Nonsense("a message is of no known form") from error


def refused(number: int, error: BadRequest) -> Refused:
    """An error as a message."""
    return Refused(number, REFUSALS.index(type(error)), error.message, error.code, error.param)


def told(number: int, exchange: Exchange) -> Iterator[Message]:
    """A parsed exchange as messages."""
    yield Head(
        number,
        exchange.dialect,
        exchange.model,
        exchange.stream,
        exchange.choices,
        exchange.uses,
        exchange.dropped,
        exchange.usage_asked,
        exchange.size,
        len(exchange.leaves),
        len(exchange.body),
    )
    yield from (Texts(lot) for lot in _lots(exchange.leaves))
    for key, value in exchange.body.items():
        if not _structured(value):
            yield Entry(key, value, follows=False)
            continue
        yield Entry(key, None, follows=True)
        data = strict.dumps(value)
        for at in range(0, len(data), LOT_BYTES):
            yield Json(data[at : at + LOT_BYTES], at + LOT_BYTES >= len(data))
    yield End(number)


def _structured(value: Any) -> bool:
    """Objects and lists of objects: what is only serialised. Lists of plain words are read again by the dialects."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value))


def _lots(leaves: tuple[Leaf, ...]) -> Iterator[tuple[Leaf, ...]]:
    lot: list[Leaf] = []
    size = 0
    for leaf in leaves:
        lot.append(leaf)
        size += len(leaf.text)
        if len(lot) == LOT_LEAVES or size >= LOT_BYTES:
            yield tuple(lot)
            lot, size = [], 0
    if lot:
        yield tuple(lot)


class Assembly:
    """Puts an exchange together again, message by message. Raises Nonsense for what does not fit, and the refusal that was told."""

    def __init__(self, number: int, dialect: str) -> None:
        self._number, self._dialect = number, dialect
        self._head: Head | None = None
        self._leaves: list[Leaf] = []
        self._body: dict[str, Any] = {}
        self._key = ""
        self._json: list[bytes] | None = None

    def take(self, message: Message) -> Exchange | None:
        """The exchange once it is complete; None before."""
        if isinstance(message, Refused):
            raise self._refusal(message)
        if isinstance(message, Head):
            self._begin(message)
        elif self._head is None:
            raise Nonsense("an answer without a head")
        elif isinstance(message, End):
            return self._complete(self._head, message)
        elif isinstance(message, Texts):
            self._leaves += message.leaves
        else:
            self._tree(message)
        return None

    def _refusal(self, message: Refused) -> BadRequest:
        if self._head is not None or message.number != self._number or not 0 <= message.kind < len(REFUSALS):
            raise Nonsense("a refusal of nothing that was asked")
        return REFUSALS[message.kind](message.message, param=message.param, code=message.code)

    def _begin(self, head: Head) -> None:
        if self._head is not None or (head.number, head.dialect) != (self._number, self._dialect):
            raise Nonsense("an answer to something else")
        self._head = head

    def _tree(self, message: Entry | Json) -> None:
        if isinstance(message, Entry) and self._json is None and message.key not in self._body:
            self._key, self._json = message.key, [] if message.follows else None
            self._body[message.key] = message.value
        elif isinstance(message, Json) and self._json is not None:
            self._json.append(message.data)
            if message.last:
                self._body[self._key] = msgspec.Raw(b"".join(self._json))
                self._json = None
        else:
            raise Nonsense("the tree is out of order")

    def _complete(self, head: Head, end: End) -> Exchange:
        counts = (len(self._leaves), len(self._body), end.number)
        if counts != (head.leaves, head.entries, head.number) or self._json is not None:
            raise Nonsense("the answer is not complete")
        return Exchange(
            head.dialect,
            head.model,
            head.stream,
            head.choices,
            tuple(self._leaves),
            self._body,
            head.uses,
            head.dropped,
            head.usage_asked,
            head.size,
        )
