"""An httpx transport for the request path, over asyncio.Protocol and httptools.

It exists for its cost: httpx's default transport walks its whole pool and asks every socket on each request. It is called directly,
``await transport.handle_async_request(request)``; it follows no redirect, reads no environment, speaks HTTP/1.1 only.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.descriptors import SPARE, scarce
from gateway.upstream.connection import Connection
from gateway.upstream.pool import Origin, Pool, PoolLimits
from gateway.upstream.request import LAST_CHUNK, Framing, Head, encode_chunk, encode_head

_PORTS = {"http": 80, "https": 443}
SMALL = 4 * 1024  # bytes; a larger piece of a stream has been gathered already, by the network or by the model server
_EXTENSIONS = {"http_version": b"HTTP/1.1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for each step of an exchange; None means no bound. ``read`` is the time between two pieces of the answer."""

    connect: float | None
    write: float | None
    read: float | None
    pool: float | None
    first_byte: float | None
    total: float | None
    pace: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """From httpx's own ``timeout`` extension with our additional keys."""
        read = given.get("read")
        return cls(
            connect=given.get("connect"),
            write=given.get("write"),
            read=read,
            pool=given.get("pool"),
            first_byte=given.get("first_byte", read),
            total=given.get("total"),
            pace=given.get("pace", 0.0),
        )


class _Body(httpx.AsyncByteStream):
    """The body of a response, straight from its connection.

    ``pace``: the body of an event stream is given at most once in so many seconds while its pieces are small and come faster than
    that. Whatever is done with a piece is then done that often and no more; a stream that is slower, or the first piece, never waits.
    """

    def __init__(self, pool: Pool, connection: Connection, idle: float | None, pace: float) -> None:
        self._pool = pool
        self._connection = connection
        self._idle = idle
        self._pace = pace
        self._due = 0.0  # loop time before which no further piece is given where pieces are small and fast
        self._small = False
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            data = await (self._connection.read(self._idle) if not self._pace else self._paced())
        except BaseException:  # a failure or a cancellation: the connection is closed at once
            self._end()
            raise
        if data:
            return data
        self._end()
        raise StopAsyncIteration

    async def _paced(self) -> bytes:
        now = self._connection.now
        if self._small and (begun := now()) < self._due:
            await self._connection.rest(self._due - begun)
        data = await self._connection.read(self._idle)
        given = now()
        fast = given < self._due + self._pace  # the piece before is younger than two paces
        self._small = fast and len(data) < SMALL
        self._due = given + self._pace
        return data

    async def aclose(self) -> None:
        """Let go of the connection. Closes it, unless the whole response has come in."""
        self._end()

    def _end(self) -> None:
        if not self._over:  # once only: by now the connection may carry the exchange of somebody else
            self._over = True
            self._pool.give_back(self._connection)


class FastTransport(httpx.AsyncBaseTransport):
    """Pooled HTTP/1.1 with deadlines and back-pressure, for one event loop.

    Takes httpx's ``timeout`` extension (``connect``, ``read``, ``write``, ``pool``) and three keys more: ``first_byte`` (until the head of
    the final response; default ``read``), ``total``, and ``pace`` (see the body; default 0). Raises httpx.TransportErrors only:
    ReadError where a connection broke, RemoteProtocolError where bytes are no strict response, TotalTimeout (a ReadTimeout).
    """

    def __init__(
        self, *, verify: ssl.SSLContext | None = None, uds: str | None = None, limits: PoolLimits | None = None
    ) -> None:
        self._ssl = verify
        self._uds = uds
        self.pool = Pool(limits or PoolLimits(), self._open)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and return as soon as the head of the response is in; the body streams. A cancellation closes the connection at once."""
        limits = Limits.of(request.extensions.get("timeout", {}))
        head = encode_head(request)
        connection = await self._begun(origin_of(request.url), limits)
        try:
            await _send(connection, request, head, limits.write)
            status, headers = await connection.head(limits.first_byte)
        except BaseException:  # also a cancellation: whatever ends the wait closes the connection
            self.pool.give_back(connection)
            raise
        body = self._body(connection, headers, limits)
        return httpx.Response(status, headers=headers, stream=body, extensions=_EXTENSIONS)

    async def post(
        self, origin: Origin, data: bytes, limits: Limits
    ) -> tuple[int, list[tuple[bytes, bytes]], httpx.AsyncByteStream]:
        """The same for a whole request that is written already, without httpx's objects: status, headers and body of the response."""
        connection = await self._begun(origin, limits)
        try:
            await connection.send(data, limits.write)
            connection.sent()
            status, headers = await connection.head(limits.first_byte)
        except BaseException:  # as above
            self.pool.give_back(connection)
            raise
        return status, headers, self._body(connection, headers, limits)

    async def _begun(self, origin: Origin, limits: Limits) -> Connection:
        loop = asyncio.get_running_loop()
        total_at = float("inf") if limits.total is None else loop.time() + limits.total
        connection = await self.pool.lease(
            origin, _nearer(limits.pool, limits.total), _nearer(limits.connect, limits.total)
        )
        connection.begin(total_at)
        return connection

    def _body(self, connection: Connection, headers: list[tuple[bytes, bytes]], limits: Limits) -> _Body:
        return _Body(self.pool, connection, limits.read, limits.pace if _is_stream(headers) else 0.0)

    async def aclose(self) -> None:
        """Close every connection at once."""
        await self.pool.close()

    async def _open(self, origin: Origin) -> Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        context = self._tls() if scheme == "https" else None
        name = host if context is not None else None
        connection = Connection(loop)
        if self._uds is not None:
            made = await loop.create_unix_connection(lambda: connection, self._uds, ssl=context, server_hostname=name)
        else:
            made = await loop.create_connection(lambda: connection, host, port, ssl=context, server_hostname=name)
        if scarce(made[0].get_extra_info("socket").fileno(), spare=SPARE // 2):
            connection.abort()
            raise OSError(errno.EMFILE, "too few file descriptors are left")
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
        return self._ssl


def _is_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def origin_of(url: httpx.URL) -> Origin:
    """Where to connect. Raises httpx.UnsupportedProtocol."""
    if url.scheme not in _PORTS or not url.host:
        raise httpx.UnsupportedProtocol("only http and https are spoken")
    return url.scheme, url.host, url.port or _PORTS[url.scheme]


def _nearer(one: float | None, other: float | None) -> float | None:
    return min(one, other) if one is not None and other is not None else one if other is None else other


async def _send(connection: Connection, request: httpx.Request, head: Head, limit: float | None) -> None:
    """Send the request. A response that begins early ends the sending, and with it the use of the connection."""
    if isinstance(request.stream, httpx.ByteStream):
        body = b"".join(request.stream)
        if len(body) != head.length:
            raise httpx.LocalProtocolError("the body is not as long as its Content-Length")
        await connection.send(head.data + body, limit)
        connection.sent()
        return
    going = await connection.send(head.data, limit)
    async for data in _framed(request, head):
        if not going:
            return
        going = await connection.send(data, limit)
    connection.sent()


async def _framed(request: httpx.Request, head: Head) -> AsyncIterator[bytes]:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    total = 0
    async for data in request.stream:
        total += len(data)
        if head.framing is not Framing.CHUNKED and total > head.length:
            raise httpx.LocalProtocolError("the body is longer than its Content-Length")
        if data:
            yield encode_chunk(data) if head.framing is Framing.CHUNKED else data
    if head.framing is Framing.CHUNKED:
        yield LAST_CHUNK
    elif total < head.length:
        raise httpx.LocalProtocolError("the body is shorter than its Content-Length")
