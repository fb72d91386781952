"""A gateway's listeners over real TLS: what is checked on decrypted bytes, what certificates prove, and renewal under open streams."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.certificates import Authority, Pair, authority, fingerprint
from support.running import CHAT, question

from gateway.app.gateway import Gateway
from gateway.app.listeners import Applications, Listeners, admin_hosts
from gateway.app.serving import ListenError
from gateway.demo.answers import Said, openai_events
from gateway.demo.scripted import ScriptedUpstream, Until, streamed
from gateway.ledger import verify
from gateway.metrics import PREFIX, metrics
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import load
from gateway.settings.model import Settings

Make = Callable[..., Settings]
Start = Callable[[Settings], Awaitable[Gateway]]
ADDRESS = {"address": "127.0.0.1:0"}


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    """An authority."""
    return authority(tmp_path)


@pytest.fixture
def pair(ca: Authority) -> Pair:
    """What the data plane listens with."""
    return ca.server()


def client(gateway: Gateway, verify: ssl.SSLContext) -> httpx.AsyncClient:
    """A client of the data plane."""
    return httpx.AsyncClient(base_url=gateway.addresses.data, verify=verify, trust_env=False, timeout=60)


def encrypted(pair: Pair, **more: Any) -> dict[str, Any]:
    """A listener with these files."""
    return {**ADDRESS, "tls": {**pair.settings, **more}}


def counted(gateway: Gateway, name: str, **labels: str) -> float:
    """One sample."""
    return gateway.metrics.registry.get_sample_value(PREFIX + name, labels) or 0.0


def rows(gateway: Gateway) -> list[dict[str, Any]]:
    """The ledger so far."""
    return [json.loads(line) for line in verify.export(gateway.settings.state / "ledger")]


async def connected(gateway: Gateway, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection to the data plane."""
    port = int(gateway.addresses.data.rpartition(":")[2])
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def shown(gateway: Gateway, context: ssl.SSLContext) -> str:
    """The fingerprint of the certificate that a new connection sees."""
    _, writer = await connected(gateway, context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return "sha256:" + hashlib.sha256(der).hexdigest()


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def test_requests_are_served_over_tls(make: Make, start: Start, ca: Authority, pair: Pair) -> None:
    """To those who trust the authority; others turn away, plain HTTP gets nothing, and both are counted."""
    gateway = await start(make(listen=encrypted(pair)))
    assert gateway.addresses.data.startswith("https://127.0.0.1:")
    async with client(gateway, ca.trusting()) as http:
        answer = await http.post(CHAT, json=question())
        assert answer.json()["choices"][0]["message"]["content"]
    async with client(gateway, authority(pair.cert.parent / "other", "other").trusting()) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await http.post(CHAT, json=question())
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(gateway.addresses.data.replace("https:", "http:") + "/v1/models")
    await until(lambda: counted(gateway, "tls_handshake_failures_total", listener="listen", reason="not_tls") == 1)
    assert counted(gateway, "tls_certificate_expiry_timestamp_seconds", listener="listen") > 0
    assert not [row for row in rows(gateway) if "certificate" in row]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\nX: y\r\n\r\n{}", 400, "bare_line_end"),
        (b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "duplicate_header"),
        (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, 431, "head_too_large"),
    ],
    ids=["bare LF", "two hosts", "two lengths", "large head"],
)
async def test_the_bytes_inside_are_checked(
    make: Make, start: Start, ca: Authority, pair: Pair, sent: bytes, status: int, code: str
) -> None:
    """Framing that parsers disagree about is refused under TLS as without, in our shape, and the connection closes."""
    gateway = await start(make(listen=encrypted(pair)))
    reader, writer = await connected(gateway, ca.trusting())
    writer.write(sent)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["type"] == "invalid_request_error"
    assert code in error["code"]
    assert counted(gateway, "refusals_total", reason=error["code"]) == 1


async def test_a_client_certificate_is_evidence(make: Make, start: Start, ca: Authority, pair: Pair) -> None:
    """Both rows of an exchange have its fingerprint; headers that say so of another are not believed."""
    gateway = await start(make(listen=encrypted(pair, client_ca=str(ca.file))))
    own, other = ca.client("own", "spiffe://prod.test/own"), ca.client("other")
    claims = {
        "x-forwarded-client-cert": f"Hash={fingerprint(other)}",
        "x-client-cert": other.cert.read_text().replace("\n", ""),
        "asl_gateway.peer": fingerprint(other),
    }
    async with client(gateway, ca.trusting(own)) as http:
        assert (await http.post(CHAT, json=question(), headers=claims)).status_code == 200
    await until(lambda: [row for row in rows(gateway) if row["kind"] == "outcome"])
    kept = [row for row in rows(gateway) if row["kind"] in {"intent", "outcome"}]
    assert [row["certificate"] for row in kept] == [fingerprint(own)] * 2
    assert {row["caller"] for row in kept} == {"anonymous"}


