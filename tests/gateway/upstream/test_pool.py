from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from support import transport_conformance as conformance
from support.descriptors import few_descriptors

from gateway.demo.scripted import Recorded, Script, ScriptedUpstream, Sleep, Until, unary
from gateway.upstream import FastTransport, PoolLimits
from gateway.upstream.connection import Connection
from gateway.upstream.pool import Pool


@asynccontextmanager
async def stage(
    script: Script | Callable[[Recorded], Script], **limits: float
) -> AsyncIterator[tuple[FastTransport, ScriptedUpstream]]:
    """Our transport with these pool limits, and a scripted server."""
    async with ScriptedUpstream() as upstream, FastTransport(limits=PoolLimits(**limits)) as transport:  # type: ignore[arg-type]  # one dict for int and float fields
        upstream.script(script)
        yield transport, upstream


async def settled(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds; a second at most."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_newest_idle_connection_first() -> None:
    """Of several idle connections the one used last is used again, so that the others can grow old."""
    gate = asyncio.Event()
    async with stage((Until(gate), *unary(b"{}"))) as (transport, upstream):
        pair = [asyncio.ensure_future(conformance.ask(transport, upstream.url)) for _ in range(2)]
        await settled(lambda: len(upstream.requests) == 2)
        gate.set()
        await asyncio.gather(*pair)
        assert transport.pool.idle == 2
        newest = transport.pool._idle[("http", "127.0.0.1", upstream.port)][-1]
        for _ in range(3):
            await conformance.ask(transport, upstream.url)
            assert transport.pool._idle[("http", "127.0.0.1", upstream.port)][-1] is newest
        assert upstream.connections == 2


async def test_closing_late_disturbs_nobody() -> None:
    """A response that is closed after its connection went on to another exchange leaves that one alone."""
    gate = asyncio.Event()

    def script(request: Recorded) -> Script:
        return (Until(gate), *unary(b"second")) if request.body == b"second" else unary(b"first")

    async with stage(script) as (transport, upstream):
        first = await conformance.send(transport, upstream.url)
        assert b"".join([piece async for piece in first.stream]) == b"first"
        second = asyncio.ensure_future(conformance.ask(transport, upstream.url, b"second"))
        await settled(lambda: len(upstream.requests) == 2)
        await first.stream.aclose()
        gate.set()
        assert await second == b"second"
        assert upstream.connections == 1


async def test_idle_connections_expire() -> None:
    """A connection that nobody used for ``idle`` seconds is closed, and the sweeping ends with the last one."""
    async with stage(unary(b"{}"), idle=0.03) as (transport, upstream):
        await conformance.ask(transport, upstream.url)
        assert transport.pool.idle == 1
        await settled(lambda: upstream.open == 0)
        assert transport.pool.idle == 0
        assert transport.pool._sweeper is None


async def test_sweeping_spares_the_young() -> None:
    """A connection that became idle later than the first is kept until its own time."""
    slow = asyncio.Event()

    def script(request: Recorded) -> Script:
        return (Until(slow), *unary(b"{}")) if request.body == b"slow" else unary(b"{}")

    async with stage(script, idle=0.2) as (transport, upstream):
        later = asyncio.ensure_future(conformance.ask(transport, upstream.url, b"slow"))
        await settled(lambda: len(upstream.requests) == 1)
        await conformance.ask(transport, upstream.url)
        await asyncio.sleep(0.12)
        slow.set()
        await later
        for left in (1, 0):
            await settled(lambda left=left: transport.pool.idle == left)
            await settled(lambda left=left: upstream.open == left)


async def test_expired_connection_is_not_used_before_the_sweep() -> None:
    """Age is looked at when a connection is taken, not only by the sweeper."""
    async with stage(unary(b"{}"), idle=30.0) as (transport, upstream):
        await conformance.ask(transport, upstream.url)
        (line,) = transport.pool._idle.values()
        line[0].idle_since -= 31
        await conformance.ask(transport, upstream.url)
        assert [request.connection for request in upstream.requests] == [1, 2]


async def test_unasked_bytes_close_an_idle_connection() -> None:
    """A server that speaks out of turn loses the connection at once."""
    async with stage((*unary(b"{}"), Sleep(0.01), *unary(b"foreign"))) as (transport, upstream):
        await conformance.ask(transport, upstream.url)
        await settled(lambda: upstream.open == 0)
        assert await conformance.ask(transport, upstream.url) == b"{}"


async def test_limit_makes_others_wait_their_turn() -> None:
    """No more connections than the limit; the rest are served in the order in which they came."""
    async with stage(lambda request: (Sleep(0.005), *unary(request.body)), connections=2) as (transport, upstream):
        bodies = [str(number).encode() for number in range(10)]
        assert await asyncio.gather(*(conformance.ask(transport, upstream.url, body) for body in bodies)) == bodies
        assert upstream.connections == 2
        assert sorted(request.body for request in upstream.requests[:2]) == bodies[:2]
        assert sorted(request.body for request in upstream.requests[-2:]) == bodies[-2:]


async def test_full_line_refuses_at_once() -> None:
    """Beyond the bounded line nobody waits: httpx.PoolTimeout comes immediately."""
    gate = asyncio.Event()
    async with stage((Until(gate), *unary(b"{}")), connections=1, waiters=1) as (transport, upstream):
        asked = [asyncio.ensure_future(conformance.ask(transport, upstream.url)) for _ in range(2)]
        await settled(lambda: len(transport.pool._waiters) == 1)
        with pytest.raises(httpx.PoolTimeout):
            await conformance.ask(transport, upstream.url, pool=30)
        gate.set()
        assert await asyncio.gather(*asked) == [b"{}", b"{}"]


async def test_waiting_has_a_deadline_and_leaves_the_line() -> None:
    """Who waited too long gets httpx.PoolTimeout and stands in nobody's way afterwards."""
    gate = asyncio.Event()
    async with stage((Until(gate), *unary(b"{}")), connections=1) as (transport, upstream):
        first = asyncio.ensure_future(conformance.ask(transport, upstream.url))
        await settled(lambda: len(upstream.requests) == 1)
        with pytest.raises(httpx.PoolTimeout):
            await conformance.ask(transport, upstream.url, pool=0.02)
        assert not transport.pool._waiters
        gate.set()
        await first
        assert await conformance.ask(transport, upstream.url) == b"{}"
        assert transport.pool.busy == 0


async def test_total_bounds_the_line_too() -> None:
    """Time in line counts towards the whole exchange."""
    async with stage((Sleep(30),), connections=1) as (transport, upstream):
        first = asyncio.ensure_future(conformance.ask(transport, upstream.url))
        await settled(lambda: len(upstream.requests) == 1)
        with pytest.raises(httpx.PoolTimeout):
            await conformance.ask(transport, upstream.url, pool=30, total=0.02)
        first.cancel()
        await asyncio.wait([first])


async def test_cancelled_waiter_passes_its_turn_on() -> None:
    """A slot that is handed to a waiter in the very moment of its cancellation goes to the next one, before or after."""
    loop = asyncio.get_running_loop()
    for cancel_first in (True, False):
        pool = Pool(PoolLimits(connections=1), lambda _: asyncio.sleep(0, Connection(loop)))
        held = await pool.lease(("http", "h", 80), None, None)
        second, third = (asyncio.ensure_future(pool.lease(("http", "h", 80), None, None)) for _ in range(2))
        await asyncio.sleep(0)
        if cancel_first:
            second.cancel()
        pool.give_back(held)
        second.cancel()
        pool.give_back(await third)
        assert second.cancelled()
        assert (pool.busy, len(pool._waiters)) == (0, 0)


async def test_cancelled_in_line() -> None:
    """A waiter that is cancelled before its turn only leaves the line."""
    async with stage((Sleep(30),), connections=1) as (transport, upstream):
        first, second = (asyncio.ensure_future(conformance.ask(transport, upstream.url)) for _ in range(2))
        await settled(lambda: len(transport.pool._waiters) == 1)
        second.cancel()
        await asyncio.wait([second])
        assert (len(transport.pool._waiters), transport.pool.busy) == (0, 1)
        first.cancel()
        await asyncio.wait([first])
        assert transport.pool.busy == 0
        await settled(lambda: upstream.open == 0)


async def test_idle_connections_of_others_make_room() -> None:
    """Idle and busy connections together keep the limit: the oldest idle one of another origin goes."""
    async with stage(unary(b"one"), connections=1) as (transport, one), ScriptedUpstream() as two:
        two.script(unary(b"two"))
        assert await conformance.ask(transport, one.url) == b"one"
        assert await conformance.ask(transport, two.url) == b"two"
        await settled(lambda: one.open == 0)
        assert transport.pool.idle == 1


async def test_failures_free_their_slot() -> None:
    """A refused connection does not use up the limit."""
    async with ScriptedUpstream() as gone:
        dead = gone.url
    async with stage(unary(b"{}"), connections=1) as (transport, upstream):
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await conformance.ask(transport, dead)
        assert await conformance.ask(transport, upstream.url) == b"{}"


async def test_connect_deadline() -> None:
    """A server that accepts but never finishes the handshake is given up after ``connect`` seconds."""

    class Mute(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            accepted.append(transport)

    accepted: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(Mute, "127.0.0.1", 0)
    async with FastTransport() as transport:
        with pytest.raises(httpx.ConnectTimeout):
            await conformance.send(transport, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", connect=0.05)
        assert transport.pool.busy == 0
    server.close()
    for open_transport in accepted:
        open_transport.abort()
    await asyncio.sleep(0)


@pytest.mark.parametrize("more", [1, 2])
async def test_out_of_descriptors(more: int) -> None:
    """No descriptor for a connection, or one of the last: told apart from a server that is away, and served when there are more."""
    async with stage(unary(b"{}")) as (transport, upstream):
        with few_descriptors(more - 1), pytest.raises(httpx.PoolTimeout):
            await conformance.ask(transport, upstream.url)
        assert await conformance.ask(transport, upstream.url) == b"{}"
        assert len(upstream.requests) == 1


async def test_closed_while_connecting() -> None:
    """A connection that opens after the pool was closed is closed too, and the exchange fails."""
    async with stage(unary(b"{}")) as (transport, upstream):
        task = asyncio.ensure_future(conformance.ask(transport, upstream.url))
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(httpx.ConnectError):
            await task
        await settled(lambda: upstream.open == 0)
        assert upstream.requests == []


async def test_closed_while_in_line() -> None:
    """Those in line fail when the pool closes; none of them connects."""
    async with stage((Sleep(30),), connections=1) as (transport, upstream):
        tasks = [asyncio.ensure_future(conformance.ask(transport, upstream.url)) for _ in range(3)]
        await settled(lambda: len(upstream.requests) == 1)
        await transport.aclose()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(failure) for failure in failures] == [httpx.ReadError, httpx.ConnectError, httpx.ConnectError]
        assert upstream.connections == 1


async def test_closing_twice_is_harmless() -> None:
    """A second close finds nothing to do."""
    async with stage(unary(b"{}")) as (transport, upstream):
        await conformance.ask(transport, upstream.url)
        await transport.aclose()
        await transport.aclose()
        await settled(lambda: upstream.open == 0)
