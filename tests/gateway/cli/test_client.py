"""How the command finds a gateway, and what it says when it does not."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import typer
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
