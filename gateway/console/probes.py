"""The probes' application: ``/livez`` and ``/readyz`` alone, for kubelets. No token, and nothing of the admin plane."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.app.readiness import Readiness

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LIVE = {"status": "ok"}


def ready_body(readiness: Readiness) -> tuple[int, dict[str, Any]]:
    """Status and body of ``/readyz``, here and on the admin plane."""
    reasons = readiness.reasons()
    return (503 if reasons else 200), {"ready": not reasons, "reasons": reasons}


class Probes:
    """A plain ASGI application. Paths are matched byte for byte; whatever else is asked for is not here."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, scope: MutableMapping[str, Any], receive: object, send: Send) -> None:
        """Answer one request; its body, if it has one, is not read."""
        if scope["type"] != "http":
            return
        status, body = self._answer(scope["method"], scope["raw_path"])
        data = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    def _answer(self, method: str, path: bytes) -> tuple[int, dict[str, Any]]:
        if method in {"GET", "HEAD"} and path == b"/livez":
            return 200, LIVE
        if method in {"GET", "HEAD"} and path == b"/readyz":
            return ready_body(self._readiness)
        return 404, {"error": "only /livez and /readyz are here"}
