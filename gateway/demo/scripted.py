"""A scripted model server: a raw asyncio server that plays any byte sequence and records what it was sent.

For tests, and for the demo where no real model server can be installed (``python -m gateway.demo.scripted --port N``). A *script* is a
sequence of steps; after its last step the connection waits for the next request, unless a step closed or reset it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import httptools

CHUNKED = "chunked"


@dataclass(frozen=True, slots=True)
class Send:
    """Write bytes and wait until the client has taken enough of them."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until the test sets an event."""

    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection with a RST."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in an orderly way."""


Step = Send | Sleep | Until | Reset | Close
Script = tuple[Step, ...]


class Recorded:
    """One request as it came in. ``left`` is set when the client closed the connection before the script was over."""

    __slots__ = ("body", "connection", "headers", "left", "left_at", "method", "path")

    def __init__(
        self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes, connection: int
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers  # names in lower case, in the order sent
        self.body = body
        self.connection = connection  # counts from 1: shows whether a connection was used again
        self.left = asyncio.Event()
        self.left_at: float | None = None  # loop time

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


Handler = Callable[[Recorded], Script]


def head(status: int = 200, *, content_type: str = "application/json", length: int | str | None = None) -> bytes:
    """A response head; ``length`` is a number of bytes, CHUNKED, or None for a body that ends with the connection."""
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {content_type}"]
    if length == CHUNKED:
        lines.append("transfer-encoding: chunked")
    elif length is None:
        lines.append("connection: close")
    else:
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; of no bytes, the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def plays(*data: bytes) -> Script:
    """Raw bytes, each written on its own."""
    return tuple(Send(piece) for piece in data)


def unary(body: bytes, status: int = 200, content_type: str = "application/json") -> Script:
    """A whole answer with its length."""
    return (Send(head(status, content_type=content_type, length=len(body)) + body),)


def streamed(events: Iterable[bytes], *, pace: float = 0.0, content_type: str = "text/event-stream") -> Script:
    """An answer in chunks, ``pace`` seconds before each."""
    steps: list[Step] = [Send(head(content_type=content_type, length=CHUNKED))]
    for event in events:
        if pace > 0:
            steps.append(Sleep(pace))
        steps.append(Send(chunk(event)))
    return (*steps, Send(chunk(b"")))


class ScriptedUpstream:
    """An async context manager that listens on loopback (or a Unix socket) and answers by path.

    ``script(answer)`` sets what every path is answered with, ``script(answer, path=...)`` one path; unset paths get 404. An answer is a
    Script or a function of the request that gives one.
    """

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None, unix: Path | None = None) -> None:
        self.requests: list[Recorded] = []
        self.connections = 0  # accepted so far
        self.open = 0  # open now
        self._port = port
        self._tls = tls
        self._unix = unix
        self._answers: dict[str | None, Script | Handler] = {}
        self._server: asyncio.Server | None = None
        self._live: set[_Connection] = set()

    def script(self, answer: Script | Handler, *, path: str | None = None) -> None:
        """Set the answer for one path, or for all that have none of their own."""
        self._answers[path] = answer

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        assert self._server is not None
        return cast("int", self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The base address."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://localhost" if self._unix is not None else f"{scheme}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._unix is not None:
            self._server = await loop.create_unix_server(lambda: _Connection(self), str(self._unix), ssl=self._tls)
        else:
            self._server = await loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self._port, ssl=self._tls, backlog=1024
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        gone = [connection.end() for connection in tuple(self._live)]
        await asyncio.gather(*gone)
        await self._server.wait_closed()

    def joined(self, connection: _Connection) -> int:
        """A connection was accepted; gives its number."""
        self._live.add(connection)
        self.connections += 1
        self.open += 1
        return self.connections

    def parted(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._live.discard(connection)
        self.open -= 1

    def answer(self, request: Recorded) -> Script:
        """Record a request and find its script."""
        self.requests.append(request)
        answer = self._answers.get(request.path, self._answers.get(None))
        if answer is None:
            return unary(b'{"error":{"message":"no script for this path"}}', 404)
        return answer(request) if callable(answer) else answer


class _Connection(asyncio.Protocol):
    """Parses requests and plays their scripts one after the other."""

    def __init__(self, server: ScriptedUpstream) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Recorded] = deque()
        self._playing: Recorded | None = None
        self._player: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number = 0
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._server.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        now = asyncio.get_running_loop().time()
        for request in (self._playing, *self._waiting):
            if request is not None:
                request.left_at = now
                request.left.set()
        if self._player is not None:
            self._player.cancel()
        self._server.parted(self)
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    async def end(self) -> None:
        """Close at once and wait until it is done."""
        self._transport.abort()
        await self._gone
        if self._player is not None:
            await asyncio.gather(self._player, return_exceptions=True)

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        self._path = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        method, path = self._parser.get_method().decode("ascii"), self._path.decode("latin-1")
        self._waiting.append(Recorded(method, path, tuple(self._headers), b"".join(self._body), self._number))
        if self._player is None or self._player.done():
            self._player = asyncio.get_running_loop().create_task(self._play_all())

    # The player.

    async def _play_all(self) -> None:
        try:
            while self._waiting:
                self._playing = self._waiting.popleft()
                for step in self._server.answer(self._playing):
                    await self._play(step)
                self._playing = None
        except Exception as fault:  # noqa: BLE001 - a handler of a test is wrong: report it, and leave no client hanging
            context = {"message": "a script handler failed", "exception": fault}
            asyncio.get_running_loop().call_exception_handler(context)
            self._transport.abort()

    async def _play(self, step: Step) -> None:
        match step:
            case Send(data):
                self._transport.write(data)
                await self._room.wait()
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Until(event):
                await event.wait()
            case Reset():
                self._reset()
                await self._gone
            case _:  # Close
                self._transport.close()
                await self._gone

    def _reset(self) -> None:
        """RST instead of FIN: no lingering on close. Set through a duplicate, because uvloop's socket object cannot set options."""
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


if __name__ == "__main__":
    # The command lives in canned.py, which imports this module under its own name: its steps and ours must be of the same types.
    from gateway.demo.canned import main

    main()
