"""Listeners: uvicorn servers on sockets of ours, without its signal handling, which belongs to the whole process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from gateway.edge import EdgeProtocol


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured here."""
        yield

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


def url_of(listener: socket.socket) -> str:
    """``http://host:port`` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(app: Callable[..., Any], protocol: type[EdgeProtocol], keep_alive: float, drain: float) -> Server:
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
        )
    )
