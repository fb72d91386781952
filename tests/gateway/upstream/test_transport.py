from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import uvloop
from support import transport_conformance as conformance
from support.tls import authority

from gateway.demo.scripted import Recorded, Reset, Script, ScriptedUpstream, Send, Sleep, head, streamed, unary
from gateway.upstream import FastTransport
from gateway.upstream.connection import HIGH_WATER, TotalTimeout

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


OURS = conformance.CHECKS | conformance.STRICTER


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("check", OURS)
def test_own_transport_conforms(check: str, loop: str, tmp_path: Path) -> None:
    """Our transport does what every transport must do, on both event loops."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(OURS[check](conformance.Kit(FastTransport, tmp_path)))


@pytest.mark.parametrize("check", conformance.CHECKS)
def test_httpx_transport_conforms(check: str, tmp_path: Path) -> None:
    """httpx's own transport passes the same suite, so the suite describes the interface and not our implementation."""
    with asyncio.Runner() as runner:
        runner.run(conformance.CHECKS[check](conformance.Kit(httpx.AsyncHTTPTransport, tmp_path)))


async def stalled(request: Recorded) -> None:
    """Until the client is gone, or a second has passed."""
    await asyncio.wait_for(request.left.wait(), 30)


async def settled(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds; half a minute at most."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_first_byte_has_its_own_deadline(tmp_path: Path) -> None:
    """``first_byte`` bounds the wait for the head, whatever ``read`` allows."""
    async with conformance.stage(kit(tmp_path), (Sleep(30),)) as (transport, upstream):
        with pytest.raises(httpx.ReadTimeout):
            await conformance.send(transport, upstream.url, first_byte=0.3, read=30)
        await stalled(upstream.requests[0])


async def test_interim_responses_do_not_move_the_first_byte_deadline(tmp_path: Path) -> None:
    """A server that only ever sends 103 misses the deadline like a silent one."""
    hint = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    script = tuple(step for _ in range(3000) for step in (Send(hint), Sleep(0.01)))
    async with conformance.stage(kit(tmp_path), script) as (transport, upstream):
        with pytest.raises(httpx.ReadTimeout):
            await conformance.send(transport, upstream.url, first_byte=0.3)


async def test_bytes_that_are_not_body_do_not_move_the_idle_deadline(tmp_path: Path) -> None:
    """An endless chunk extension delivers nothing, so the idle deadline ends it."""
    script = (Send(head(length="chunked") + b"1;"), *(step for _ in range(3000) for step in (Send(b"x"), Sleep(0.01))))
    async with conformance.stage(kit(tmp_path), script) as (transport, upstream):
        response = await conformance.send(transport, upstream.url, read=0.5)
        with pytest.raises(httpx.ReadTimeout):
            await conformance.read(response)


@pytest.mark.parametrize("script", [(Sleep(30),), streamed([b"x"] * 200, pace=0.01)])
async def test_total_bounds_the_whole_exchange(script: Script, tmp_path: Path) -> None:
    """``total`` ends a silent server and one that keeps on talking alike, and closes the connection."""
    async with conformance.stage(kit(tmp_path), script) as (transport, upstream):
        with pytest.raises(TotalTimeout):
            await conformance.ask(transport, upstream.url, total=0.05)
        await stalled(upstream.requests[0])


async def test_total_is_seen_by_a_slow_reader(tmp_path: Path) -> None:
    """A reader that comes back after the deadline is told so, even with bytes waiting."""
    async with conformance.stage(kit(tmp_path), (Send(head(length=10) + b"half"), Sleep(30))) as (transport, upstream):
        response = await conformance.send(transport, upstream.url, total=0.5)
        await asyncio.sleep(0.6)
        with pytest.raises(TotalTimeout):
            await conformance.read(response)


@pytest.mark.parametrize("loop", LOOPS)
def test_back_pressure(loop: str, tmp_path: Path) -> None:
    """A reader that does not read stops the server within bounded memory, and gets every byte once it does."""

    async def scenario() -> None:
        body = conformance.BIG * 8  # more than the socket buffers of both sides can hide
        async with conformance.stage(kit(tmp_path), unary(body)) as (transport, upstream):
            response = await conformance.send(transport, upstream.url)
            connection = next(iter(transport.pool._leased))
            await asyncio.sleep(0.1)
            assert HIGH_WATER < connection._reader.buffered <= HIGH_WATER + 256 * 1024
            assert await conformance.read(response) == body

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario())