@pytest.mark.parametrize("required", [True, False])
async def test_who_has_no_good_certificate_is_on_record(
    make: Make, start: Start, ca: Authority, pair: Pair, required: bool
) -> None:
    """Whoever shows a bad one is refused in both modes and counted in the ledger; whoever has none only where one is required."""
    tls = encrypted(pair, client_ca=str(ca.file), client_required=required)
    gateway = await start(make(listen=tls))
    stranger = authority(pair.cert.parent / "stranger", "stranger")
    refused = [stranger.client("other"), ca.client("expired", ends=-0.5), *([None] if required else [])]
    for own in refused:
        async with client(gateway, ca.trusting(own)) as http:
            with pytest.raises(httpx.TransportError):
                await http.post(CHAT, json=question())
    labels = {"listener": "listen", "reason": "client_certificate"}
    await until(lambda: counted(gateway, "tls_handshake_failures_total", **labels) == len(refused))
    await until(lambda: sum(r["count"] for r in rows(gateway) if r["kind"] == "refusals") == len(refused))
    assert {r["reason"] for r in rows(gateway) if r["kind"] == "refusals"} == {"client_certificate_refused"}
    assert not [row for row in rows(gateway) if row["kind"] == "intent"]
    if not required:
        async with client(gateway, ca.trusting()) as http:
            assert (await http.post(CHAT, json=question())).status_code == 200
        assert not [row for row in rows(gateway) if "certificate" in row]


async def test_a_certificate_is_renewed_under_open_streams(make: Make, start: Start, ca: Authority, pair: Pair) -> None:
    """New connections see the new one within seconds; every stream that was open ends whole, and its connection serves on."""
    going_on = asyncio.Event()
    said = Said(tuple(f"word{number} " for number in range(300)))
    first, *rest = streamed(openai_events(said))
    async with ScriptedUpstream() as upstream:
        upstream.script((first, *rest[:200], Until(going_on), *rest[200:]))
        model = {"name": "demo-model", "asl": 3, "upstream": {"url": upstream.url}}
        gateway = await start(make(listen=encrypted(pair), models=[model]))
        old = fingerprint(pair)
        assert await shown(gateway, ca.trusting()) == old

        async def stream(http: httpx.AsyncClient, begun: asyncio.Event) -> str:
            text = ""
            async with http.stream("POST", CHAT, json=question(stream=True)) as answer:
                async for line in answer.aiter_lines():
                    begun.set()
                    text += line.removeprefix("data: ") + "\n"
            return text

        async with client(gateway, ca.trusting()) as http:
            begun = [asyncio.Event() for _ in range(20)]
            streams = [asyncio.create_task(stream(http, event)) for event in begun]
            async with asyncio.timeout(60):
                await asyncio.gather(*(event.wait() for event in begun))
            renewed = ca.server("renewed", ends=9)
            renewed.onto(pair)
            async with asyncio.timeout(60):
                while await shown(gateway, ca.trusting()) != fingerprint(renewed):
                    await asyncio.sleep(0.05)
            assert not any(task.done() for task in streams)
            going_on.set()
            async with asyncio.timeout(60):
                texts = await asyncio.gather(*streams)
            assert all("word299" in text and text.rstrip().endswith("[DONE]") for text in texts)
            assert (await http.get("/v1/models")).status_code == 200  # on a connection that saw the old one
    assert counted(gateway, "tls_reload_failures_total", listener="listen") <= 1  # between key and certificate


async def test_a_reload_takes_other_files_or_none(make: Make, start: Start, ca: Authority, pair: Pair) -> None:
    """SIGHUP's way: faults are raised with their key, and what was in use serves on."""
    gateway = await start(make(listen=encrypted(pair)))
    other = ca.server("other")
    await gateway.reload(make(listen=encrypted(other)))
    assert await shown(gateway, ca.trusting()) == fingerprint(other)
    with pytest.raises(ConfigInvalid, match=r"listen\.tls\.key"):
        await gateway.reload(make(listen=encrypted(Pair(pair.cert, other.key))))
    assert await shown(gateway, ca.trusting()) == fingerprint(other)
    assert counted(gateway, "tls_reload_failures_total", listener="listen") == 1


