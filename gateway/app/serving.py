"""Listeners: uvicorn servers on sockets of ours, without its signal handling, which belongs to the whole process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from gateway.app.door import Door, DoorLimits
from gateway.edge import EdgeProtocol


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server speaks TLS. ``context`` is asked for each connection, ``failed`` told why each failed handshake failed."""

    context: Callable[[], ssl.SSLContext]
    failed: Callable[[str], None]
    limits: DoorLimits


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone, and whose TLS connections come through a door of ours."""

    def __init__(self, config: uvicorn.Config, tls: Tls | None = None) -> None:
        super().__init__(config)
        self._tls = tls
        self._doors: list[tuple[Door, asyncio.Task[None]]] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured here."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        if self._tls is None:
            await super().startup(sockets)
            return
        await super().startup([])
        for listener in sockets or ():
            door = Door(listener, self._protocol, self._tls.context, self._tls.failed, self._tls.limits)
            self._doors.append((door, asyncio.create_task(door.stand_open())))

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes it for servers of its own."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, then let connections finish."""
        for door, task in self._doors:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await door.shut()
        await super().shutdown(sockets)

    def abort(self) -> None:
        """Drop every connection that is still open, with what is buffered for it."""
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


class ListenError(Exception):
    """An address cannot be listened on."""


def listen(address: str) -> socket.socket:
    """A listening socket for ``host:port``. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ListenError(f"{address}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """``http://host:port`` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def server(
    app: Callable[..., Any], protocol: type[EdgeProtocol], keep_alive: float, drain: float, tls: Tls | None = None
) -> Server:
    """A server for one plane."""
    return Server(
        uvicorn.Config(
            app=app,
            interface="asgi3",
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(keep_alive),
            timeout_graceful_shutdown=int(drain) + 5,
        ),
        tls,
    )
