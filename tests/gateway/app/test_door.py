"""The door of a TLS listener under everything that can come instead of a handshake, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from support.certificates import Authority, authority

from gateway.app.certificates import read_identity
from gateway.app.door import Door, DoorLimits, reason_of
from gateway.settings.model import Tls

PATIENT = DoorLimits(60.0, 100)
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Awaitable[None]], None]


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


@dataclass
class Open:
    """A door that stands open. ``failed`` gets the reasons."""

    port: int
    door: Door
    failed: asyncio.Queue[str]

    async def reason(self) -> str:
        """The next failure."""
        async with asyncio.timeout(30):
            return await self.failed.get()

    async def echoes(self, context: ssl.SSLContext) -> ssl.SSLObject:
        """A whole connection; what was agreed."""
        async with asyncio.timeout(30):
            reader, writer = await self.connect(context)
            try:
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
                return agreed
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def connect(self, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, in the clear without a context."""
        name = "localhost" if context is not None else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)

    async def sends(self, *parts: bytes) -> bytes:
        """Bytes instead of a handshake, and what comes back until the door closes."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
        try:
            async with asyncio.timeout(30):
                with contextlib.suppress(ConnectionError):
                    return await reader.read()
                return b""
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def standing(ca: Authority, limits: DoorLimits = PATIENT, **more: object) -> AsyncIterator[Open]:
    """A door on a free port."""
    pair = ca.server()
    identity = read_identity(Tls.model_validate({"cert": pair.cert, "key": pair.key, **more}), "listen.tls")
    failed: asyncio.Queue[str] = asyncio.Queue()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        listener.setblocking(False)
        door = Door(listener, Echo, lambda: identity.context, failed.put_nowait, limits)
        task = asyncio.create_task(door.stand_open())
        try:
            yield Open(listener.getsockname()[1], door, failed)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await door.shut()


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    """An authority."""
    return authority(tmp_path)


@LOOPS
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", "not_tls"),
        (b"CONNECT x:443 HTTP/1.1\r\n\r\n", "not_tls"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not_tls"),
        (b"\x00\xff" * 500, "not_tls"),
        (b"\x16\x03\x01\xff\xff" + b"a" * 200, "malformed"),
        (b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c" + b"z" * 12, "malformed"),
    ],
    ids=["http", "connect", "http2", "noise", "record", "hello"],
)
def test_garbage_is_counted_and_the_next_is_served(ca: Authority, run: Run, sent: bytes, reason: str) -> None:
    """Whatever comes instead of a handshake is closed without a word of HTTP, and does no harm to the next client."""

    async def story() -> None:
        async with standing(ca) as opened:
            for _ in range(3):
                assert b"HTTP" not in await opened.sends(sent)
                assert await opened.reason() == reason
            await opened.echoes(ca.trusting())
            assert opened.failed.empty()

    run(story())


@LOOPS
def test_a_client_that_leaves_is_counted(ca: Authority, run: Run) -> None:
    """Before its first byte, or in the middle of its hello."""

    async def story() -> None:
        async with standing(ca) as opened:
            for part in (b"", b"\x16\x03\x01"):
                _, writer = await opened.connect()
                writer.write(part)
                writer.close()
                assert await opened.reason() == "client_gone"

    run(story())


@LOOPS
@pytest.mark.parametrize("dribble", [False, True], ids=["silent", "dribbling"])
def test_a_slow_handshake_is_cut_at_its_deadline(ca: Authority, run: Run, dribble: bool) -> None:
    """The deadline is for the whole of it: bytes that trickle in do not extend it."""

    async def story() -> None:
        async with standing(ca, DoorLimits(1.0, 100)) as opened:
            reader, writer = await opened.connect()
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
            async with asyncio.timeout(30):
                while opened.failed.empty():
                    with contextlib.suppress(ConnectionError):
                        writer.write(b"\x00" if dribble else b"")
                    await asyncio.sleep(0.05)
                assert await opened.reason() == "timeout"
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()

    run(story())


@LOOPS
def test_slow_handshakes_cannot_keep_others_out(ca: Authority, run: Run) -> None:
    """When all places are taken the oldest is cut, and a client that means it gets through at once."""

    async def story() -> None:
        async with standing(ca, DoorLimits(60.0, 3)) as opened:
            held = [await opened.connect() for _ in range(3)]
            await opened.echoes(ca.trusting())
            assert await opened.reason() == "crowded_out"
            async with asyncio.timeout(30):
                assert await held[0][0].read() == b""
            for _ in range(20):
                await opened.echoes(ca.trusting())
            assert opened.failed.qsize() <= 2  # the other two of the held ones, and nobody else
            for _, writer in held:
                writer.close()

    run(story())


@LOOPS
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("old", ["1.1", "cbc"])
def test_old_versions_and_ciphers_are_refused(ca: Authority, run: Run, old: str) -> None:
    """TLS 1.1 and suites without an AEAD end the handshake."""
    context = ca.trusting()
    if old == "1.1":
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA")

    async def story() -> None:
        async with standing(ca) as opened:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await opened.connect(context)
            assert await opened.reason() == "no_common_version_or_cipher"

    run(story())


@LOOPS
def test_what_is_agreed(ca: Authority, run: Run) -> None:
    """TLS 1.3 where the client can, 1.2 where not; HTTP/1.1 and never HTTP/2."""

    async def story() -> None:
        async with standing(ca) as opened:
            new, old = ca.trusting(), ca.trusting()
            new.set_alpn_protocols(["h2", "http/1.1"])
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_alpn_protocols(["h2"])
            agreed = await opened.echoes(new)
            assert (agreed.version(), agreed.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
            agreed = await opened.echoes(old)
            assert (agreed.version(), agreed.selected_alpn_protocol()) == ("TLSv1.2", None)

    run(story())


@LOOPS
@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates_are_held_against_the_ca(
    ca: Authority, run: Run, tmp_path: Path, required: bool, version: ssl.TLSVersion
) -> None:
    """A good one passes; none passes only where none is required; expired, early, another CA's and a server's never do."""
    stranger = authority(tmp_path / "stranger", "stranger")
    bad = (ca.client("old", ends=-0.5), ca.client("early", begins=1), stranger.client("other"), ca.server("a-server"))

    def shows(*own: Any) -> ssl.SSLContext:
        context = ca.trusting(*own)
        context.maximum_version = version
        return context

    async def story() -> None:
        async with standing(ca, client_ca=ca.file, client_required=required) as opened:
            await opened.echoes(shows(ca.client()))
            refused = [*bad, None] if required else [*bad]
            for own in refused:
                with pytest.raises((OSError, asyncio.IncompleteReadError)):
                    await opened.echoes(shows(own))
                assert await opened.reason() == "client_certificate"
            if not required:
                await opened.echoes(shows())

    run(story())


@LOOPS
def test_a_door_that_shuts_leaves_what_came_through(ca: Authority, run: Run) -> None:
    """Handshakes in progress are cut, uncounted; a connection that is through lives on."""

    async def story() -> None:
        async with standing(ca) as opened, asyncio.timeout(30):
            reader, writer = await opened.connect(ca.trusting())
            waiting, other = await opened.connect()
            while not opened.door._waiting:
                await asyncio.sleep(0.01)
            await opened.door.shut()
            assert await waiting.read() == b""
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"
            assert opened.failed.empty()
            writer.close()
            other.close()

    run(story())


@LOOPS
def test_a_closed_listener_ends_the_door(ca: Authority, run: Run) -> None:
    """It does not spin on a socket that is gone."""

    async def story() -> None:
        listener = socket.socket()
        listener.setblocking(False)
        listener.close()
        door = Door(listener, Echo, ssl.SSLContext, lambda _: None, PATIENT)  # type: ignore[arg-type]  # not asked
        await asyncio.wait_for(door.stand_open(), 30)

    run(story())


@LOOPS
def test_without_descriptors_it_waits_and_goes_on(ca: Authority, run: Run) -> None:
    """When the process can open nothing more that is counted, and the client is served as soon as it can."""

    async def story() -> None:
        async with standing(ca) as opened:
            with socket.socket() as client:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                lowest = os.dup(0)
                os.close(lowest)
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
                try:
                    client.connect(("127.0.0.1", opened.port))
                    assert await opened.reason() == "no_room"
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while (reason := await opened.reason()) == "no_room":
                    continue
                assert reason == "not_tls"
                await opened.echoes(ca.trusting())

    run(story())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncio.CancelledError(), "crowded_out"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "client_gone"),
        (ssl.SSLEOFError(), "client_gone"),
        (ssl.SSLError(1, "x"), "malformed"),
        (ValueError("x"), "malformed"),
    ],
)
def test_every_failure_has_a_reason(error: BaseException, reason: str) -> None:
    """Also those that no client of a test brings about."""
    assert reason_of(error) == reason