async def test_the_registry_knows_the_certificate_of_the_admin_plane(
    make: Make, start: Start, ca: Authority, pair: Pair
) -> None:
    """Also after it was renewed, so that the command line knows whom to believe."""
    gateway = await start(make(admin=encrypted(pair)))
    registry = gateway.settings.state / "admin.json"

    def registered() -> dict[str, Any]:
        (entry,) = json.loads(registry.read_text())["replicas"]
        return dict(entry)

    assert registered()["admin"].startswith("https://")
    assert registered()["certificate"] == pair.cert.read_text()
    renewed = ca.server("renewed", ends=9)
    renewed.onto(pair)
    await until(lambda: registered()["certificate"] == renewed.cert.read_text())


async def test_a_start_with_bad_files_names_them_all(make: Make, start: Start, ca: Authority, tmp_path: Path) -> None:
    """Nothing is opened, and nothing is made in the state directory."""
    gone = Pair(tmp_path / "none.pem", tmp_path / "none.key")
    with pytest.raises(ConfigInvalid) as caught:
        await start(make(listen=encrypted(gone), admin=encrypted(Pair(ca.server("a").cert, ca.server("b").key))))
    assert [fault.key for fault in caught.value.faults] == ["listen.tls.cert", "listen.tls.key", "admin.tls.key"]
    assert not (tmp_path / "state").exists()


async def test_probes_have_a_listener_of_their_own(make: Make, start: Start) -> None:
    """Health in plain HTTP without a token and under any Host; nothing of the other planes, with whatever token."""
    gateway = await start(make(probes=ADDRESS))
    token = (gateway.settings.state / "operator.token").read_text().strip()
    async with httpx.AsyncClient(base_url=gateway.addresses.probes, trust_env=False, timeout=60) as http:
        assert (await http.get("/livez", headers={"host": "10.0.0.7:8082"})).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"ready": True, "reasons": []}
        head = await http.head("/readyz")
        assert (head.status_code, head.content) == (200, b"")
        for path in ("/metrics", "/api/v1/models", "/api/v1/openapi.json", "/v1/models", "/"):
            assert (await http.get(path, headers={"authorization": f"Bearer {token}"})).status_code == 404
        assert (await http.post("/livez", content=b"x" * 100_000)).status_code == 404
        gateway.pipeline.draining = True
        assert (await http.get("/readyz")).json() == {"ready": False, "reasons": ["draining"]}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        assert (await http.get(gateway.addresses.data + "/livez")).status_code == 404


async def app(*_: object) -> None:
    """Never called."""


@pytest.mark.parametrize(("address", "loopback"), [("127.0.0.1:0", True), ("[::1]:0", True), ("0.0.0.0:0", False)])
def test_the_admin_plane_is_told_where_it_is(address: str, loopback: bool) -> None:
    """Whether a scraper needs a token follows from the address that is really listened on. Nothing is accepted here."""
    told: list[bool] = []

    def admin(on_loopback: bool) -> Any:
        told.append(on_loopback)
        return app

    given = {"listen": ADDRESS, "admin": {"address": address, "plaintext": True}, "models": [MODEL]}
    listeners = Listeners(load(None, {}, given), metrics())
    addresses = listeners.open(Applications(app, admin, app), lambda _: None)
    for listener, _ in listeners.servers:
        listener.close()
    assert told == [loopback]
    assert addresses.probes == ""


MODEL = {"name": "m", "asl": 3, "upstream": {"url": "http://127.0.0.1:9"}}


def test_all_addresses_or_none(recwarn: pytest.WarningsRecorder) -> None:
    """When the last listener cannot be had, the others do not stay open."""
    taken = {"listen": ADDRESS, "admin": ADDRESS, "probes": {"address": "256.0.0.1:0"}, "models": [MODEL]}
    with pytest.raises(ListenError, match=r"256\.0\.0\.1"):
        Listeners(load(None, {}, taken), metrics()).open(Applications(app, lambda _: app, app), lambda _: None)
    assert not recwarn.list


def test_off_loopback_any_host_reaches_the_admin_plane() -> None:
    """Which names lead to an outer address is not known here; the token decides there."""

    class Listener:
        def __init__(self, host: str) -> None:
            self._host = host

        def getsockname(self) -> tuple[str, int]:
            return self._host, 8081

    assert admin_hosts(Listener("0.0.0.0")) == frozenset()  # type: ignore[arg-type]  # all that is asked
    assert b"localhost:8081" in admin_hosts(Listener("127.0.0.1"))  # type: ignore[arg-type]  # the same
