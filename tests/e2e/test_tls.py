"""A gateway process with TLS on both planes and client certificates demanded: real SDKs, the command line, signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from support.certificates import Authority, Pair, authority, fingerprint
from support.running import Running, command, flags, gateway, until

pytestmark = pytest.mark.xdist_group("e2e")
HELLO: list[Any] = [{"role": "user", "content": "In one sentence: why is the sky blue?"}]
SPIFFE = "spiffe://prod.test/ns/apps/sa/chat"


@dataclass(frozen=True)
class Sealed:
    """A running gateway, its authority and its files, and a client's pair."""

    running: Running
    ca: Authority
    data: Pair
    admin: Pair
    own: Pair

    def shown(self, url: str) -> str:
        """The certificate that a listener shows, in PEM."""
        context = self.ca.trusting(self.own)
        with (
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True) or b"")


@pytest.fixture(scope="module")
def sealed(model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """A gateway at ASL-3 with both planes under TLS, and probes."""
    directory = tmp_path_factory.mktemp("sealed")
    ca, state = authority(directory), directory / "state"
    data, admin, own = ca.server("data"), ca.server("admin"), ca.client("chat", SPIFFE)
    files = ["--tls-cert", data.cert, "--tls-key", data.key, "--tls-client-ca", ca.file]
    files += ["--admin-tls-cert", admin.cert, "--admin-tls-key", admin.key, "--probes-listen", "127.0.0.1:0"]
    arguments = [*flags(model_server, state), *map(str, files)]
    with gateway(state, arguments, verify=ca.trusting(own)) as running:
        yield Sealed(running, ca, data, admin, own)


def sdks(sealed: Sealed, own: Pair | None) -> tuple[openai.OpenAI, anthropic.Anthropic]:
    """Both SDKs as an application makes them for a server under its own authority."""
    verify = sealed.ca.trusting(own)
    url = sealed.running.data
    ours = openai.DefaultHttpxClient(verify=verify, trust_env=False)
    theirs = anthropic.DefaultHttpxClient(verify=verify, trust_env=False)
    return (
        openai.OpenAI(base_url=url + "/v1", api_key="unused", timeout=60, max_retries=0, http_client=ours),
        anthropic.Anthropic(base_url=url, api_key="unused", timeout=60, max_retries=0, http_client=theirs),
    )


def test_both_sdks_chat_and_stream(sealed: Sealed) -> None:
    """Whole answers and streams, and the ledger knows whose certificate asked."""
    for sdk in sdks(sealed, sealed.own):
        with sdk:
            if isinstance(sdk, openai.OpenAI):
                raw = sdk.chat.completions.with_raw_response.create(model="demo-model", messages=HELLO)
                assert raw.parse().choices[0].message.content
                chunks = sdk.chat.completions.create(model="demo-model", messages=HELLO, stream=True)
                assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
            else:
                raw = sdk.messages.with_raw_response.create(model="demo-model", messages=HELLO, max_tokens=24)
                assert raw.parse().content[0].text
                with sdk.messages.stream(model="demo-model", messages=HELLO, max_tokens=24) as stream:
                    assert "".join(stream.text_stream)
            decision = raw.headers["x-asl-decision-id"]
        code, out, _ = command("ledger", "show", decision, "--json", "--state", str(sealed.running.state))
        assert code == 0
        assert {row["certificate"] for row in json.loads(out)["rows"]} == {fingerprint(sealed.own)}


def test_without_a_certificate_an_sdk_says_that_it_cannot_connect(sealed: Sealed) -> None:
    """Neither SDK hangs or takes it for an answer."""
    ours, theirs = sdks(sealed, None)
    with ours, pytest.raises(openai.APIConnectionError):
        ours.chat.completions.create(model="demo-model", messages=HELLO)
    with theirs, pytest.raises(anthropic.APIConnectionError):
        theirs.messages.create(model="demo-model", messages=HELLO, max_tokens=24)


def test_an_sdk_that_trusts_others_turns_away(sealed: Sealed) -> None:
    """The system's authorities do not vouch for the gateway."""
    with openai.OpenAI(base_url=sealed.running.data + "/v1", api_key="unused", max_retries=0, timeout=60) as sdk:
        with pytest.raises(openai.APIConnectionError) as caught:
            sdk.models.list()
        assert isinstance(caught.value.__cause__, httpx.ConnectError | httpx2.ConnectError)


def test_the_command_line_knows_the_admin_plane(sealed: Sealed, tmp_path: Path) -> None:
    """By admin.json without a word, or by its authority; another authority ends it, saying what to do."""
    show = ("level", "show", "--json", "--state", str(sealed.running.state))
    assert command(*show)[0] == 0
    assert command(*show, "--ca", str(sealed.ca.file))[0] == 0
    other = authority(tmp_path, "other")
    for environment in ({}, {"SSL_CERT_FILE": str(sealed.ca.file)}):
        code, out, errors = command(*show, "--ca", str(other.file), environment=environment)
        assert (code, out) == (1, "")
        assert "CERTIFICATE_VERIFY_FAILED" in errors
        assert "--ca" in errors


def test_signals_renew_certificates(sealed: Sealed) -> None:
    """SIGHUP takes over a renewed pair; a pair that does not match leaves everything as it is, and the log says which key."""
    running = sealed.running
    for pair, url in ((sealed.data, running.data), (sealed.admin, running.admin)):
        sealed.ca.server("renewed", ends=9).onto(pair)
        os.kill(running.process.pid, signal.SIGHUP)
        until(lambda url=url, pair=pair: sealed.shown(url) == pair.cert.read_text())
    kept, before = sealed.data.cert.read_bytes(), sealed.shown(running.data)
    sealed.data.cert.write_bytes(sealed.ca.server("unmatched").cert.read_bytes())
    os.kill(running.process.pid, signal.SIGHUP)
    until(lambda: "listen.tls.key" in running.log())
    assert sealed.shown(running.data) == before
    assert running.chat().status_code == 200
    sealed.data.cert.write_bytes(kept)
    show = ("level", "show", "--json", "--state", str(running.state))
    until(lambda: command(*show)[0] == 0)
    text = httpx.get(running.admin + "/metrics", verify=running.verify, trust_env=False).text
    assert 'asl_gateway_tls_reload_failures_total{listener="listen"}' in text


def test_a_crowd_that_does_not_speak_keeps_nobody_out(sealed: Sealed) -> None:
    """More silent connections than there are places for handshakes: a client that speaks is served, and the crowd is counted."""
    port = int(sealed.running.data.rpartition(":")[2])
    with contextlib.ExitStack() as crowd:
        for _ in range(300):
            crowd.enter_context(socket.create_connection(("127.0.0.1", port), 30))
        assert sealed.running.chat().status_code == 200
        text = httpx.get(sealed.running.admin + "/metrics", verify=sealed.running.verify, trust_env=False).text
        name = 'asl_gateway_tls_handshake_failures_total{listener="listen",reason="crowded_out"} '
        assert float(text.partition(name)[2].partition("\n")[0]) >= 300 - 256


def test_probes_are_told_where_they_are(sealed: Sealed) -> None:
    """The line that says that it listens names the probes' listener, which needs neither TLS nor token."""
    url = sealed.running.line["probes"]
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(url + "/readyz", trust_env=False, timeout=30).json() == {"ready": True, "reasons": []}


def test_a_drain_ends_in_time_with_connections_open(model_server: str, tmp_path: Path) -> None:
    """SIGTERM with a handshake in progress and an idle TLS connection: exit 0, and the chain verifies."""
    ca, state = authority(tmp_path), tmp_path / "state"
    pair = ca.server()
    arguments = [*flags(model_server, state), "--tls-cert", str(pair.cert), "--tls-key", str(pair.key)]
    with gateway(state, arguments, verify=ca.trusting()) as running:
        port = int(running.data.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), 30),
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            ca.trusting().wrap_socket(plain, server_hostname="localhost"),
        ):
            assert running.chat().status_code == 200
            assert running.stop() == 0
    assert command("ledger", "verify", "--state", str(state))[0] == 0


