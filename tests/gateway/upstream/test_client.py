from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.tls import authority

from gateway.demo.scripted import Close, Recorded, Reset, Script, ScriptedUpstream, Send, Sleep, head, streamed, unary
from gateway.errors import GatewayError, Overloaded, UpstreamError, UpstreamMalformed, UpstreamStatus, UpstreamTimeout
from gateway.upstream import Deadlines, FastTransport, PoolLimits, Upstream

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
HEADERS = (("content-type", "application/json"), ("accept-encoding", "identity"), ("x-request-id", "r-1"))
OK = b"HTTP/1.1 200 OK\r\n"
CANARY = "amber kestrel protocol"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedUpstream]:
    """A scripted model server."""
    async with ScriptedUpstream() as running:
        yield running


async def whole(upstream: Upstream, path: str = CHAT) -> bytes:
    """Open, read all, close."""
    answer = await upstream.open(path, HEADERS, b'{"q":1}')
    try:
        return b"".join([piece async for piece in answer.chunks()])
    finally:
        await answer.close()


async def fault_of(server: ScriptedUpstream, script: Script, **upstream: Any) -> GatewayError:
    """The error that opening and reading this answer ends with."""
    server.script(script)
    client = Upstream(server.url, **upstream)
    try:
        with pytest.raises(GatewayError) as caught:
            await whole(client)
        return caught.value
    finally:
        await client.close()


async def test_open_and_read(server: ScriptedUpstream) -> None:
    """A request arrives as built; of the answer only status, type and bytes are seen."""
    server.script(streamed([b"data: 1\n\n", b"data: 2\n\n"], content_type="Text/Event-Stream; charset=utf-8"))
    client = Upstream(server.url)
    answer = await client.open(CHAT, HEADERS, b'{"q":1}')
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    assert b"".join([piece async for piece in answer.chunks()]) == b"data: 1\n\ndata: 2\n\n"
    await answer.close()
    (seen,) = server.requests
    host = server.url.removeprefix("http://")
    assert (seen.method, seen.path, seen.body) == ("POST", CHAT, b'{"q":1}')
    assert seen.headers == (("host", host), ("content-length", "7"), *HEADERS)
    await client.close()


async def test_one_connection_serves_many(server: ScriptedUpstream) -> None:
    """Answers read to their end, and error answers, leave the connection in use."""
    server.script(unary(b"{}"))
    server.script(unary(b"no", 429), path=MESSAGES)
    client = Upstream(server.url)
    for _ in range(3):
        assert await whole(client) == b"{}"
        with pytest.raises(UpstreamStatus):
            await whole(client, MESSAGES)
    assert server.connections == 1
    await client.close()


async def test_credentials(server: ScriptedUpstream) -> None:
    """The key goes as bearer to every route, and as x-api-key too where the route is Anthropic's."""
    server.script(unary(b"{}"))
    client = Upstream(server.url, key="sk-1")
    await whole(client)
    await whole(client, MESSAGES)
    openai, anthropic = server.requests
    assert (openai.header("authorization"), openai.header("x-api-key")) == ("Bearer sk-1", None)
    assert (anthropic.header("authorization"), anthropic.header("x-api-key")) == ("Bearer sk-1", "sk-1")
    await client.close()


@pytest.mark.parametrize("prefix", ["/proxy/a", "/proxy/a/"])
async def test_prefix(server: ScriptedUpstream, prefix: str) -> None:
    """A path prefix of the base stands before the route's own path."""
    server.script(unary(b"{}"))
    client = Upstream(server.url + prefix)
    await whole(client)
    assert server.requests[0].path == f"/proxy/a{CHAT}"
    await client.close()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "h:80",
        "http://",
        "http://user:secret@h",
        "http://h?x=1",
        "http://h#x",
        "http://h/%2e%2e",
        "http://h/a b",
        "http://h:99999",
        "http://h:0",
        "http://h/\n",
        "http://h/v1",
        "http://h/proxy/v1/",
    ],
)
def test_bases_that_are_refused(url: str) -> None:
    """A base is scheme, host, port and a plain prefix; anything else is a configuration error."""
    with pytest.raises(ValueError, match=r"URL|address|prefix"):
        Upstream(url)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nb", "schlüssel"])
def test_keys_that_are_refused(key: str) -> None:
    """A key that cannot stand in a header is a configuration error, and is not in its message."""
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        Upstream("http://h", key=key)
    assert not key or key not in str(caught.value)


def test_ca_that_is_refused(tmp_path: Path) -> None:
    """A missing or damaged file of certificates is found when the upstream is made."""
    damaged = tmp_path / "ca.pem"
    damaged.write_text("no certificate")
    for path in (damaged, tmp_path / "absent.pem"):
        with pytest.raises(ValueError, match="certificates"):
            Upstream("https://h", ca=path)


