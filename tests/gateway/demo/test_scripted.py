from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from support.tls import authority

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


async def exchange(server: ScriptedUpstream, request: bytes) -> bytes:
    """Send raw bytes and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def post(body: bytes, path: str = "/x") -> bytes:
    """A raw request."""
    return b"POST %b HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


async def test_plays_bytes_as_written() -> None:
    """Raw steps reach the client untouched, in order, and the connection closes where the script says."""
    async with ScriptedUpstream() as server:
        server.script((*plays(b"HTTP/9 ", b"\0nonsense"), Sleep(0.001), Send(b"!"), Close(), Send(b"never")))
        assert await exchange(server, post(b"")) == b"HTTP/9 \0nonsense!"


async def test_records_what_it_was_sent() -> None:
    """Method, path, headers in order and body are kept, also of pipelined requests, each answered in turn."""
    async with ScriptedUpstream() as server:
        server.script(lambda request: (Send(request.body), *((Close(),) if request.body == b"two" else ())))
        assert await exchange(server, post(b"one", "/a?b=c") + post(b"two")) == b"onetwo"
        first, second = server.requests
        assert (first.method, first.path, first.body, second.path) == ("POST", "/a?b=c", b"one", "/x")
        assert first.headers == (("host", "h"), ("x-two", "1"), ("x-two", "2"), ("content-length", "3"))
        assert (first.header("x-two"), first.header("absent")) == ("1", None)
        assert (first.connection, second.connection, server.connections) == (1, 1, 1)


async def test_answers_by_path() -> None:
    """A path of its own comes first, then the common answer, then 404."""
    async with ScriptedUpstream() as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        server.script(unary(b"own"), path="/own")
        assert (await client.get("/own")).content == b"own"
        assert (await client.get("/other")).status_code == 404
        server.script(unary(b"common", 201, "text/plain"))
        answer = await client.get("/other")
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (201, "text/plain", b"common")


async def test_streams() -> None:
    """A streamed script is a chunked answer, one chunk for each event, paced."""
    script = streamed([b"a", b"bc"], pace=0.001)
    assert script == (
        Send(head(content_type="text/event-stream", length="chunked")),
        Sleep(0.001),
        Send(chunk(b"a")),
        Sleep(0.001),
        Send(chunk(b"bc")),
        Send(chunk(b"")),
    )
    async with ScriptedUpstream() as server, httpx.AsyncClient(trust_env=False) as client:
        server.script(script)
        assert (await client.get(server.url)).content == b"abc"
        server.script(streamed([b"x"]))
        assert (await client.get(server.url)).content == b"x"


async def test_a_body_without_length_ends_with_the_connection() -> None:
    """The default head says that the connection closes."""
    async with ScriptedUpstream() as server, httpx.AsyncClient(trust_env=False) as client:
        server.script((Send(head() + b"all"), Close()))
        assert (await client.get(server.url)).content == b"all"


async def test_reset_is_a_reset() -> None:
    """Reset breaks the connection instead of closing it."""
    async with ScriptedUpstream() as server:
        server.script((Send(b"x"), Reset()))
        with pytest.raises(ConnectionResetError):
            await exchange(server, post(b""))


async def test_sees_the_client_leave() -> None:
    """A client that closes during a script is seen at once, with the time, and so is one behind it in the line."""
    never = asyncio.Event()
    async with ScriptedUpstream() as server:
        server.script((Until(never), *unary(b"")))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(b"1") + post(b"2"))
        await settled(lambda: len(server.requests) == 1)
        (request,) = server.requests
        assert (request.left.is_set(), request.left_at, server.open) == (False, None, 1)
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(request.left.wait(), 30)
        assert request.left_at is not None
        assert asyncio.get_running_loop().time() - request.left_at < 15
        assert server.open == 0
        assert reader.at_eof()


async def test_a_client_that_leaves_after_its_answer_did_not_break_off() -> None:
    """``left`` means during the script, not at some later time."""
    async with ScriptedUpstream() as server:
        server.script(unary(b"{}"))
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(server.url)
        await settled(lambda: server.open == 0)
        assert not server.requests[0].left.is_set()


async def test_waits_for_slow_readers() -> None:
    """Send waits for room, so a script does not run ahead of a client that does not read."""
    async with ScriptedUpstream() as server:
        reached = asyncio.Event()

        def script(request: Recorded) -> Script:
            return (*[Send(b"x" * 1_000_000)] * 32, Until(reached), Close())

        server.script(script)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.write(post(b""))
        await asyncio.sleep(0.05)
        (connection,) = server._live
        assert connection._transport.get_write_buffer_size() < 3_000_000
        reached.set()
        assert len(await reader.read()) == 32_000_000
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("junk", "recorded"),
    [(b"nonsense\r\n\r\n", 0), (b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nyyy", 1)],
)
async def test_refuses_what_is_not_http(junk: bytes, recorded: int) -> None:
    """Bytes that are no request end the connection; an upgrade is recorded and goes no further."""
    async with ScriptedUpstream() as server:
        server.script((Sleep(30),))
        with contextlib.suppress(ConnectionResetError):
            assert await exchange(server, junk) == b""
        assert len(server.requests) == recorded


async def test_a_broken_handler_is_not_a_hanging_client() -> None:
    """An exception in a test's handler closes the connection and is reported by the loop."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))

    def script(request: Recorded) -> Script:
        raise LookupError("broken handler")

    async with ScriptedUpstream() as server:
        server.script(script)
        with contextlib.suppress(ConnectionResetError):
            assert await exchange(server, post(b"")) == b""
    assert reported == ["broken handler"]


async def test_leaving_ends_scripts_under_way() -> None:
    """The end of the context closes every connection, in the middle of a script or idle."""
    async with ScriptedUpstream() as server:
        server.script((Send(b"x"), Sleep(30)))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        _, idle = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(b""))
        await settled(lambda: len(server.requests) == 1 and server.open == 2)
    assert server.open == 0
    for stream in (writer, idle):
        stream.close()
        with contextlib.suppress(ConnectionResetError):
            await stream.wait_closed()


async def test_unix_socket_and_tls(tmp_path: Path) -> None:
    """The same server listens on a Unix socket, with TLS if asked."""
    path = tmp_path / "s"
    trusted = authority(tmp_path)
    async with ScriptedUpstream(unix=path, tls=trusted.server) as server:
        server.script(unary(b"ok"))
        transport = httpx.AsyncHTTPTransport(uds=str(path), verify=trusted.client())
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            assert server.url == "https://localhost"
            assert (await client.get(server.url)).content == b"ok"


async def settled(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds; a second at most."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