@pytest.mark.parametrize("how", ["serve", "check-config"])
def test_files_that_do_not_fit_end_a_start_and_a_check(how: str, tmp_path: Path, model_server: str) -> None:
    """Exit 3 with the file and the key of each fault."""
    ca = authority(tmp_path)
    one, old = ca.server("one"), ca.server("old", ends=-0.5)
    config = {
        "listen": {"address": "127.0.0.1:0", "tls": {"cert": "one.pem", "key": "old.key"}},
        "admin": {"address": "127.0.0.1:0", "tls": {"cert": "old.pem", "key": "old.key"}},
        "classifiers": False,
        "models": [{"name": "demo-model", "asl": 3, "upstream": {"url": model_server}}],
    }
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(config))
    code, out, errors = command(*(("serve", "--config") if how == "serve" else ("check-config",)), str(file))
    assert code == 3
    found = errors if how == "serve" else out
    assert f"{old.key}: listen.tls.key: is not the key of {one.cert}" in found
    assert f"{old.cert}: admin.tls.cert: expired on" in found


def test_an_admin_plane_off_loopback_needs_tls_or_a_word(tmp_path: Path, model_server: str) -> None:
    """It is refused before anything listens, with what to write."""
    code, _, errors = command(*flags(model_server, tmp_path / "state"), "--admin-listen", "0.0.0.0:0")
    assert code == 3
    assert "tls: {cert, key}" in errors
    assert "plaintext: true" in errors
