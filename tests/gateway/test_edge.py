"""The edge over real sockets: bad bytes never reach the application, and slow clients are cut."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from support.descriptors import few_descriptors
from support.raw_http import edge_server, exchange_raw

from gateway import edge
from gateway.edge import EdgeSettings
from gateway.edge_head import Head

GOOD = b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


async def test_a_good_request_is_served_and_the_connection_kept() -> None:
    """Two requests on one connection, cut at every byte, are two requests."""
    async with edge_server(EdgeSettings()) as server:
        crumbs = [GOOD[at : at + 1] for at in range(len(GOOD))]
        answer = await exchange_raw(server.port, *crumbs, GOOD, wait=0.3)
    assert answer.count(b"200 OK") == 2
    assert [body for *_, body in server.seen] == [b"hi", b"hi"]


async def test_an_idle_client_does_not_keep_the_end_waiting() -> None:
    """A server that ends closes a kept connection at once, and one whose answer is on its way after that."""
    async with edge_server(EdgeSettings()) as server, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GOOD)
        await reader.readuntil(b"ok")
        server.large, server.delay = 5, 0.5
        answer, busy = await asyncio.open_connection("127.0.0.1", server.port)
        busy.write(GOOD)
        while len(server.seen) < 2:
            await asyncio.sleep(0.01)
        for connection in list(server.state.connections):
            connection.shutdown()
        assert await reader.read() == b""
        assert (await answer.read()).endswith(b"okxxxxx")
        writer.close()
        busy.close()


async def test_the_last_descriptors_are_not_for_clients() -> None:
    """A client that would take one of them is told 503 and to come back; it is counted, and served when there are more."""
    async with edge_server(EdgeSettings(sparing=True)) as server:
        with few_descriptors(3):
            answer = await exchange_raw(server.port, wait=30)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"
        assert server.refused == ["out_of_descriptors"]
        assert b"200 OK" in await exchange_raw(server.port, GOOD, wait=0.3)


BAD = [
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\nHost: a\n\n",
    b"POST /v1/messages HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
    b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /" + b"a" * 100_000,
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Trusted-User: admin\r\n\r\n",
]


@pytest.mark.parametrize("raw", BAD, ids=range(len(BAD)))
async def test_bad_framing_is_refused_and_the_connection_closed(raw: bytes) -> None:
    """One typed refusal, nothing reaches the application as a request, and nothing after it is read."""
    async with edge_server(EdgeSettings()) as server:
        answer = await exchange_raw(server.port, raw + GOOD, wait=2)
        assert not server.seen
    assert len(server.refused) == 1
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert b"connection: close" in head
    assert json.loads(body)["error"]["code"] == server.refused[0]


async def test_a_bad_second_request_does_not_corrupt_an_answer_under_way() -> None:
    """The first answer arrives whole; then comes the refusal, and the connection closes."""
    async with edge_server(EdgeSettings()) as server:
        server.large, server.delay = 1000, 0.3
        answer = await exchange_raw(server.port, GOOD, b"GET / HTTP/1.1\r\n\r\n", pause=0.1, wait=20)
    assert server.refused == ["bad_host"]
    first, _, second = answer.partition(b"x" * 1000)
    assert (first.count(b"HTTP/1.1 200"), second.count(b"HTTP/1.1 400"), answer.count(b"HTTP/1.1")) == (1, 1, 2)


async def test_what_follows_a_bad_second_request_is_never_read() -> None:
    """Smuggling costs the connection: the refusal is the last thing on it."""
    async with edge_server(EdgeSettings()) as server:
        answer = await exchange_raw(server.port, GOOD + b"GET / HTTP/1.1\r\n\r\n" + GOOD, wait=20)
    assert server.refused == ["bad_host"]
    assert [body for *_, body in server.seen] == [b"hi"]
    assert answer.count(b"HTTP/1.1") == 2
    assert answer.endswith(b"}}")


async def test_requests_on_one_connection_are_taken_one_at_a_time() -> None:
    """A thousand requests in one write: while the first is served none of the others is even parsed, and all are answered in order."""
    async with edge_server(EdgeSettings()) as server:
        server.gate = asyncio.Event()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" % n for n in range(1000)))
        await server.until(lambda: len(server.seen) == 1)
        (connection,) = server.connections
        assert len(connection._ahead) > 50_000
        assert not connection.pipeline
        server.gate.set()
        async with asyncio.timeout(60):
            for _ in range(1000):
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\nok")
        assert [path for _, path, *_ in server.seen] == [f"/{n}" for n in range(1000)]
        writer.close()


async def test_what_waits_behind_a_request_is_bounded() -> None:
    """A client that sends too far ahead gets the answer that it waits for, and then loses its connection; nothing is kept."""
    async with edge_server(EdgeSettings()) as server:
        server.gate = asyncio.Event()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GOOD + b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * (edge.AHEAD // 20))
        await server.until(lambda: server.refused == ["too_far_ahead"])
        (connection,) = server.connections
        assert connection._ahead == b""
        writer.write(GOOD * 1000)
        server.gate.set()
        async with asyncio.timeout(30):
            assert b"200 OK" in await reader.readuntil(b"ok")
        await server.until(lambda: not server.connections)
        assert [path for _, path, *_ in server.seen] == ["/v1/messages"]
        assert len(server.refused) == 1
        writer.close()


async def test_of_too_many_waiting_connections_the_oldest_makes_room() -> None:
    """Idle and half-read heads are capped: a new connection always has its place, one with a request is never closed for it."""
    async with edge_server(EdgeSettings(waiting=3)) as server:
        server.gate = asyncio.Event()
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", server.port)
        busy.write(GOOD)
        await server.until(lambda: bool(server.seen))
        idle = []
        for number in range(4):
            idle.append(await asyncio.open_connection("127.0.0.1", server.port))
            idle[-1][1].write(b"POST /half HTT")
            await server.until(lambda number=number: len(server.connections) == 2 + min(number, 2))
        assert server.refused == ["too_many_waiting"]
        with pytest.raises((ConnectionError, EOFError)):
            await idle[0][0].readexactly(1)
        server.gate.set()
        async with asyncio.timeout(30):
            assert b"200 OK" in await busy_reader.readuntil(b"ok")
        for _, writer in (*idle, (None, busy)):
            writer.close()


async def test_an_answer_before_the_body_has_come_can_be_read() -> None:
    """The rest of the body is thrown away so that the answer arrives; then the connection closes, and nothing is said twice."""
    async with edge_server(EdgeSettings()) as server:
        server.unread = True
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"
        answer = await exchange_raw(server.port, head, b"x" * 3_000_000, GOOD, wait=20)
        broken = await exchange_raw(server.port, head, b"x" * 100, wait=20)
    assert answer.count(b"HTTP/1.1") == broken.count(b"HTTP/1.1") == 1
    assert not server.refused


async def test_what_only_httptools_refuses_is_refused_in_our_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the parser find a fault that the check did not, the client gets the same kind of answer."""
    admit_anything = lambda raw, _hosts: Head(raw, 0, chunked=False)  # noqa: E731
    monkeypatch.setattr(edge, "check_head", admit_anything)
    async with edge_server(EdgeSettings()) as server:
        answer = await exchange_raw(server.port, b"NONSENSE\r\n\r\n", wait=2)
    assert server.refused == ["bad_request"]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"


