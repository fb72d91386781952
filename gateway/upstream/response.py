"""Bytes to one strict HTTP/1.x response. No I/O.

llhttp refuses most of what is ambiguous (both framings at once, repeated or odd lengths, folded lines, bare CR or LF, control
characters). This class adds what it lets pass: a transfer coding other than ``chunked``, protocol switches, odd versions and statuses,
unbounded heads and trailers, and a second response behind the first.
"""

from __future__ import annotations

import httptools
import httpx

HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 * 1024
_NO_BODY = frozenset({204, 205, 304})


class ResponseReader:
    """Reads one response, fed in any cuts. Interim responses are skipped; trailers are dropped.

    ``tainted``: bytes came after the end of the response. They are never looked at, and the connection must not be used again.
    """

    __slots__ = (
        "_chunks",
        "_fault",
        "_framed",
        "_parser",
        "_quiet",
        "_seen",
        "buffered",
        "complete",
        "head_done",
        "headers",
        "keep_alive",
        "status",
        "tainted",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_done = False
        self.complete = False
        self.keep_alive = False
        self.tainted = False
        self.buffered = 0  # bytes of body read and not yet taken
        self._chunks: list[bytes] = []
        self._fault: str | None = None
        self._framed = False  # the head says where the body ends
        self._quiet = 0  # bytes since the last byte of body: bounds heads, trailers and chunk extensions alike
        self._seen = 0  # header fields, those of interim responses and trailers included
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises httpx.RemoteProtocolError; what was read before the fault can still be taken."""
        if self._parser is None:
            self.tainted = True
            return
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as fault:
            self._failed(str(fault))
        if self._quiet > HEAD_BYTES_MAX:
            self._failed("its head, trailers or chunk extensions are too large")
        if self._fault is not None:
            self._parser = None
            raise httpx.RemoteProtocolError(f"the response is malformed: {self._fault}")
        if self.complete:
            self._parser = None  # it refers back to this object; a cycle for each request would burden the collector

    def end(self) -> bool:
        """The connection was closed by the peer. True when that is the proper end of this response."""
        if self.head_done and not self._framed and self._fault is None:
            self.complete = True
            self._parser = None
        return self.complete

    def take(self) -> bytes:
        """All body bytes read so far and not yet taken."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self.buffered = 0
        return data

    def _failed(self, why: str) -> None:
        if self.complete:
            self.tainted = True  # the response itself was whole; only what follows it is wrong
        elif self._fault is None:
            self._fault = why

    # Callbacks of the parser. They never raise: an exception inside llhttp would lose its message.

    def on_message_begin(self) -> None:
        if self.complete:
            self.tainted = True
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen += 1
        if self._seen > HEADERS_MAX:
            self._failed("it has too many headers")
        elif not self.head_done:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in {"1.1", "1.0"} or not 100 <= status <= 599 or status == 101:
            self._failed("its status line is not one of HTTP/1.1")
        elif sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES_MAX:
            self._failed("its head is too large")
        elif status >= 200:
            self._final_head(status)
        elif self._framing() != (0, []):
            self._failed("an interim response announces a body")
        else:
            self.headers.clear()

    def _final_head(self, status: int) -> None:
        lengths, codings = self._framing()
        assert self._parser is not None
        if codings and (codings != [b"chunked"] or self._parser.get_http_version() == "1.0"):
            self._failed("its transfer coding is not plain chunked")
        self._framed = lengths > 0 or bool(codings) or status in _NO_BODY
        self.status = status
        self.head_done = self._fault is None

    def _framing(self) -> tuple[int, list[bytes]]:
        """How many content lengths the head has, and its transfer codings."""
        names = [(name.lower(), value) for name, value in self.headers]
        lengths = sum(name == b"content-length" for name, _ in names)
        return lengths, [value.strip(b" \t").lower() for name, value in names if name == b"transfer-encoding"]

    def on_body(self, data: bytes) -> None:
        self._quiet = 0
        if self.head_done and not self.complete:
            self._chunks.append(data)
            self.buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head_done and not self.complete and self._fault is None:
            assert self._parser is not None
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()
