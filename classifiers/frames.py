"""What a gateway and a screener process say to each other: length-prefixed msgpack, typed and bounded on both sides. No I/O.

::

    gateway -> screener   Ask, Drop, Ping
    screener -> gateway   Hello | Refused, then Pong, and for each Ask: Found + Part... | Over | Failed

A text travels as UTF-8 in which lone surrogates pass, so that offsets are those of the gateway's own string.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, Literal, TypeVar

import msgspec

HEAD_BYTES: Final = 4
# A screener's largest frame is a part of a result; the gateway's largest is the text of a request in all its views.
MOST_REPLY_BYTES: Final = 1 << 20
MOST_ASK_BYTES: Final = 1 << 28
PART_WINDOWS: Final = 128

Kind = Literal["unavailable", "invalid"]
Span = tuple[int, int, tuple[float, ...]]


class FrameError(ValueError):
    """The other side's bytes are not what it may say."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """Score share ``share`` of ``shares`` of the windows of all texts; refuse if all of them together are over ``limit``."""

    id: int
    texts: tuple[bytes, ...]
    limit: int
    share: int
    shares: int


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """Nobody waits for this answer any more."""

    id: int


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    """Are you there?"""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The weights under this digest are loaded."""

    digest: str


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The weights are not the pinned ones, or cannot be loaded; the screener ends."""

    reason: str


class Pong(msgspec.Struct, frozen=True, array_like=True, tag="pong"):
    """Here; ``progress`` counts steps done and ``busy`` is in the middle of one, so that a thread that hangs inside the model shows."""

    progress: int
    busy: bool


class Found(msgspec.Struct, frozen=True, array_like=True, tag="found"):
    """The windows and tokens of each text, and how many of the share's went to the encoder; the share's windows follow in parts."""

    id: int
    windows: tuple[int, ...]
    tokens: tuple[int, ...]
    encoder: int = 0


class Part(msgspec.Struct, frozen=True, array_like=True, tag="part"):
    """The next windows of the share: start, end and scores."""

    id: int
    spans: tuple[Span, ...]


class Over(msgspec.Struct, frozen=True, array_like=True, tag="over"):
    """All texts together need more windows than the limit; ``windows`` is a lower bound."""

    id: int
    windows: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The engine failed on this."""

    id: int
    kind: Kind
    reason: str


Request = Ask | Drop | Ping
Reply = Hello | Refused | Pong | Found | Part | Over | Failed
M = TypeVar("M")


def frame(message: Request | Reply) -> bytes:
    """One message as it travels."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


def pack(text: str) -> bytes:
    """A text as it travels."""
    return text.encode("utf-8", "surrogatepass")


def unpack(content: bytes) -> str:
    """The text again. Raises FrameError."""
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise FrameError("a text is not UTF-8") from error


class Frames(Generic[M]):
    """Bytes in, messages out, however they are cut. Nothing beyond ``most`` bytes is ever buffered for one message."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M], most: int) -> None:
        self._decoder = decoder
        self._most = most
        self._buffer = bytearray()

    @classmethod
    def requests(cls) -> Frames[Request]:
        """What a screener reads."""
        return Frames(msgspec.msgpack.Decoder(Request), MOST_ASK_BYTES)

    @classmethod
    def replies(cls) -> Frames[Reply]:
        """What the gateway reads."""
        return Frames(msgspec.msgpack.Decoder(Reply), MOST_REPLY_BYTES)

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._buffer += data

    def messages(self) -> Iterator[M]:
        """The messages that are whole. Raises FrameError for a length or content that the other side may not send."""
        while len(self._buffer) >= HEAD_BYTES:
            size = int.from_bytes(self._buffer[:HEAD_BYTES], "big")
            if size > self._most:
                raise FrameError(f"a frame of {size} bytes")
            if len(self._buffer) < HEAD_BYTES + size:
                return
            body = bytes(self._buffer[HEAD_BYTES : HEAD_BYTES + size])
            del self._buffer[: HEAD_BYTES + size]
            yield self._decode(body)

    def _decode(self, body: bytes) -> M:
        try:
            return self._decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise FrameError("a frame that is no message") from error
