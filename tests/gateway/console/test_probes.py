"""The probes listener: health and nothing else, for whoever asks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.asgi import scope

from gateway.app.readiness import Readiness
from gateway.console.probes import Probes


async def ask(method: str, path: bytes, *, ready: bool = True) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of one answer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Probes(Readiness({"draining": lambda: not ready}))(scope(method, path), None, send)
    start, body = sent
    headers = {name.decode(): text.decode() for name, text in start["headers"]}
    assert headers["content-length"] == str(len(body["body"]))
    return start["status"], headers, json.loads(body["body"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_is_told(method: str) -> None:
    """As the admin plane tells it; not ready is 503 with the reasons, alive all the same."""
    assert (await ask(method, b"/livez"))[::2] == (200, {"status": "ok"})
    assert (await ask(method, b"/readyz"))[::2] == (200, {"ready": True, "reasons": []})
    assert (await ask(method, b"/readyz", ready=False))[::2] == (503, {"ready": False, "reasons": ["draining"]})
    assert (await ask(method, b"/livez", ready=False))[0] == 200


@pytest.mark.parametrize(
    "path", [b"/", b"/metrics", b"/api/v1/models", b"/livez/", b"//livez", b"/v1/chat/completions"]
)
async def test_nothing_else_is_there(path: bytes) -> None:
    """Neither the admin plane nor the data plane, nor a path that only looks like one of the two."""
    assert (await ask("GET", path))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [b"/livez", b"/readyz"])
async def test_nothing_can_be_done(method: str, path: bytes) -> None:
    """Only reading."""
    assert (await ask(method, path))[0] == 404


async def test_other_protocols_are_left_alone() -> None:
    """A scope that is not HTTP is answered by nothing."""
    await Probes(Readiness())({"type": "websocket"}, None, None)  # type: ignore[arg-type]  # it is not called