async def test_paths_are_constants(server: ScriptedUpstream) -> None:
    """A path that could be taken apart in two ways is a fault of ours and never sent."""
    client = Upstream(server.url)
    for path in ("v1", "/v1/../admin?x", "/v1//x", "/v1/%2e", "/v1/x\r\ny"):
        with pytest.raises(ValueError, match="constants"):
            await client.open(path, HEADERS, b"{}")
    assert server.connections == 0
    await client.close()


async def test_https_with_a_ca_file(tmp_path: Path) -> None:
    """The CA file is trusted, and it alone: the system's roots do not vouch for a test server."""
    trusted = authority(tmp_path)
    async with ScriptedUpstream(tls=trusted.server) as server:
        server.script(unary(b"{}"))
        client = Upstream(server.url, ca=trusted.ca)
        assert await whole(client) == b"{}"
        await client.close()
        stranger = Upstream(server.url)
        with pytest.raises(UpstreamError, match="cannot be reached"):
            await whole(stranger)
        await stranger.close()


async def test_unix_socket(tmp_path: Path) -> None:
    """With a socket the URL only names the host."""
    async with ScriptedUpstream(unix=tmp_path / "s") as server:
        server.script(unary(b"{}"))
        client = Upstream("http://localhost:9000", socket=tmp_path / "s")
        assert await whole(client) == b"{}"
        assert server.requests[0].header("host") == "localhost:9000"
        await client.close()


STATUSES = {
    400: (400, "upstream_refused", False),
    401: (502, "upstream_error", False),
    403: (502, "upstream_error", False),
    404: (404, "upstream_refused", False),
    429: (429, "upstream_rate_limited", True),
    500: (502, "upstream_error", True),
    503: (502, "upstream_error", True),
    599: (502, "upstream_error", True),
}


@pytest.mark.parametrize("status", STATUSES)
async def test_error_statuses(server: ScriptedUpstream, status: int) -> None:
    """Of an error answer only the status gets through; its body and headers do not."""
    wire = f"HTTP/1.1 {status} {CANARY}\r\nX-Leak: {CANARY}\r\nContent-Length: {len(CANARY)}\r\n\r\n{CANARY}".encode()
    fault = await fault_of(server, (Send(wire),))
    assert isinstance(fault, UpstreamStatus)
    assert (fault.status, fault.code, fault.retryable) == STATUSES[status]
    assert fault.upstream_status == status
    assert CANARY not in f"{fault} {fault.message} {fault.param} {fault.__cause__}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("999999999", 3600),
        *((odd, None) for odd in ("9" * 5000, "-1", "1.5", "x", "", "Wed, 21 Oct 2026 07:28:00 GMT")),
    ],
)
async def test_retry_after(server: ScriptedUpstream, value: str, seconds: int | None) -> None:
    """Retry-After passes as bounded whole seconds or not at all."""
    wire = f"HTTP/1.1 429 Slow\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    fault = await fault_of(server, (Send(wire),))
    assert fault.retry_after == seconds


async def test_a_long_error_body_is_not_read_out(server: ScriptedUpstream) -> None:
    """Discarding has bounds in bytes and in time, after which the connection is closed."""
    server.script(unary(b"x" * 4_000_000, 500))
    server.script((Send(head(500, length=10) + b"half"), Sleep(30)), path=MESSAGES)
    server.script((Send(head(500, length=10) + b"half"), Reset()), path="/v1/reset")
    client = Upstream(server.url)
    for path in (CHAT, MESSAGES, "/v1/reset"):
        with pytest.raises(UpstreamStatus):
            await asyncio.wait_for(client.open(path, HEADERS, b"{}"), 30)
        await asyncio.wait_for(server.requests[-1].left.wait(), 15)
    assert server.connections == 3
    await client.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
async def test_redirects_are_not_followed(server: ScriptedUpstream, status: int) -> None:
    """A redirect is an upstream fault; the other server never hears of it."""
    async with ScriptedUpstream() as other:
        wire = f"HTTP/1.1 {status} Moved\r\nLocation: {other.url}/x\r\nContent-Length: 0\r\n\r\n"
        fault = await fault_of(server, (Send(wire.encode()),))
        assert "redirect" in fault.message
        assert fault.status == 502
        assert other.connections == 0


