"""Listeners and servers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, authority

from gateway.app.certificates import read_identity
from gateway.app.door import DoorLimits
from gateway.app.serving import ListenError, Tls, listen, server, url_of
from gateway.edge import EdgeProtocol, EdgeSettings, edge_protocol
from gateway.edge_peer import PEER
from gateway.settings.model import Tls as TlsSettings


def test_port_0_takes_a_free_port_and_the_url_names_it() -> None:
    """Two listeners on port 0 have different URLs."""
    with listen("127.0.0.1:0") as one, listen("127.0.0.1:0") as two:
        assert url_of(one) == f"http://127.0.0.1:{one.getsockname()[1]}"
        assert url_of(one) != url_of(two)
        assert not one.getblocking()


def test_ipv6_addresses_have_brackets() -> None:
    """``[::1]:0`` is an address, and its URL is one too."""
    with listen("[::1]:0") as listener:
        assert url_of(listener).startswith("http://[::1]:")


@pytest.mark.parametrize("address", ["192.0.2.1:0", "256.1.1.1:0"])
def test_an_address_that_cannot_be_had_is_named(address: str) -> None:
    """Foreign and impossible addresses are a ListenError with the address."""
    with pytest.raises(ListenError, match=address):
        listen(address)


def test_an_address_in_use_is_named() -> None:
    """The second listener on a port is refused."""
    with listen("127.0.0.1:0") as one:
        address = url_of(one).removeprefix("http://")
        with pytest.raises(ListenError, match="in use"):
            listen(address)


def test_a_server_leaves_signals_alone() -> None:
    """Signals belong to the whole process, which drains before it ends its servers."""
    before = signal.getsignal(signal.SIGTERM)
    made = server(lambda: None, EdgeProtocol, 75.0, 30.0)
    with made.capture_signals():
        assert signal.getsignal(signal.SIGTERM) is before
    assert not made.config.access_log
    assert made.config.timeout_graceful_shutdown == 35


def sealed(ca: Authority, failed: list[str]) -> Tls:
    """TLS with a certificate of this authority."""
    pair = ca.server()
    identity = read_identity(TlsSettings(cert=pair.cert, key=pair.key), "listen.tls")
    return Tls(lambda: identity.context, failed.append, DoorLimits())


@contextlib.asynccontextmanager
async def serving(app: Any, settings: EdgeSettings, refused: list[str], tls: Tls) -> AsyncIterator[int]:
    """A server on a free port, ended with the block."""
    listener = listen("127.0.0.1:0")
    made = server(app, edge_protocol(settings, refused.append), 75.0, 1.0, tls)
    task = asyncio.create_task(made.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        made.should_exit = True
        await asyncio.wait_for(task, 60)
        assert listener.fileno() == -1


async def test_a_client_that_does_not_read_is_cut_under_tls_too(tmp_path: Path) -> None:
    """The write deadline counts what cannot be sent on, whoever encrypts it; the application is told."""
    ca, refused, gone = authority(tmp_path), [], asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["scheme"] == "https"
        assert scope[PEER] is None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with contextlib.suppress(Exception):
            while not gone.is_set():
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                if refused:
                    gone.set()

    async with serving(app, EdgeSettings(write=1.0), refused, sealed(ca, [])) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=ca.trusting(), server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(1)  # and no more
        await gone.wait()
        writer.transport.abort()
    assert refused == ["write_timeout"]


async def test_a_server_that_ends_cuts_handshakes(tmp_path: Path) -> None:
    """Its sockets are closed when it is done; those who had only begun to speak TLS are not counted as failures."""
    ca, failed = authority(tmp_path), []
    async with serving(None, EdgeSettings(), [], sealed(ca, failed)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01")
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    assert failed == []
