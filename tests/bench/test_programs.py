"""The two programs in C say and see what they are asked to; a figure of a broken run is never reported."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from loadtests.bench import load
from loadtests.bench.matter import SEED_GAPS, Matter, stream_bodies
from loadtests.bench.tools import Tools, missing
from loadtests.rig import CHAT, RigFailed, body

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'


def chunked(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def saying(*pieces: bytes) -> Iterator[int]:
    """A server that sends these pieces to one client, each on its own, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)

        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()[1]
        server.join(30)


@pytest.mark.parametrize("gap_us", [0, 1000])
def test_a_stream_has_the_chunks_and_the_text_that_were_asked_for(upstream: int, matter: Matter, gap_us: int) -> None:
    """Seven tokens from the third on come in order, at once or paced, between the role and the reason for the end."""
    asked = body("Hello.", stream=True) | {"max_tokens": 7, "seed": 2 * SEED_GAPS + gap_us}
    said = httpx.post(f"http://127.0.0.1:{upstream}{CHAT}", json=asked, trust_env=False, timeout=30).text
    *events, done = [line.removeprefix("data: ") for line in said.splitlines() if line]
    choices = [json.loads(event)["choices"][0] for event in events]
    assert done == "[DONE]"
    assert [choice["delta"].get("content") for choice in choices] == [
        "",
        *matter.tokens.read_text().split("\n")[2:9],
        None,
    ]
    assert [choice["finish_reason"] for choice in choices] == [None] * 8 + ["stop"]


def test_streams_are_counted_to_the_last_event(tools: Tools, upstream: int, matter: Matter, tmp_path: Path) -> None:
    """Four streams of thirty tokens are 128 events: each has a role and an end too."""
    bodies = stream_bodies(matter, tmp_path / "bodies", streams=4, chunks=30, gap_us=500, salt=1)
    seen = load.streams(tools, upstream, bodies, count=4, stagger_us=100, seconds=60, core=-1)
    assert (seen.streams, seen.events) == (4, 4 * 32)
    assert 0 < seen.first <= seen.text <= seen.text_worst <= seen.total


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_events_are_found_wherever_reads_and_chunks_are_cut(tools: Tools, tmp_path: Path, cut: int) -> None:
    """The reader sees two events and the end, however an event is cut into chunks and however the bytes are cut into reads."""
    data = EVENT + EVENT + b"data: [DONE]\n\n"
    sent = HEAD + b"".join(chunked(data[at : at + cut]) for at in range(0, len(data), cut)) + chunked(b"")
    (tmp_path / "bodies").write_text("{}\n")
    with saying(sent[: cut * 5], sent[cut * 5 :]) as port:
        seen = load.streams(tools, port, tmp_path / "bodies", count=1, stagger_us=0, seconds=60, core=-1)
    assert seen.events == 2


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((HEAD, chunked(EVENT)), id="cut"),
        pytest.param((HEAD, chunked(EVENT), chunked(b"")), id="no [DONE]"),
        pytest.param((b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",), id="refused"),
    ],
)
def test_a_broken_stream_is_no_figure(tools: Tools, tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    """A stream that is cut, has no end mark, or is refused ends the measurement with an error."""
    (tmp_path / "bodies").write_text("{}\n")
    with saying(*pieces) as port, pytest.raises(RigFailed, match="1 of 1 streams"):
        load.streams(tools, port, tmp_path / "bodies", count=1, stagger_us=0, seconds=60, core=-1)


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with 503."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_requests_that_are_refused_are_no_figure(matter: Matter) -> None:
    """A refusal is quick to give: a run that has one ends the measurement with an error instead of a high rate."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(RigFailed, match="bad_status"):
                load.unary(server.server_port, matter.prompts, connections=1, seconds=1, salt=1, core=-1)
        finally:
            server.shutdown()
            thread.join(30)


def test_a_missing_program_is_named_by_its_package() -> None:
    """What is here is not asked for, and a program that is nowhere is an error rather than a skipped measurement."""
    assert missing(("taskset",)) == []
    with pytest.raises(KeyError):
        missing(("no-such-program",))
