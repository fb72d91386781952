"""A client that leaves at any moment: the model server is let go, the row says abandoned, and others are served."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support.faulting import Scene, scene
from support.loops import speaks
from support.running import SECONDS, request, until

from gateway.demo.answers import Said
from gateway.demo.scripted import Sleep

HEARD = b"boats"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway for all these faults; each test leaves it serving."""
    with scene(tmp_path_factory.mktemp("client")) as made:
        yield made


def connected(one: Scene) -> socket.socket:
    """A plain connection to the data plane."""
    host, port = one.running.data.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), SECONDS)


def abandoned(one: Scene, leave: socket.socket) -> dict[str, str | int]:
    """Hang up, and the row of the exchange."""
    row, _ = one.outcome(leave.close)
    assert (row["outcome"], row["status"]) == ("abandoned", row["status"])
    return dict(row)


def test_gone_in_the_middle_of_its_request(one: Scene) -> None:
    """Half a body and no more: nothing is forwarded, and the row is there although there was never a whole request."""
    asked, client = len(one.upstream.requests), connected(one)
    client.sendall(request()[:-20])
    row = abandoned(one, client)
    assert (row["model"], len(one.upstream.requests)) == ("none", asked)
    one.served()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])
def test_gone_before_the_answer_begins(one: Scene, *, stream: bool) -> None:
    """While the model server is silent: its connection is closed, and the exchange has an intent and an outcome row."""
    one.upstream.script((Sleep(60),))
    asked, client = len(one.upstream.requests), connected(one)
    client.sendall(request(stream=stream))
    until(lambda: len(one.upstream.requests) > asked)
    counted = one.total("requests_total", outcome="abandoned")
    row = abandoned(one, client)
    until(one.upstream.requests[-1].left.is_set)
    assert row["released"] == 0
    assert row["decision"] in {intent["decision"] for intent in one.rows("intent")}
    until(lambda: one.total("requests_total", outcome="abandoned") == counted + 1)
    one.served()


def test_gone_mid_stream(one: Scene) -> None:
    """The model server is stopped, the row counts what was released, and nothing stays reserved."""
    one.upstream.script(speaks(Said(("The boats come back. ",) * 3000), pace=0.05))
    client = connected(one)
    client.sendall(request(stream=True))
    got = b""
    while HEARD not in got:
        got += client.recv(65536)
    row = abandoned(one, client)
    until(one.upstream.requests[-1].left.is_set)
    assert 0 < int(row["released"]) <= int(row["scanned"])
    until(lambda: (one.total("in_flight"), one.total("reserved_bytes")) == (0, 0))
    one.served()


def test_a_half_closed_client_has_left(one: Scene) -> None:
    """A client that closes its sending side counts as gone: the model server is let go and the row says so."""
    one.upstream.script((Sleep(60),))
    asked, client = len(one.upstream.requests), connected(one)
    with client:
        client.sendall(request())
        until(lambda: len(one.upstream.requests) > asked)
        row, _ = one.outcome(lambda: client.shutdown(socket.SHUT_WR))
        assert row["outcome"] == "abandoned"
        until(one.upstream.requests[-1].left.is_set)
        assert client.recv(10) == b""
    one.served()
