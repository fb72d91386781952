"""Gateways in the test's own loop, for what a process does not show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app.gateway import Gateway
from gateway.settings.load import load
from gateway.settings.model import Settings

Make = Callable[..., Settings]
Start = Callable[[Settings], Awaitable[Gateway]]


@pytest.fixture
def make(tmp_path: Path, model_server: str) -> Make:
    """Settings of a gateway on free ports; keywords replace keys of the file."""

    def settings(**more: Any) -> Settings:
        model = {"name": "demo-model", "aliases": ["demo"], "asl": 3, "upstream": {"url": model_server}}
        address = {"address": "127.0.0.1:0"}
        given: dict[str, Any] = {
            "listen": address,
            "admin": address,
            "state": str(tmp_path / "state"),
            "deadlines": {"grace": 0, "drain": 5},
            "classifiers": False,
            "models": [model],
        }
        return load(None, {}, {**given, **more})

    return settings


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts gateways; ``addresses`` is where they listen. All are closed in the end."""
    started: list[Gateway] = []

    async def begin(settings: Settings) -> Gateway:
        gateway = Gateway(settings, {})
        started.append(gateway)
        gateway.addresses = await gateway.start()  # type: ignore[attr-defined]  # for the test's convenience
        return gateway

    yield begin
    for gateway in started:
        await gateway.close()