MALFORMED = {
    "created": b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
    "no_content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "partial": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\n{}",
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "gzip_second": OK + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "list": OK + b"Content-Encoding: identity, br\r\nContent-Length: 2\r\n\r\n{}",
    "two_types": OK + b"Content-Type: a/b\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n{}",
    "odd_type": OK + b"Content-Type: a/b, c/d\r\nContent-Length: 2\r\n\r\n{}",
    "no_type": OK + b"Content-Type: json\r\nContent-Length: 2\r\n\r\n{}",
    "lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "not_http": b"<html>",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_answers(server: ScriptedUpstream, case: str) -> None:
    """An answer that is not a plain 200 in proper HTTP is malformed, and its connection is not used again."""
    fault = await fault_of(server, (Send(MALFORMED[case]), Sleep(30)))
    assert isinstance(fault, UpstreamMalformed)
    assert (fault.status, fault.code) == (502, "upstream_malformed")


async def test_identity_coding_is_accepted(server: ScriptedUpstream) -> None:
    """A server may say identity, and may name no type."""
    server.script((Send(OK + b"Content-Encoding: Identity\r\nContent-Length: 2\r\n\r\n{}"),))
    client = Upstream(server.url)
    answer = await client.open(CHAT, HEADERS, b"{}")
    assert answer.content_type == ""
    await answer.close()
    await client.close()


QUICK = {"connect": 30.0, "first_byte": 30.0, "idle": 30.0, "total": 30.0}


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("first byte", (Sleep(30),)),
        ("idle", (Send(head(length=10) + b"half"), Sleep(30))),
        ("total", streamed([b"x"] * 1000, pace=0.005)),
    ],
)
async def test_deadlines_are_named(server: ScriptedUpstream, name: str, script: Script) -> None:
    """A missed deadline is a 504 that says which one, and the server sees the connection close."""
    deadlines = Deadlines(**QUICK | {name.replace(" ", "_"): 0.4})
    fault = await fault_of(server, script, deadlines=deadlines)
    assert isinstance(fault, UpstreamTimeout)
    assert fault.message == f"the model server missed the {name} deadline"
    assert fault.status == 504
    await asyncio.wait_for(server.requests[0].left.wait(), 15)


class Failing(httpx.AsyncBaseTransport):
    """Fails every request with one error."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.fault


@pytest.mark.parametrize(
    ("fault", "expected", "words"),
    [
        (httpx.ConnectTimeout("x"), UpstreamTimeout, "connect deadline"),
        (httpx.WriteTimeout("x"), UpstreamTimeout, "write deadline"),
        (httpx.PoolTimeout("x"), Overloaded, "in use"),
        (httpx.ConnectError("x"), UpstreamError, "cannot be reached"),
        (httpx.ReadError("x"), UpstreamError, "broke off"),
        (httpx.WriteError("x"), UpstreamError, "broke off"),
        (httpx.CloseError("x"), UpstreamError, "broke off"),
        (httpx.RemoteProtocolError("x"), UpstreamMalformed, "proper HTTP"),
        (httpx.LocalProtocolError("x"), UpstreamError, "could not be written"),
        (httpx.UnsupportedProtocol("x"), UpstreamError, "could not be written"),
    ],
)
async def test_foreign_errors_are_translated(fault: httpx.HTTPError, expected: type[GatewayError], words: str) -> None:
    """Every error of httpx becomes one of ours with a constant message."""
    client = Upstream("http://h", transport=lambda: Failing(fault))
    with pytest.raises(expected, match=words) as caught:
        await client.open(CHAT, HEADERS, b"{}")
    assert type(caught.value) is expected


@pytest.mark.parametrize("script", [(Reset(),), (Close(),), (Send(head(length=9) + b"half"), Sleep(0.01), Reset())])
async def test_broken_connections(server: ScriptedUpstream, script: Script) -> None:
    """A connection that breaks before or in the answer is a 502, and the request is not sent again."""
    fault = await fault_of(server, script)
    assert (type(fault), fault.status, fault.retryable) == (UpstreamError, 502, True)
    assert len(server.requests) == 1


async def test_no_server() -> None:
    """A refused connection is a 502."""
    async with ScriptedUpstream() as gone:
        client = Upstream(gone.url)
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await whole(client)
    await client.close()


async def test_full_pool_is_overload(server: ScriptedUpstream) -> None:
    """When no connection is to be had the client is told to come back, not that the server failed."""
    server.script((Sleep(30),))
    client = Upstream(server.url, transport=lambda: FastTransport(limits=PoolLimits(connections=1, waiters=0)))
    first = asyncio.ensure_future(whole(client))
    while not server.requests:
        await asyncio.sleep(0.001)
    with pytest.raises(Overloaded):
        await whole(client)
    await client.close()
    with pytest.raises(UpstreamError):
        await first


async def test_httpx_transport_fits_too(server: ScriptedUpstream) -> None:
    """The upstream works over any httpx transport that passes the conformance suite."""
    server.script(lambda request: unary(request.body) if isinstance(request, Recorded) else ())
    client = Upstream(server.url, transport=httpx.AsyncHTTPTransport)
    assert await whole(client) == b'{"q":1}'
    await client.close()
