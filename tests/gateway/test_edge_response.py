"""Answers written straight to a connection are, byte for byte, those that go through uvicorn."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from support.asgi import Asgi
from support.raw_http import EdgeServer, edge_server, exchange_raw

from gateway.dataplane import AsgiOutbound
from gateway.edge import EdgeSettings
from gateway.edge_response import DirectOutbound, direct
from gateway.pipeline.ports import Headers

ASK = b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
LAST = ASK.replace(b"Host: a", b"Host: a\r\nConnection: close")
PLAIN: Headers = (("content-type", "application/json"), ("x-request-id", "r-1"))
SIZED: Headers = (*PLAIN, ("content-length", "10"))
Answer = tuple[int, Headers, tuple[bytes, ...]]
ANSWERS: dict[str, Answer] = {
    "stream": (200, PLAIN, (b"data: 1\n\n", b"", b"x" * 100_000, b"data: [DONE]\n\n")),
    "empty": (503, PLAIN, ()),
    "sized": (200, SIZED, (b"01234", b"56789")),
    "refused": (400, SIZED, (b"0123456789",)),
}


def app(answer: Answer, *, straight: bool, faults: list[str] | None = None) -> Any:
    """An application that answers every request alike, through either outbound."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            continue
        outbound = DirectOutbound(send.__self__) if straight else AsgiOutbound(receive, send)
        status, headers, parts = answer
        try:
            await outbound.head(status, headers)
            for part in parts:
                await outbound.send(part)
            await outbound.end()
        except (RuntimeError, ValueError) as error:
            assert faults is not None
            faults.append(str(error))

    return run


async def bytes_of(answer: Answer, *parts: bytes, straight: bool) -> bytes:
    """What comes back for some requests on one connection, with the date made the same."""
    async with edge_server(EdgeSettings()) as server:
        use(server, app(answer, straight=straight))
        return re.sub(rb"date: [^\r]*", b"date: now", await exchange_raw(server.port, *parts, wait=30))


def use(server: EdgeServer, application: Any) -> None:
    """Let the server's connections run another application."""
    server.app = application  # type: ignore[method-assign]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_the_bytes_are_those_of_uvicorn(answer: Answer) -> None:
    """Status, headers, framing, keep-alive and close are the same, for two requests on one connection."""
    found = await bytes_of(answer, ASK, LAST, straight=True)
    assert found == await bytes_of(answer, ASK, LAST, straight=False)
    assert found.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ((200, (("x", "a\r\nb: c"),), ()), "a header holds a line end"),
        ((200, (("x", "a\rb"),), ()), "a header holds a line end"),
        ((200, SIZED, (b"0123456789a",)), "the body is longer than its content-length"),
    ],
)
async def test_what_would_break_the_framing_is_never_written(answer: Answer, fault: str) -> None:
    """The answer ends there, the connection closes, and no byte of what was wrong is on it."""
    faults: list[str] = []
    async with edge_server(EdgeSettings()) as server:
        use(server, app(answer, straight=True, faults=faults))
        found = await exchange_raw(server.port, ASK, wait=30)
    assert faults == [fault]
    assert b"b: c" not in found
    assert b"9a" not in found


async def test_a_body_that_is_cut_short_closes_the_connection() -> None:
    """Whoever was promised more sees that it did not come: nothing else ever follows on that connection."""
    found = await bytes_of((200, SIZED, (b"0",)), ASK, ASK, straight=True)
    assert found.count(b"HTTP/1.1 ") == 1
    assert found.endswith(b"\r\n\r\n0")


def test_only_uvicorn_is_written_to_directly() -> None:
    """Any other server is spoken to in ASGI's own way."""
    assert direct(Asgi().send) is None


async def test_a_client_that_has_left_is_not_written_to() -> None:
    """``gone`` returns when it hangs up; what is sent after that goes nowhere and raises nothing."""
    ended = asyncio.Event()

    async def run(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            continue
        outbound = DirectOutbound(send.__self__)
        await outbound.head(200, PLAIN)
        await outbound.gone()
        await outbound.send(b"too late")
        await outbound.end()
        ended.set()

    async with edge_server(EdgeSettings()) as server:
        use(server, run)
        assert b"200 OK" in await exchange_raw(server.port, ASK, wait=0.2)
        await asyncio.wait_for(ended.wait(), 30)


async def test_a_slow_reader_is_waited_for() -> None:
    """Where the connection has no room, sending waits; once it is read, everything arrives."""
    sent: list[int] = []
    parts = (b"x" * 1_000_000,) * 20

    async def run(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            continue
        outbound = DirectOutbound(send.__self__)
        await outbound.head(200, PLAIN)
        for part in parts:
            await outbound.send(part)
            sent.append(len(part))
        await outbound.end()

    async with edge_server(EdgeSettings()) as server:
        use(server, run)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(ASK)
        await asyncio.sleep(0.3)
        assert len(sent) < len(parts)
        async with asyncio.timeout(30):
            received = await reader.readuntil(b"\r\n\r\n")
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += await reader.read(1 << 20)
        writer.close()
    assert received.count(b"x") >= 20_000_000
