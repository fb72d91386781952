"""Strict HTTP admission: a subclass of uvicorn's httptools protocol that checks every head and chunk before the parser sees it.

Own deadlines for heads, bodies and writes (uvicorn has none). After any refusal of framing the connection closes.
A connection has one request at a time: what it sends after one waits, unparsed and bounded, until that is answered, and the next is
taken up in a later turn of the loop. So no connection can take more than its turn, however many requests it sends at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.descriptors import scarce
from gateway.edge_head import MAX_HEAD, MAX_LINE, Chunks, HeadRefused, bare_line_end, check_head
from gateway.edge_peer import PEER, peer_of
from gateway.exchange import Certificate

# Whoever sends slower than this is holding a connection, not sending a body.
BODY_BYTES_PER_SECOND = 16 * 1024
# What may wait behind a request; beyond it all of it is dropped, and the connection closes after the answer.
AHEAD = 64 * 1024
# An answer that was given before the body had come: for so long the rest is read and thrown away, so that the client can read it.
LINGER_SECONDS = 2.0

# From the goodbye to an idle client until its connection is gone.
GOODBYE = 0.1

_BUSY = (
    b'{"error":{"message":"the gateway has too many connections","type":"api_error","param":null,"code":"overloaded"}}'
)
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BUSY), _BUSY)
)

REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    417: "Expectation Failed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
}


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Deadlines in seconds, and the hosts that are served (lower-case; empty for any)."""

    head: float = 10.0
    body: float = 30.0
    write: float = 30.0
    hosts: frozenset[bytes] = frozenset()
    sparing: bool = False  # leave some file descriptors to others
    waiting: int = 2000  # connections without a request; one more closes the oldest of them


