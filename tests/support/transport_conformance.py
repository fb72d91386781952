"""What every transport to a model server must do. Each check takes a Kit and runs against real sockets.

Run on our own transport and on httpx's, so that the suite cannot drift into describing one implementation.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.scripted import (
    Close,
    Recorded,
    Reset,
    Script,
    ScriptedUpstream,
    Send,
    Sleep,
    Until,
    chunk,
    head,
    plays,
    streamed,
    unary,
)
from support.tls import authority

GENEROUS = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}
BIG = bytes(range(256)) * (16 * 1024)  # 4 MiB
OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Kit:
    """``make(verify=..., uds=...)`` gives a new transport; ``scratch`` is an empty directory."""

    make: Callable[..., httpx.AsyncBaseTransport]
    scratch: Path


Check = Callable[[Kit], Awaitable[None]]


async def send(
    transport: httpx.AsyncBaseTransport,
    url: str,
    body: bytes | AsyncIterator[bytes] = b"{}",
    **timeouts: float,
) -> httpx.Response:
    """POST and return with the head."""
    request = httpx.Request(
        "POST", f"{url}/v1/chat/completions", content=body, extensions={"timeout": GENEROUS | timeouts}
    )
    return await transport.handle_async_request(request)


async def read(response: httpx.Response) -> bytes:
    """The rest of the body; closes the response."""
    stream: Any = response.stream
    pieces = []
    try:
        async for piece in stream:
            pieces.append(piece)
    finally:
        await stream.aclose()
    return b"".join(pieces)


async def ask(transport: httpx.AsyncBaseTransport, url: str, body: bytes = b"{}", **timeouts: float) -> bytes:
    """POST and read the whole answer."""
    return await read(await send(transport, url, body, **timeouts))


@contextlib.asynccontextmanager
async def stage(
    kit: Kit, script: Script | Callable[[Recorded], Script], **server: Any
) -> AsyncIterator[tuple[httpx.AsyncBaseTransport, ScriptedUpstream]]:
    """A transport and a scripted server that plays ``script`` on every path."""
    async with ScriptedUpstream(**server) as upstream:
        upstream.script(script)
        async with kit.make() as transport:
            yield transport, upstream


async def unary_answer(kit: Kit) -> None:
    async with stage(kit, unary(b'{"a":1}')) as (transport, upstream):
        response = await send(transport, upstream.url, b'{"q":1}')
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert await read(response) == b'{"a":1}'
        seen = upstream.requests[0]
        assert (seen.method, seen.path, seen.body) == ("POST", "/v1/chat/completions", b'{"q":1}')
        assert seen.header("content-length") == "7"


async def streamed_answer_comes_as_it_is_sent(kit: Kit) -> None:
    more = asyncio.Event()
    script = (Send(head(length="chunked") + chunk(b"one ")), Until(more), Send(chunk(b"two") + chunk(b"")))
    async with stage(kit, script) as (transport, upstream):
        response = await send(transport, upstream.url)
        stream: Any = response.stream
        pieces = aiter(stream)
        assert await anext(pieces) == b"one "
        more.set()
        assert b"".join([piece async for piece in pieces]) == b"two"
        await stream.aclose()


async def chunks_cut_anywhere(kit: Kit) -> None:
    wire = head(length="chunked") + chunk(b"hello ") + b"5;name=value\r\nworld\r\n0\r\nX-Trailer: dropped\r\n\r\n"
    script = tuple(Send(wire[at : at + 1]) for at in range(len(wire)))
    async with stage(kit, script) as (transport, upstream):
        response = await send(transport, upstream.url)
        assert await read(response) == b"hello world"
        assert "x-trailer" not in response.headers


async def body_ends_with_the_connection(kit: Kit) -> None:
    async with stage(kit, (Send(head() + b"until "), Send(b"the end"), Close())) as (transport, upstream):
        assert await ask(transport, upstream.url) == b"until the end"
        assert await ask(transport, upstream.url) == b"until the end"
        assert upstream.connections == 2


async def no_body(kit: Kit) -> None:
    async with stage(kit, plays(b"HTTP/1.1 204 No Content\r\n\r\n")) as (transport, upstream):
        response = await send(transport, upstream.url)
        assert response.status_code == 204
        assert await read(response) == b""


async def keep_alive(kit: Kit) -> None:
    async with stage(kit, unary(b"{}")) as (transport, upstream):
        for _ in range(5):
            assert await ask(transport, upstream.url) == b"{}"
        assert [request.connection for request in upstream.requests] == [1] * 5


async def connection_close_is_honoured(kit: Kit) -> None:
    script = plays(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")
    async with stage(kit, script) as (transport, upstream):
        for _ in range(2):
            assert await ask(transport, upstream.url) == b"ok"
        assert [request.connection for request in upstream.requests] == [1, 2]


async def big_bodies(kit: Kit) -> None:
    async with stage(kit, lambda request: unary(request.body)) as (transport, upstream):
        assert await ask(transport, upstream.url, BIG) == BIG


async def streamed_request_body(kit: Kit) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(BIG), 100_000):
            yield BIG[at : at + 100_000]
            await asyncio.sleep(0)

    async with stage(kit, lambda request: unary(request.body)) as (transport, upstream):
        assert await read(await send(transport, upstream.url, pieces())) == BIG
        assert upstream.requests[0].header("transfer-encoding") == "chunked"


async def slow_body(kit: Kit) -> None:
    async with stage(kit, streamed([b"a", b"b", b"c"], pace=0.02)) as (transport, upstream):
        assert await ask(transport, upstream.url, read=1.0) == b"abc"


async def interim_responses_are_skipped(kit: Kit) -> None:
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with stage(kit, (Send(wire), *unary(b"final"))) as (transport, upstream):
        response = await send(transport, upstream.url)
        assert response.status_code == 200
        assert "link" not in response.headers
        assert await read(response) == b"final"


async def refused_connection(kit: Kit) -> None:
    async with ScriptedUpstream() as upstream:
        url = upstream.url
    async with kit.make() as transport:
        with pytest.raises(httpx.ConnectError):
            await send(transport, url)


async def _breaks(kit: Kit, *script: Any) -> None:
    """Head or body must end in an error of the connection or of the protocol."""
    async with stage(kit, script) as (transport, upstream):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await ask(transport, upstream.url)
        assert len(upstream.requests) == 1, "a request must not be sent twice"


async def reset_before_head(kit: Kit) -> None:
    await _breaks(kit, Reset())


async def close_before_head(kit: Kit) -> None:
    await _breaks(kit, Close())


async def reset_in_head(kit: Kit) -> None:
    await _breaks(kit, Send(OK + b"Content-"), Reset())


async def reset_in_body(kit: Kit) -> None:
    await _breaks(kit, Send(head(length=10) + b"half"), Sleep(0.02), Reset())


async def close_in_body(kit: Kit) -> None:
    await _breaks(kit, Send(head(length=10) + b"half"), Close())


async def close_in_chunked_body(kit: Kit) -> None:
    await _breaks(kit, Send(head(length="chunked") + chunk(b"half")), Close())


MALFORMED = {
    "not_http": b"<html>hello</html>\r\n\r\n",
    "two_lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length_not_a_number": OK + b"Content-Length: +2\r\n\r\nab",
    "bare_nul": OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nab",
    "no_colon": OK + b"nonsense\r\nContent-Length: 2\r\n\r\nab",
    "bad_chunk_size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "unknown_coding": OK + b"Transfer-Encoding: gzip\r\n\r\nab",
}


async def malformed(wire: bytes, kit: Kit) -> None:
    async with stage(kit, (Send(wire), Close())) as (transport, upstream):
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, upstream.url)


async def first_byte_deadline(kit: Kit) -> None:
    async with stage(kit, (Sleep(30),)) as (transport, upstream):
        with pytest.raises(httpx.ReadTimeout):
            await send(transport, upstream.url, read=0.4)
        await asyncio.wait_for(upstream.requests[0].left.wait(), 15)


async def idle_deadline(kit: Kit) -> None:
    async with stage(kit, (Send(head(length=10) + b"half"), Sleep(30))) as (transport, upstream):
        response = await send(transport, upstream.url, read=0.4)
        with pytest.raises(httpx.ReadTimeout):
            await read(response)
        await asyncio.wait_for(upstream.requests[0].left.wait(), 15)


async def cancelled_while_waiting_for_the_head(kit: Kit) -> None:
    async with stage(kit, (Sleep(30),)) as (transport, upstream):
        task = asyncio.ensure_future(send(transport, upstream.url))
        while not upstream.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.requests[0].left.wait(), 15)


async def cancelled_while_reading(kit: Kit) -> None:
    async with stage(kit, (Send(head(length=10) + b"half"), Sleep(30))) as (transport, upstream):
        response = await send(transport, upstream.url)
        task = asyncio.ensure_future(read(response))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.requests[0].left.wait(), 15)


async def closed_early(kit: Kit) -> None:
    async with stage(kit, (Send(head(length=10) + b"half"), Sleep(30))) as (transport, upstream):
        stream: Any = (await send(transport, upstream.url)).stream
        assert await anext(aiter(stream)) == b"half"
        await stream.aclose()
        await asyncio.wait_for(upstream.requests[0].left.wait(), 15)


async def dead_idle_connection_is_replaced(kit: Kit) -> None:
    def script(request: Recorded) -> Script:
        return (*unary(b"ok"), Close()) if request.connection == 1 else unary(b"ok")

    async with stage(kit, script) as (transport, upstream):
        assert await ask(transport, upstream.url) == b"ok"
        while upstream.open:
            await asyncio.sleep(0.001)
        assert await ask(transport, upstream.url) == b"ok"
        assert [request.connection for request in upstream.requests] == [1, 2]


async def second_response_is_never_delivered(kit: Kit) -> None:
    def script(request: Recorded) -> Script:
        answer = unary(b"own answer")
        return plays(answer[0].data + unary(b"foreign")[0].data) if request.connection == 1 else answer

    async with stage(kit, script) as (transport, upstream):
        for _ in range(3):
            assert await ask(transport, upstream.url) == b"own answer"
        assert [request.connection for request in upstream.requests] == [1, 2, 2]


async def unasked_response_is_never_delivered(kit: Kit) -> None:
    """Bytes that come between two exchanges, so that they lie ready before the second request goes out."""

    def script(request: Recorded) -> Script:
        answer = unary(b"own answer")
        return (*answer, Sleep(0.01), *unary(b"foreign")) if request.connection == 1 else answer

    async with stage(kit, script) as (transport, upstream):
        assert await ask(transport, upstream.url) == b"own answer"
        await asyncio.sleep(0.05)
        assert await ask(transport, upstream.url) == b"own answer"


async def many_at_once(kit: Kit) -> None:
    def script(request: Recorded) -> Script:
        return streamed([request.body[:3], request.body[3:]], pace=0.001)

    async with stage(kit, script) as (transport, upstream):
        bodies = [f"body-{number:03}".encode() for number in range(60)]
        answers = await asyncio.gather(*(ask(transport, upstream.url, body) for body in bodies))
        assert answers == bodies


async def unix_socket(kit: Kit) -> None:
    path = kit.scratch / "model.sock"
    async with ScriptedUpstream(unix=path) as upstream:
        upstream.script(unary(b"ok"))
        async with kit.make(uds=str(path)) as transport:
            assert await ask(transport, upstream.url) == b"ok"


async def tls(kit: Kit) -> None:
    trusted = authority(kit.scratch / "trusted")
    async with ScriptedUpstream(tls=trusted.server) as upstream:
        upstream.script(lambda request: unary(request.body))
        async with kit.make(verify=trusted.client()) as transport:
            assert await ask(transport, upstream.url, BIG) == BIG
            assert await ask(transport, upstream.url) == b"{}"
        assert {request.connection for request in upstream.requests} == {1}


async def tls_from_a_stranger(kit: Kit) -> None:
    trusted, stranger = authority(kit.scratch / "trusted"), authority(kit.scratch / "stranger")
    async with ScriptedUpstream(tls=stranger.server) as upstream:
        async with kit.make(verify=trusted.client()) as transport:
            with pytest.raises(httpx.ConnectError):
                await ask(transport, upstream.url)
        assert upstream.requests == []


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        unary_answer,
        streamed_answer_comes_as_it_is_sent,
        chunks_cut_anywhere,
        body_ends_with_the_connection,
        no_body,
        keep_alive,
        connection_close_is_honoured,
        big_bodies,
        streamed_request_body,
        slow_body,
        interim_responses_are_skipped,
        refused_connection,
        reset_before_head,
        close_before_head,
        reset_in_head,
        reset_in_body,
        close_in_body,
        close_in_chunked_body,
        first_byte_deadline,
        idle_deadline,
        cancelled_while_waiting_for_the_head,
        cancelled_while_reading,
        closed_early,
        dead_idle_connection_is_replaced,
        unasked_response_is_never_delivered,
        many_at_once,
        unix_socket,
        tls,
        tls_from_a_stranger,
    )
} | {f"malformed_{name}": functools.partial(malformed, wire) for name, wire in MALFORMED.items()}

# What httpx's own transport does not do (seen with httpx 0.28.1 on httpcore 1.0.9: a second response sent in one piece with the first
# is delivered as the answer to the next request on that connection).
STRICTER: dict[str, Check] = {"second_response_is_never_delivered": second_response_is_never_delivered}
