from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import transport_conformance as conformance

from gateway.demo.scripted import Recorded, Script, ScriptedUpstream, Sleep, Until, unary
from gateway.upstream import FastTransport
from gateway.upstream.connection import HIGH_WATER, Connection


class FakeTransport(asyncio.Transport):
    """Records what a connection does to its transport."""

    def __init__(self) -> None:
        super().__init__()
        self.did: list[str] = []
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self

    def fileno(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.did.append("write")

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.did.append("abort")
        self.closing = True


def connected(total_at: float = float("inf")) -> tuple[Connection, FakeTransport]:
    """A connection with an exchange under way on a fake transport."""
    connection, transport = Connection(asyncio.get_running_loop()), FakeTransport()
    connection.connection_made(transport)
    connection.begin(total_at)
    return connection, transport


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


async def test_reading_pauses_once_and_resumes_when_taken() -> None:
    """Beyond the high-water mark reading pauses; taking the buffer resumes it."""
    connection, transport = connected()
    connection.data_received(HEAD)
    for _ in range(3):
        connection.data_received(b"x" * (HIGH_WATER // 2 + 1))
    assert transport.did == ["pause"]
    assert len(await connection.read(1)) == 3 * (HIGH_WATER // 2 + 1)
    assert transport.did == ["pause", "resume"]


async def test_a_rest_leaves_bytes_to_the_kernel() -> None:
    """While a connection rests nothing is read; the next wait for bytes resumes it, and an answer that is whole does not rest."""
    connection, transport = connected()
    connection.data_received(HEAD + b"x")
    assert await connection.read(1) == b"x"
    await connection.rest(0.001)
    assert transport.did == ["pause"]
    reading = asyncio.ensure_future(connection.read(30))
    await asyncio.sleep(0)
    assert transport.did == ["pause", "resume"]
    connection.data_received(b"y" * 999_999)
    assert len(await reading) == 999_999
    await connection.rest(60)
    assert await connection.read(1) == b""


async def test_nothing_is_asked_of_a_closed_transport() -> None:
    """Bytes that still come while the transport closes neither pause nor resume it, and are delivered."""
    connection, transport = connected()
    transport.closing = True
    connection.data_received(HEAD + b"x" * (HIGH_WATER + 1))
    await connection.read(1)
    assert transport.did == []
    assert not await connection.send(b"more", 1)


async def test_closed_while_paused() -> None:
    """A connection that closes while reading is paused gives what it has and does not touch its transport."""
    connection, transport = connected()
    connection.data_received(HEAD + b"x" * (HIGH_WATER + 1))
    connection.connection_lost(None)
    assert len(await connection.read(1)) == HIGH_WATER + 1
    assert "resume" not in transport.did
    with pytest.raises(httpx.ReadError):
        await connection.read(1)


async def test_no_exchange_no_answer() -> None:
    """Asking an idle connection for a head or a body is an error, not a wait."""
    connection = Connection(asyncio.get_running_loop())
    with pytest.raises(httpx.ReadError):
        await connection.head(1)
    with pytest.raises(httpx.ReadError):
        await connection.read(1)
    assert not connection.usable()
    assert not connection.finish()


async def test_a_malformed_answer_drops_the_connection() -> None:
    """The first bad byte closes the connection."""
    connection, transport = connected()
    connection.data_received(b"nonsense")
    assert transport.did == ["abort"]
    with pytest.raises(httpx.RemoteProtocolError):
        await connection.head(1)
    assert not connection.finish()


async def test_an_unfinished_request_spoils_the_connection() -> None:
    """An answer that is complete before the request went out whole leaves bytes in doubt, so the connection goes."""
    connection, transport = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert not connection.finish()
    assert transport.did == ["abort"]


async def test_an_expired_deadline_does_not_wait() -> None:
    """A step that starts after its deadline fails at once."""
    connection, _ = connected(total_at=0.0)
    with pytest.raises(httpx.ReadTimeout):
        await connection.head(1)


async def test_a_nearer_deadline_moves_the_timer(tmp_path: Path) -> None:
    """A short deadline after a long one on the same connection rings in its own time, and a long one after a short one too."""

    def script(request: Recorded) -> Script:
        return (Sleep(30),) if request.body == b"stall" else (Sleep(0.001), *unary(b"{}"))

    kit = conformance.Kit(FastTransport, tmp_path)
    async with conformance.stage(kit, script) as (transport, upstream):
        for limit in (1.0, 20.0, 1.0, 20.0):
            assert await conformance.ask(transport, upstream.url, read=limit) == b"{}"
        await asyncio.sleep(1.1)  # the short timer rings while nobody waits
        assert await conformance.ask(transport, upstream.url, read=15.0) == b"{}"
        start = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            await conformance.ask(transport, upstream.url, b"stall", read=0.1)
        assert 0.09 <= time.monotonic() - start < 15  # far from the 20 s that the timer was set to before
        assert upstream.connections == 1


async def test_an_early_ring_is_set_again(tmp_path: Path) -> None:
    """A timer that was set for an earlier exchange and rings during a later one with more time ends nothing."""
    gate = asyncio.Event()

    def script(request: Recorded) -> Script:
        return (Until(gate), *unary(b"{}")) if request.body == b"wait" else (Sleep(0.001), *unary(b"{}"))

    async with ScriptedUpstream() as upstream, FastTransport() as transport:
        upstream.script(script)
        assert await conformance.ask(transport, upstream.url, read=1.0) == b"{}"
        waiting = asyncio.ensure_future(conformance.ask(transport, upstream.url, b"wait", read=20.0))
        await asyncio.sleep(1.1)
        assert not waiting.done()
        gate.set()
        assert await waiting == b"{}"
        assert upstream.connections == 1