class EdgeProtocol(HttpToolsProtocol):
    """One connection. Make a class for a listener with ``edge_protocol``."""

    edge: EdgeSettings = EdgeSettings()
    refused: Callable[[str], None] = staticmethod(lambda _code: None)
    waiting: ClassVar[dict[EdgeProtocol, None]] = {}  # of the listener: connections without a request, the oldest first

    _head = b""
    _ahead = b""
    _searched = 0
    _left = 0
    _chunks: Chunks | None = None
    _closed = False
    _peer: Certificate | None = None
    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A client connects; its head is awaited."""
        super().connection_made(transport)
        self._peer = peer_of(transport.get_extra_info("ssl_object"), time())
        if self.edge.sparing and scarce(transport.get_extra_info("socket").fileno()):
            self._closed = True
            self.refused("out_of_descriptors")
            transport.write(BUSY)
            transport.close()
            return
        self._await("head_timeout", self.edge.head)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; no timer outlives it."""
        self._closed = True
        self._ahead = self._head = b""
        self.waiting.pop(self, None)
        for timer in (self._deadline, self._write_deadline):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends. An idle client is told so, and not waited for when it does not answer TLS's goodbye."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self.transport.get_write_buffer_size():
            self.loop.call_later(GOODBYE, self.transport.abort)
        super().shutdown()

    def on_message_begin(self) -> None:
        """What the client's certificate proves goes with each request."""
        super().on_message_begin()
        self.scope[PEER] = self._peer  # type: ignore[literal-required]  # a key of ours

    def data_received(self, data: bytes) -> None:
        """Check bytes, and pass on what is sound; what comes before its turn waits."""
        if self._ahead and not self._closed:
            self._keep(data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            while data and not self._closed:
                if self._left or self._chunks:
                    data = self._body(data)
                elif self.cycle is not None and not self.cycle.response_complete:
                    self._keep(data)
                    return
                else:
                    data = self._heading(data)
        except HeadRefused as refusal:
            self._refuse(refusal)

    def _keep(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > AHEAD:
            self._closed, self._ahead = True, b""
            self.cycle.keep_alive = False
            self.refused("too_far_ahead")

    def on_response_complete(self) -> None:
        """An answer is over: the next request has its turn, or is waited for."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._left or self._chunks:
            self._settle()
            self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        elif self._ahead:
            self.loop.call_soon(self._next)
        else:
            self._wait()

    def _next(self) -> None:
        data, self._ahead = self._ahead, b""
        self._take(data)

    def _wait(self) -> None:
        """From now on there is no request on this connection. Where too many are so, the oldest makes room."""
        self.waiting[self] = None
        if len(self.waiting) > self.edge.waiting:
            oldest = next(iter(self.waiting))
            del self.waiting[oldest]
            self.refused("too_many_waiting")
            oldest.transport.abort()

    def _heading(self, data: bytes) -> bytes:
        """Collect a head; what follows it."""
        if not self._head:
            self._unset_keepalive_if_required()
            if self._deadline is None:
                self._await("head_timeout", self.edge.head)
        head = self._head + data
        end = head.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0 or end > MAX_HEAD:
            self._incomplete(head)
            return b""
        raw, rest = head[: end + 4], head[end + 4 :]
        self._head, self._searched = b"", 0
        if bare_line_end(raw):
            raise HeadRefused("bare_line_end", "a line of the head does not end in CRLF")
        admitted = check_head(raw, self.edge.hosts)
        self.waiting.pop(self, None)
        self._left = admitted.length
        self._chunks = Chunks() if admitted.chunked else None
        self._settle()
        if self._left or self._chunks:
            self._await("body_timeout", self.edge.body + self._left / BODY_BYTES_PER_SECOND)
        super().data_received(admitted.data)
        return rest

    def _incomplete(self, head: bytes) -> None:
        if len(head) > MAX_HEAD:
            raise HeadRefused("head_too_large", f"the head is over {MAX_HEAD} bytes", 431)
        if bare_line_end(head.removesuffix(b"\r")) or (len(head) > MAX_LINE and b"\r\n" not in head):
            raise HeadRefused("bare_line_end", "a line of the head does not end in CRLF, or does not end at all")
        self._head, self._searched = head, len(head)

    def _body(self, data: bytes) -> bytes:
        """Pass on the body; what follows it."""
        if self._chunks is not None:
            taken = self._chunks.take(data)
            done = self._chunks.done
        else:
            taken = min(self._left, len(data))
            self._left -= taken
            done = not self._left
        if done:
            self._chunks = None
            self._settle()
            if self.cycle.response_complete:  # an answer that did not wait for the body ends its connection
                self.transport.close()
                return b""
        super().data_received(data[:taken])
        return data[taken:]

    def send_400_response(self, msg: str) -> None:
        """What httptools still refuses is refused in our shape."""
        self._refuse(HeadRefused("bad_request", "the request could not be parsed"))

    def pause_writing(self) -> None:
        """The client reads slowly: from now on it has a deadline."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self.edge.write, self._too_slow)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _too_slow(self) -> None:
        self.refused("write_timeout")
        self.transport.abort()

    def _await(self, code: str, seconds: float) -> None:
        self._settle()
        self._deadline = self.loop.call_later(seconds, self._expired, code)

    def _settle(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expired(self, code: str) -> None:
        self._deadline = None
        self._refuse(HeadRefused(code, "the request did not arrive in time", 408))

    def _refuse(self, refusal: HeadRefused) -> None:
        """Answer in our own words and close. While an earlier answer is being written, close after it instead."""
        if self._closed:
            return
        self._closed = True
        self._settle()
        self.refused(refusal.code)
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            cycle.keep_alive = False
            return
        if cycle is not None and cycle.response_complete and (self._left or self._chunks):
            self.transport.close()  # the rest of a body whose request was answered: there is nothing more to say
            return
        self.transport.write(refusal_bytes(refusal))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def refusal_bytes(refusal: HeadRefused) -> bytes:
    """A whole response in OpenAI's error shape; which dialect was meant is not known yet."""
    error = {"message": refusal.message, "type": "invalid_request_error", "param": None, "code": refusal.code}
    body = json.dumps({"error": error}).encode()
    head = f"HTTP/1.1 {refusal.status} {REASONS[refusal.status]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"x-should-retry: false\r\nconnection: close\r\n\r\n" + body


def edge_protocol(settings: EdgeSettings, refused: Callable[[str], None]) -> type[EdgeProtocol]:
    """The protocol class of one listener, as uvicorn's ``http`` setting takes it."""
    own = {"edge": settings, "refused": staticmethod(refused), "waiting": {}}
    return type("ListenerProtocol", (EdgeProtocol,), own)
