"""The gateway's own process is told to end, or is killed."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import pytest
from support.faulting import Heard, Scene, chains, gated, rows, scene, sound, stream
from support.loops import speaks
from support.running import SECONDS, request, until

from gateway.demo.answers import Said
from loadtests.kill_cycles import Tally, cycles

# More than the kernel buffers between two sockets of one machine hold.
LONG = Said(("The boats come back with the tide, and the harbour lies still. " * 80,) * 4000)


def unread(one: Scene) -> socket.socket:
    """A client that asks for a stream and never reads."""
    host, port = one.running.data.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    client.sendall(request(stream=True))
    return client


def test_sigterm_with_a_client_that_does_not_read(tmp_path: Path) -> None:
    """It cannot keep the process: the exchange is cut, has its row, the chain ends with a stop row, and the exit code is 0."""
    with scene(tmp_path, deadlines={"drain": 2, "write": 5, "grace": 0}, limits={"answer": "64MiB"}) as one:
        one.served()
        one.upstream.script(speaks(LONG))
        with unread(one) as client:
            until(lambda: len(client.recv(65536, socket.MSG_PEEK)) > 2000)
            assert one.running.stop() == 0
    assert {row["outcome"] for row in rows(one.running.state, "outcome")[2:]} <= {"abandoned", "overloaded"}
    assert len(rows(one.running.state, "outcome")) == 3
    assert len(rows(one.running.state, "stop")) == 1
    assert sound(one.running.state)


def test_a_second_sigterm_changes_nothing(tmp_path: Path) -> None:
    """An impatient operator does not cost the stream in flight its end."""
    go, heard, got = Heard(), Heard(), []
    with scene(tmp_path, answer=gated(go, Said(("The boats come back. ",) * 12))) as one:
        reader = threading.Thread(target=lambda: got.append(stream(one.running, heard)))
        reader.start()
        until(lambda: one.upstream.requests)
        one.running.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in one.running.log())
        one.running.process.send_signal(signal.SIGTERM)
        one.running.process.send_signal(signal.SIGINT)
        go.set()
        assert one.running.process.wait(SECONDS) == 0
        reader.join(SECONDS)
    assert got[0].endswith(b"data: [DONE]\n\n")
    assert [row["outcome"] for row in rows(one.running.state, "outcome")] == ["served"]


def held(tally: Tally, state: Path, number: int) -> None:
    """The claims of every kill -9."""
    assert tally.cycles == number
    assert tally.upstream > 0
    assert (tally.missing, tally.unverified) == (0, 0)
    assert sound(state)
    assert len(rows(state, "start")) == number + 1
    assert [chain.replica for chain in chains(state)] == ["r1"]


def test_kill_9_ten_times(tmp_path: Path) -> None:
    """Killed at random moments under load: every request at the model server has its intent row, each restart verifies and serves."""
    held(cycles(10, tmp_path / "state", report=lambda _: None), tmp_path / "state", 10)


@pytest.mark.slow
def test_kill_9_two_hundred_times(tmp_path: Path) -> None:
    """The same for 200 cycles on one state directory (`make kill-cycles`)."""
    held(cycles(200, tmp_path / "state", report=lambda _: None), tmp_path / "state", 200)