async def test_write_deadline(tmp_path: Path) -> None:
    """A server that reads nothing of a long request is given up after ``write`` seconds."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with FastTransport() as transport:
            with pytest.raises(httpx.WriteTimeout):
                await conformance.send(
                    transport, f"http://127.0.0.1:{deaf.getsockname()[1]}", conformance.BIG * 8, write=0.05
                )


async def test_early_answer_ends_a_bytes_body(tmp_path: Path) -> None:
    """A refusal that comes while the body is still going out is delivered, and the half-used connection is dropped."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    async with early(refusal) as url, FastTransport() as transport:
        response = await conformance.send(transport, url, conformance.BIG * 8)
        assert (response.status_code, await conformance.read(response)) == (413, b"big")
        assert (transport.pool.idle, transport.pool.busy) == (0, 0)


async def test_early_answer_ends_a_streamed_body(tmp_path: Path) -> None:
    """An endless request body stops when the answer begins."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0)

    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    async with early(refusal) as url, FastTransport() as transport:
        response = await conformance.send(transport, url, endless())
        assert (response.status_code, await conformance.read(response)) == (413, b"big")
        assert transport.pool.idle == 0


async def test_body_that_contradicts_its_length(tmp_path: Path) -> None:
    """A streamed body longer or shorter than its Content-Length is our own fault, and spoils the connection."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b""
        yield b"12345"

    async with conformance.stage(kit(tmp_path), unary(b"{}")) as (transport, upstream):
        for length, fits in ((4, False), (5, True), (6, False)):
            request = httpx.Request("POST", upstream.url, content=pieces(), headers={"content-length": str(length)})
            if fits:
                assert await conformance.read(await transport.handle_async_request(request)) == b"{}"
                continue
            with pytest.raises(httpx.LocalProtocolError):
                await transport.handle_async_request(request)
        assert [request.body for request in upstream.requests] == [b"12345"]


async def test_bytes_body_must_match_its_length(tmp_path: Path) -> None:
    """A bytes body of another length than stated never goes out."""
    async with conformance.stage(kit(tmp_path), unary(b"{}")) as (transport, upstream):
        request = httpx.Request("POST", upstream.url, content=b"12345", headers={"content-length": "4"})
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request)
        assert upstream.requests == []


async def test_only_http_and_https(tmp_path: Path) -> None:
    """Other schemes are refused before anything is opened."""
    async with FastTransport() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(httpx.Request("GET", "ftp://localhost/"))


async def test_system_roots_by_default(tmp_path: Path) -> None:
    """Without a context of its own the transport trusts the system's roots, hence not a test authority."""
    async with ScriptedUpstream(tls=authority(tmp_path).server) as upstream, FastTransport() as transport:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await conformance.send(transport, upstream.url)


async def test_no_environment_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables change nothing."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with conformance.stage(kit(tmp_path), unary(b"direct")) as (transport, upstream):
        assert await conformance.ask(transport, upstream.url) == b"direct"


async def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    """Closing the transport breaks waits for a head and for a body, and refuses what comes later."""
    script = (Send(head(length=10) + b"half"), Sleep(30))
    async with ScriptedUpstream() as upstream, FastTransport() as transport:
        upstream.script(lambda request: script if len(upstream.requests) == 1 else (Sleep(30),))
        response = await conformance.send(transport, upstream.url)
        reading = asyncio.ensure_future(conformance.read(response))
        waiting = asyncio.ensure_future(conformance.send(transport, upstream.url))
        await settled(lambda: len(upstream.requests) == 2)
        await transport.aclose()
        for task in (reading, waiting):
            with pytest.raises(httpx.ReadError):
                await task
        with pytest.raises(httpx.ConnectError):
            await conformance.send(transport, upstream.url)


