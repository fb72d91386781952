"""The answer to one exchange, written straight to its connection.

It does what uvicorn's own ``send`` does and leaves its state as that would, less the dictionary for every message and the checks of
every header: heads are ours, so that one check of the whole suffices. Whoever has left is not written to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.pipeline.ports import Headers

LAST_CHUNK = b"0\r\n\r\n"


class DirectOutbound:
    """A response of an exchange (never to a HEAD request). A head without ``content-length`` announces chunks."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._left = -1  # bytes that the head promised and that are still to come; none were promised below zero

    async def head(self, status: int, headers: Headers) -> None:
        """Status and headers. Raises ValueError for a header that would end its line, RuntimeError for a second head."""
        if not await self._present():
            return
        cycle = self._cycle
        if cycle.response_started:
            raise RuntimeError("the head was sent already")
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        cycle.transport.write(STATUS_LINE[status] + self._fields(headers))

    async def send(self, data: bytes) -> None:
        """Bytes of the body; waits while the client reads slowly. Raises RuntimeError for more than was promised."""
        if not data or not await self._present():
            return
        if self._left < 0:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif len(data) > self._left:
            raise RuntimeError("the body is longer than its content-length")
        else:
            self._left -= len(data)
        self._cycle.transport.write(data)

    async def end(self) -> None:
        """The body is complete; the connection goes on to its next request, or closes. Where some is missing it closes."""
        if not await self._present():
            return
        cycle = self._cycle
        if self._left > 0:
            cycle.keep_alive = False
        if self._left < 0:
            cycle.transport.write(LAST_CHUNK)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    async def gone(self) -> None:
        """Returns when the client has left. What it still sends is not read."""
        while (await self._cycle.receive())["type"] != "http.disconnect":
            continue

    async def _present(self) -> bool:
        """Whether there is somebody to write to; waits for room in the connection first."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        return not cycle.disconnected

    def _fields(self, headers: Headers) -> bytes:
        cycle = self._cycle
        lines = [b"%b: %b\r\n" % pair for pair in cycle.default_headers]
        if ("connection", "close") in headers:
            cycle.keep_alive = False
            headers = tuple(pair for pair in headers if pair[0] != "connection")
        text = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if text.count("\n") != len(headers) or text.count("\r") != len(headers):
            raise ValueError("a header holds a line end")
        self._left = next((int(value) for name, value in headers if name == "content-length"), -1)
        lines.append(text.encode("latin-1"))
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        if self._left < 0:
            lines.append(b"transfer-encoding: chunked\r\n")
        return b"".join([*lines, b"\r\n"])


def direct(send: Callable[..., Any]) -> DirectOutbound | None:
    """The outbound for an ASGI ``send``, where it is uvicorn's own."""
    cycle = getattr(send, "__self__", None)
    return DirectOutbound(cycle) if isinstance(cycle, RequestResponseCycle) else None
