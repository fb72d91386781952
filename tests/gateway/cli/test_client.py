"""How the command finds a gateway, and what it says when it does not."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import typer
from cryptography import x509
from support.certificates import Authority, Pair, authority, encrypted
from support.running import Running

from gateway.cli.client import AdminClient
from gateway.cli.exits import Exit


def registered(tmp_path: Path, *urls: str, token: str = "t" * 64) -> Path:
    """A state directory in which these admin URLs are registered."""
    entries = [{"replica": "r1", "pid": 1, "data": "", "admin": url} for url in urls]
    (tmp_path / "admin.json").write_text(json.dumps({"replicas": entries}))
    (tmp_path / "operator.token").write_text(token + "\n")
    return tmp_path


def code_of(act: Callable[[], object]) -> int:
    """The exit code with which something ends."""
    with pytest.raises(typer.Exit) as caught:
        act()
    return int(caught.value.exit_code)


def closed_url() -> str:
    """A URL at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def answering(monkeypatch: pytest.MonkeyPatch, handler: Callable[[httpx.Request], httpx.Response]) -> None:
    """Every client of httpx is answered by this function."""
    real = httpx.Client

    def client(**options: object) -> httpx.Client:
        return real(headers=options["headers"], transport=httpx.MockTransport(handler))  # type: ignore[arg-type]  # as given

    monkeypatch.setattr("gateway.cli.client.httpx.Client", client)