async def test_a_body_is_over_once(tmp_path: Path) -> None:
    """After its end, and after closing, a body gives nothing more and may be closed again."""
    async with conformance.stage(kit(tmp_path), unary(b"{}")) as (transport, upstream):
        response = await conformance.send(transport, upstream.url)
        assert await conformance.read(response) == b"{}"
        assert await conformance.read(response) == b""
        assert transport.pool.idle == 1


async def test_reset_delivers_what_came_before(tmp_path: Path) -> None:
    """Bytes read before a break are delivered, then the break is raised: what a reader sees does not hang on scheduling."""
    script = (Send(head(length=10) + b"half"), Sleep(0.01), Reset())
    async with conformance.stage(kit(tmp_path), script) as (transport, upstream):
        response = await conformance.send(transport, upstream.url)
        await settled(lambda: upstream.open == 0)
        await asyncio.sleep(0.01)
        pieces = aiter(response.stream)
        assert await anext(pieces) == b"half"
        with pytest.raises(httpx.ReadError):
            await anext(pieces)


PACE = 0.2
EVENTS = tuple(b"data: %d\n\n" % number for number in range(40))


async def pieces_of(tmp_path: Path, script: Script, pace: float) -> list[bytes]:
    """A body as it is given."""
    async with conformance.stage(kit(tmp_path), script) as (transport, upstream):
        response = await conformance.send(transport, upstream.url, pace=pace)
        return [piece async for piece in response.stream]  # type: ignore[union-attr]  # ours is asynchronous


async def test_a_fast_stream_is_given_at_its_pace(tmp_path: Path) -> None:
    """Events that come faster than the pace are gathered: none is lost, none changes its place, and the first one does not wait."""
    found = await pieces_of(tmp_path, streamed(EVENTS, pace=0.002), PACE)
    assert b"".join(found) == b"".join(EVENTS)
    assert len(found) < len(EVENTS) // 2


@pytest.mark.parametrize(
    ("script", "pace"),
    [
        (streamed(EVENTS[:5], pace=0.002, content_type="application/json"), 30.0),  # no event stream
        (streamed((EVENTS[0] * 4096,) * 5, pace=0.002), 30.0),  # large pieces
        (streamed(EVENTS[:1]), 30.0),  # one piece
        (streamed(EVENTS[:5], pace=0.02), 0.001),  # slower than the pace
    ],
    ids=["unary", "large", "single", "slow"],
)
async def test_nothing_else_waits_for_a_pace(script: Script, pace: float, tmp_path: Path) -> None:
    """Whole answers, large pieces and slow streams are given as they come, however long the pace is."""
    async with asyncio.timeout(20):
        assert await pieces_of(tmp_path, script, pace)


async def test_an_answer_that_waits_for_its_pace_can_be_let_go(tmp_path: Path) -> None:
    """A cancellation in the pause closes the connection at once, so that the model server stops."""
    async with conformance.stage(kit(tmp_path), streamed(EVENTS, pace=0.002)) as (transport, upstream):
        response = await conformance.send(transport, upstream.url, pace=60)
        reading = asyncio.ensure_future(conformance.read(response))
        await asyncio.sleep(0.05)
        assert not reading.done()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(upstream.requests[0].left.wait(), 30)
        assert (transport.pool.busy, transport.pool.idle) == (0, 0)  # type: ignore[attr-defined]  # the kit makes ours


def kit(scratch: Path) -> conformance.Kit:
    """Our transport in the shape that the shared helpers take."""
    return conformance.Kit(FastTransport, scratch)


@contextlib.asynccontextmanager
async def early(answer: bytes) -> AsyncIterator[str]:
    """A server that answers at the first bytes, stops reading, and keeps the connection open."""

    class Early(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.transport = transport
            open_now.append(transport)

        def data_received(self, data: bytes) -> None:
            self.transport.write(answer)
            self.transport.pause_reading()

    open_now: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(Early, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for transport in open_now:
            transport.abort()
        await asyncio.sleep(0)
