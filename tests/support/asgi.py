"""A plain ASGI caller: builds scopes by hand, plays messages in, records what comes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, MutableMapping
from typing import Any

from gateway.dataplane import DataPlane

Pair = tuple[bytes, bytes]


class Asgi:
    """One request. ``messages`` come in order; after the last one nothing comes until ``leave``."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self._messages = list(messages)
        self._left = asyncio.Event()

    async def receive(self) -> MutableMapping[str, Any]:
        """The next message."""
        if self._messages:
            return self._messages.pop(0)
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Record a message of the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        assert not self.ended
        self.data += message["body"]
        self.ended = not message["more_body"]

    def leave(self) -> None:
        """Hang up."""
        self._left.set()

    @property
    def body(self) -> Any:
        """The whole body as JSON."""
        return json.loads(self.data)


def scope(method: str, path: bytes, headers: Iterable[Pair] = ()) -> dict[str, Any]:
    """The scope of a request, as uvicorn makes it."""
    return {
        "type": "http",
        "method": method,
        "raw_path": path,
        "path": path.decode("latin-1"),
        "headers": list(headers),
    }


def posted(body: bytes, *, parts: int = 1) -> list[dict[str, Any]]:
    """A body in several messages."""
    size = max(1, -(-len(body) // parts))
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    return [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]


async def call(
    plane: DataPlane, method: str, path: bytes, headers: Iterable[Pair] = (), messages: Iterable[dict[str, Any]] = ()
) -> Asgi:
    """A whole request."""
    asgi = Asgi(*(messages or [{"type": "http.request"}]))
    await asyncio.wait_for(plane(scope(method, path, headers), asgi.receive, asgi.send), 30)
    return asgi
