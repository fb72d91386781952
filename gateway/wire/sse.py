"""Event streams per the WHATWG standard: an incremental splitter on bytes, and the encoder that is its inverse.

Rules that this file keeps:

1. A line ends at LF, CR or CRLF and nowhere else (no U+2028, U+0085, VT, FF), also when CRLF is cut between two chunks.
2. Every byte is looked at once. Only an unfinished line is kept, so input fed in crumbs costs O(n).
3. Nothing is kept beyond ``max_event`` bytes: they are counted from the end of one event to the end of the next,
   comments and empty blocks included, so a flood of comments ends as surely as a flood of data.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.errors import UpstreamMalformed

_BOM = b"\xef\xbb\xbf"


class Event(Struct, frozen=True, gc=False):
    """One dispatched event. ``event`` is empty where the stream names no type."""

    event: str
    data: str


class Splitter:
    """Bytes in, cut anywhere; complete events out. Raises UpstreamMalformed; after that it is spent."""

    __slots__ = ("_data", "_event", "_first", "_max", "_partial", "_seen_cr", "_used")

    def __init__(self, max_event: int) -> None:
        self._max = max_event
        self._partial = bytearray()  # the unfinished line
        self._seen_cr = False  # the last byte fed was a CR: an LF that follows belongs to it
        self._first = True  # no line of the stream is complete yet
        self._used = 0  # bytes of complete lines since the last event, each line end counted as one
        self._event = b""
        self._data: list[bytes] = []

    @property
    def pending(self) -> bool:
        """True when bytes of an event that was never completed are held. At the end of a stream: it was cut short."""
        only_bom = self._first and self._partial == _BOM
        return bool((self._partial and not only_bom) or self._data or self._event)

    def feed(self, data: bytes) -> tuple[Event, ...]:
        """Take bytes; give the events that they complete."""
        if data.startswith(b"data: ") and data.endswith(b"\n\n") and self._alone(data):
            return (_event(b"", data[6:-2]),)
        if self._seen_cr and data[:1] == b"\n":
            data = data[1:]
            self._seen_cr = False
        if not data:
            return ()
        self._seen_cr = data.endswith(b"\r")
        lines = data.splitlines()  # of bytes: splits at LF, CR and CRLF only
        tail = b"" if data[-1] in b"\r\n" else lines.pop()
        if lines and (self._partial or self._first):
            lines[0] = self._first_line(lines[0])
        events = []
        for line in lines:
            self._used += len(line) + 1
            if self._used > self._max:
                raise self._too_large()
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._partial += tail
        if self._used + len(self._partial) >= self._max:
            raise self._too_large()
        return tuple(events)

    def _alone(self, data: bytes) -> bool:
        """The common case: one event of one line, nothing before or behind it. True when the splitter stands behind it."""
        if self._seen_cr or self._partial or self._data or self._event:
            return False
        if self._used + len(data) > self._max or b"\r" in data or data.find(b"\n") != len(data) - 2:
            return False
        self._first, self._used = False, 0
        return True

    def end(self) -> tuple[Event, ...]:
        """The stream is over. An incomplete event is discarded, as the standard says; ``pending`` tells that there was one."""
        return ()

    def _first_line(self, line: bytes) -> bytes:
        """The line that completes what was kept; the very first one of a stream loses its byte order mark."""
        line = bytes(self._partial) + line
        self._partial.clear()
        if self._first:
            self._first = False
            return line.removeprefix(_BOM)
        return line

    def _field(self, line: bytes) -> None:
        """A field of the event; comments, ``id``, ``retry`` and unknown names are ignored."""
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value

    def _dispatch(self) -> Event | None:
        """An empty line: the event is complete, unless it has no data at all."""
        event, data = self._event, self._data
        self._event, self._data = b"", []
        if not data:
            return None
        self._used = 0
        return _event(event, b"\n".join(data))

    def _too_large(self) -> UpstreamMalformed:
        return UpstreamMalformed(f"an event of the model server is larger than {self._max} bytes")


def _event(event: bytes, data: bytes) -> Event:
    try:
        return Event(event.decode(), data.decode())
    except UnicodeDecodeError as error:
        raise UpstreamMalformed("an event of the model server is not UTF-8") from error


def encode(data: bytes, event: str = "") -> bytes:
    """One event as bytes. ``data`` may hold LF; a CR in it, or a line end in ``event``, raises ValueError."""
    if b"\r" in data or "\r" in event or "\n" in event:
        raise ValueError("a line end that would break the framing")
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