async def test_a_half_read_connection_can_be_dropped() -> None:
    """A client that goes away in the middle of a head leaves nothing behind."""
    async with edge_server(EdgeSettings()) as server:
        await exchange_raw(server.port, b"POST / HTT", wait=0.05)
        await exchange_raw(server.port, GOOD[:-1], wait=0.05)
        await asyncio.sleep(0.05)
        assert not server.refused
        assert not server.seen


async def test_identity_headers_and_trailers_never_reach_the_application() -> None:
    """What a client says of itself is gone before the application looks."""
    raw = b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX_Trusted_User: admin\r\nContent-Length: 2\r\n\r\nhi"
    async with edge_server(EdgeSettings()) as server:
        await exchange_raw(server.port, raw, wait=0.3)
    ((_, _, headers, _),) = server.seen
    assert headers == [(b"host", b"a"), (b"content-length", b"2")]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "head_timeout"),
        (b"POST / HT", "head_timeout"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi", "body_timeout"),
    ],
)
async def test_slow_senders_are_cut(sent: bytes, code: str) -> None:
    """A head or a body that does not arrive in time is refused with 408."""
    async with edge_server(EdgeSettings(head=0.1, body=0.1)) as server:
        answer = await exchange_raw(server.port, sent, wait=2)
        assert not server.seen
    assert server.refused == [code]
    assert answer.startswith(b"HTTP/1.1 408")


async def test_an_idle_kept_connection_may_wait_longer_than_a_head() -> None:
    """The head deadline counts from the first byte of the next head, not from the last answer."""
    async with edge_server(EdgeSettings(head=0.2)) as server:
        answer = await exchange_raw(server.port, GOOD, GOOD, pause=0.4, wait=0.5)
    assert answer.count(b"200 OK") == 2


async def test_slow_readers_are_cut() -> None:
    """A client that does not read loses its connection, and with it what was buffered for it."""
    async with edge_server(EdgeSettings(write=0.2)) as server:
        server.large = 20_000_000
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, GOOD)
            async with asyncio.timeout(30):
                while "write_timeout" not in server.refused:
                    await asyncio.sleep(0.02)


async def test_a_reader_that_catches_up_is_not_cut() -> None:
    """The write deadline ends when the buffer drains."""
    async with edge_server(EdgeSettings(write=1.0)) as server:
        server.large = 5_000_000
        answer = await exchange_raw(server.port, GOOD, wait=1.5)
    assert len(answer) > 5_000_000
    assert not server.refused