@pytest.mark.parametrize("content", [None, '{"replicas":[]}'])
def test_no_gateway_is_a_failure_with_the_next_step(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a running gateway the command ends with 1 and says how one is started."""
    if content is not None:
        (tmp_path / "admin.json").write_text(content)
        (tmp_path / "operator.token").write_text("t")
    assert code_of(lambda: AdminClient(tmp_path)) == Exit.FAILURE
    assert "asl-gateway serve" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"replicas":[{}]}', '{"replicas":[3]}', "\udcff"])
def test_a_registry_that_cannot_be_read_is_a_failure(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged admin.json ends in a message, not in a trace."""
    (tmp_path / "admin.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    (tmp_path / "operator.token").write_text("t")
    assert code_of(lambda: AdminClient(tmp_path)) == Exit.FAILURE
    assert "admin.json cannot be read" in capsys.readouterr().err


def test_a_token_that_may_not_be_read_is_a_matter_of_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another user's token ends with 4 and says whom to be."""

    def refuse(path: Path, *_: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    assert code_of(lambda: AdminClient(tmp_path)) == Exit.PERMISSION
    assert "as the gateway's user" in capsys.readouterr().err


def test_a_gateway_that_has_gone_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A registered address at which nobody answers ends with 1."""
    client = AdminClient(registered(tmp_path, closed_url()))
    assert code_of(lambda: client.get("/models")) == Exit.FAILURE
    assert "is it still running?" in capsys.readouterr().err


def test_the_next_replica_is_asked_when_one_has_gone(tmp_path: Path, shared: Running) -> None:
    """A killed replica that is still registered does not stand in the way of a living one."""
    client = AdminClient(registered(tmp_path, closed_url(), shared.admin, token=shared.token))
    assert client.get("/models")["models"][0]["model"] == "demo-model"


def test_a_change_is_not_sent_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that broke after the request was sent is no reason to ask another replica."""
    asked: list[str] = []

    def breaks(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        raise httpx.ReadError("broken off")

    answering(monkeypatch, breaks)
    client = AdminClient(registered(tmp_path, "http://one.test", "http://two.test"))
    assert code_of(lambda: client.post("/models/m/brakes", {})) == Exit.FAILURE
    assert asked == ["one.test"]


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (404, 1), (409, 1), (422, 1), (503, 1)])
def test_a_refusal_has_its_exit_code_and_its_detail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    """Only what a better token would help is a matter of permission."""
    answering(monkeypatch, lambda _: httpx.Response(status, json={"detail": "because"}))
    client = AdminClient(registered(tmp_path, "http://one.test"))
    assert code_of(lambda: client.get("/models")) == code
    assert "because" in capsys.readouterr().err


def test_an_answer_of_something_else_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program on the registered port is told apart from a gateway."""
    answering(monkeypatch, lambda _: httpx.Response(200, text="<html>"))
    client = AdminClient(registered(tmp_path, "http://one.test"))
    assert code_of(lambda: client.get("/models")) == Exit.FAILURE
    assert "not as a gateway does" in capsys.readouterr().err


def test_the_token_is_sent_and_proxies_are_not_used(
    tmp_path: Path, shared: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's token goes to the gateway directly, whatever the environment says about proxies."""
    monkeypatch.setitem(os.environ, "http_proxy", closed_url())
    client = AdminClient(registered(tmp_path, shared.admin, token=shared.token))
    assert client.get("/rules")["rules"] == []


@dataclass(frozen=True)
class Shown:
    """A server under TLS: its URL, and what it was sent."""

    url: str
    asked: list[bytes]


@contextlib.contextmanager
def showing(pair: Pair, client_ca: Path | None = None) -> Iterator[Shown]:
    """An admin plane in a thread, as far as the command line can tell: shows this certificate, answers everything with no models."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if client_ca is not None:
        context.load_verify_locations(str(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["authorization"].encode())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"models": []}')

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that turns away is what some want
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Shown(f"https://127.0.0.1:{server.server_address[1]}", asked)
        finally:
            server.shutdown()
            thread.join(30)


def known(tmp_path: Path, url: str, certificate: str | None) -> Path:
    """A state directory that registers a replica with this certificate."""
    state = tmp_path / "state"
    state.mkdir()
    registered(state, url)
    entry = {"replica": "r1", "pid": 1, "data": "", "admin": url}
    entry |= {"certificate": certificate} if certificate is not None else {}
    (state / "admin.json").write_text(json.dumps({"replicas": [entry]}))
    return state


@pytest.fixture
def authorities(tmp_path: Path) -> tuple[Authority, Authority]:
    """Two of them."""
    return authority(tmp_path / "a", "a"), authority(tmp_path / "b", "b")


def test_the_registered_certificate_is_believed_whatever_its_name(
    tmp_path: Path, authorities: tuple[Authority, Authority]
) -> None:
    """The state directory vouches for that very certificate: no authority and no name are needed."""
    pair = authorities[0].server(names=[x509.DNSName("gateway.example")])
    with showing(pair) as shown:
        client = AdminClient(known(tmp_path, shown.url, pair.cert.read_text()))
        assert client.get("/models") == {"models": []}
        assert shown.asked == [b"Bearer " + b"t" * 64]


@pytest.mark.parametrize("other", ["same authority", "another authority", "the authority itself"])
def test_another_certificate_gets_no_token(
    tmp_path: Path, authorities: tuple[Authority, Authority], other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither one of the same authority, nor when what is registered is the authority's own: only the very one is believed."""
    ours, theirs = authorities
    registered_pem = {
        "same authority": ours.server("twin").cert,
        "another authority": theirs.server("stranger").cert,
        "the authority itself": theirs.file,
    }[other].read_text()
    with showing(ours.server()) as shown:
        client = AdminClient(known(tmp_path, shown.url, registered_pem))
        assert code_of(lambda: client.get("/models")) == Exit.FAILURE
        assert shown.asked == []
    assert "--ca" in capsys.readouterr().err


def test_an_authority_vouches_for_names(tmp_path: Path, authorities: tuple[Authority, Authority]) -> None:
    """With --ca the certificate may be any of that authority, and its name must be the URL's."""
    ours, theirs = authorities
    with showing(ours.server()) as shown:
        state = known(tmp_path, shown.url, theirs.server("stranger").cert.read_text())
        assert AdminClient(state, ours.file).get("/models") == {"models": []}
        assert code_of(lambda: AdminClient(state, theirs.file).get("/models")) == Exit.FAILURE
        assert len(shown.asked) == 1
    with showing(ours.server("named", names=[x509.DNSName("gateway.example")])) as shown:
        (state / "admin.json").write_text(
            json.dumps({"replicas": [{"replica": "r1", "pid": 1, "data": "", "admin": shown.url}]})
        )
        assert code_of(lambda: AdminClient(state, ours.file).get("/models")) == Exit.FAILURE
        assert (
            code_of(lambda: AdminClient(state).get("/models")) == Exit.FAILURE
        )  # the system's authorities do not know it
        assert shown.asked == []


def test_the_commands_own_certificate_is_shown_where_one_is_asked_for(
    tmp_path: Path,
    authorities: tuple[Authority, Authority],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without it the command says which variables name it; one that cannot be read is a message too."""
    ours, _ = authorities
    own, pair = ours.client(), ours.server()
    with showing(pair, ours.file) as shown:
        client = AdminClient(known(tmp_path, shown.url, pair.cert.read_text()))
        assert code_of(lambda: client.get("/models")) == Exit.FAILURE
        assert "ASL_GATEWAY_CLIENT_CERT" in capsys.readouterr().err
        monkeypatch.setenv("ASL_GATEWAY_CLIENT_CERT", str(own.cert))
        monkeypatch.setenv("ASL_GATEWAY_CLIENT_KEY", str(own.key))
        assert client.get("/models") == {"models": []}
        for key in (str(tmp_path / "none.key"), str(pair.key)):
            monkeypatch.setenv("ASL_GATEWAY_CLIENT_KEY", key)
            assert code_of(lambda: client.get("/models")) == Exit.FAILURE
            assert "cannot be used" in capsys.readouterr().err
        own.key.write_bytes(encrypted(own))
        monkeypatch.setenv("ASL_GATEWAY_CLIENT_KEY", str(own.key))
        assert code_of(lambda: client.get("/models")) == Exit.FAILURE
        assert "encrypted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listens", "asked"), [("http://0.0.0.0:1", "http://127.0.0.1:1/"), ("https://[::]:1", "https://[::1]:1/")]
)
def test_all_addresses_are_reached_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: str, asked: str
) -> None:
    """An address that is for listening only is not asked."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={})

    answering(monkeypatch, answer)
    AdminClient(registered(tmp_path, listens)).get("/models")
    assert seen == [asked + "api/v1/models"]
