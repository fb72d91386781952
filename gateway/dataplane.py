"""The data plane as one plain ASGI application: an exact table of routes, frozen heads, and the pipeline's ports over ASGI.

Routes are matched on the raw path, byte for byte; everything else is 404 and nothing is forwarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.edge_peer import PEER
from gateway.edge_response import direct
from gateway.errors import GatewayError, MethodNotAllowed, ModelNotFound, RouteNotFound
from gateway.exchange import Caller
from gateway.pipeline.counted import Refusals
from gateway.pipeline.life import Pipeline
from gateway.pipeline.ports import ClientGone, Headers, Visitor
from gateway.policy.holder import SnapshotHolder
from gateway.terms import Standing
from gateway.wire.base import Dialect, Reply
from gateway.wire.models import model_page, models_page

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MODELS = b"/v1/models"
JSON_UTF8 = frozenset({"application/json", "application/json;charset=utf-8", 'application/json;charset="utf-8"'})


class AsgiInbound:
    """A request body over ASGI. The head was frozen before the first read, so that no trailer can add to it."""

    def __init__(self, headers: Mapping[bytes, bytes], receive: Receive) -> None:
        self._receive = receive
        length = headers.get(b"content-length")
        self.declared = int(length) if length is not None else (None if b"transfer-encoding" in headers else 0)
        media = headers.get(b"content-type", b"").decode("latin-1").lower().replace(" ", "")
        self.media_type = "application/json" if media in JSON_UTF8 else media
        self.coding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
        self._more = True

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises ClientGone."""
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            self._more = bool(message.get("more_body", False))
            if data := message.get("body", b""):
                return bytes(data)
        return b""


class AsgiOutbound:
    """A response over ASGI."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send

    async def head(self, status: int, headers: Headers) -> None:
        """Status and headers."""
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, data: bytes) -> None:
        """Bytes of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The body is complete."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def gone(self) -> None:
        """Returns when the client has left. What it still sends is not read."""
        while (await self._receive())["type"] != "http.disconnect":
            continue


class DataPlane:
    """The ASGI application of the data plane."""

    def __init__(
        self, pipeline: Pipeline, dialects: Iterable[Dialect], holder: SnapshotHolder, refusals: Refusals, started: int
    ) -> None:
        self._pipeline, self._holder, self._refusals, self._started = pipeline, holder, refusals, started
        self._dialects = {dialect.path.encode(): dialect for dialect in dialects}
        self._shape = next(iter(self._dialects.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        path: bytes = scope["raw_path"]
        dialect = self._dialects.get(path)
        headers = dict(scope["headers"])  # a copy: httptools appends trailers to the list of the scope
        outbound = AsgiOutbound(receive, send)
        if dialect is not None and scope["method"] == "POST":
            caller = Caller(certificate=scope.get(PEER))
            visitor = Visitor(caller, AsgiInbound(headers, receive), direct(send) or outbound)
            await self._pipeline.run(dialect, visitor)
            return
        try:
            reply = self._other(path, scope["method"], b"anthropic-version" in headers)
        except GatewayError as error:
            self._refusals.count(error.code)
            shape = self._dialects.get(b"/v1/messages", self._shape) if b"anthropic-version" in headers else self._shape
            reply = shape.error(error, "none")
        await outbound.head(reply.status, reply.headers)
        await outbound.send(reply.body)
        await outbound.end()

    def _other(self, path: bytes, method: str, anthropic: bool) -> Reply:
        """Everything but an exchange. Raises RouteNotFound, MethodNotAllowed, ModelNotFound."""
        known = path in self._dialects or path == MODELS or path.startswith(MODELS + b"/")
        if not known:
            raise RouteNotFound("no such route; nothing was forwarded")
        if path in self._dialects or method != "GET":
            raise MethodNotAllowed(f"{method} is not allowed here")
        serving = [(name, self._started) for name, standing in self._standings() if standing is Standing.SERVING]
        if path == MODELS:
            return models_page(tuple(serving), anthropic=anthropic)
        name = unquote_to_bytes(path[len(MODELS) + 1 :]).decode("utf-8", "replace")
        for model in serving:
            if model[0] == name:
                return model_page(model, anthropic=anthropic)
        raise ModelNotFound("no model of this name may serve now")

    def _standings(self) -> Iterable[tuple[str, Standing]]:
        return ((name, entry.terms.standing) for name, entry in self._holder.current.entries.items())


async def every(seconds: float, act: Callable[[], None]) -> None:
    """Call ``act`` again and again, until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        act()
