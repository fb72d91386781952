"""Raw bytes to a loopback port and what comes back, for everything that a polite client cannot say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from gateway.edge import EdgeSettings, edge_protocol


async def exchange_raw(port: int, *parts: bytes, wait: float = 3.0, pause: float = 0.0) -> bytes:
    """Send parts one after the other, then read until the server closes or ``wait`` seconds pass."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(wait):
            while data := await reader.read(65536):
                received += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return bytes(received)


@dataclass
class EdgeServer:
    """A listener with our protocol and an application that records what it saw."""

    port: int = 0
    refused: list[str] = field(default_factory=list)
    seen: list[tuple[str, str, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    large: int = 0
    delay: float = 0.0
    unread: bool = False  # answer without reading the body
    gate: asyncio.Event | None = None  # answers wait for it
    state: ServerState = field(default_factory=ServerState)

    @property
    def connections(self) -> list[Any]:
        """The protocols of all open connections."""
        return list(self.state.connections)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.005)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body, record the request, answer 200."""
        headers = list(scope["headers"])
        body = b""
        while not self.unread:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append((scope["method"], scope["raw_path"].decode(), headers, body))
        if self.gate is not None:
            await self.gate.wait()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(2 + self.large).encode())],
            }
        )
        await send({"type": "http.response.body", "body": b"ok", "more_body": True})
        await asyncio.sleep(self.delay)
        await send({"type": "http.response.body", "body": b"x" * self.large})


@asynccontextmanager
async def edge_server(settings: EdgeSettings) -> AsyncIterator[EdgeServer]:
    """Serve on a free loopback port."""
    server = EdgeServer()
    protocol = edge_protocol(settings, server.refused.append)
    config = Config(
        app=lambda scope, receive, send: server.app(scope, receive, send),  # noqa: PLW0108  a test may put another in its place
        interface="asgi3",
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    state = server.state
    listener = await asyncio.get_running_loop().create_server(
        lambda: protocol(config=config, server_state=state, app_state={}),  # type: ignore[call-arg]
        "127.0.0.1",
        0,
    )
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0)
        await listener.wait_closed()
