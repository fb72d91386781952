"""Memory and time are bounded by construction: hostile clients and model servers against a real gateway process.

All the while a polite neighbour is served, the admin plane answers, and the process (with its parser process) stays within 64 MiB
of what it held before.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from support.hostile import MIB, answer, connect, delta, forget_peaks, head, memory, neighbours, rude, send
from support.running import CHAT, SECONDS, Running, command, flags, gateway, question, until

ALLOWED = 64 * MIB


@contextlib.contextmanager
def bounded(
    folder: Path, events: Callable[[], Iterable[bytes]] = tuple, environment: dict[str, str] | None = None
) -> Iterator[Running]:
    """A gateway in front of a rude model server; fails where it holds too much or neglects its neighbours in the block."""
    with rude(events) as url, gateway(folder / "state", flags(url, folder / "state"), environment) as running:
        for text in ("hello", "word " * 100_000) * 3:  # everything lazy is there: the parser process, the matchers
            assert running.chat(text).status_code == 200
        idle = memory(running.process.pid, "VmRSS")
        with watched(running, idle, str(environment)):
            yield running


@contextlib.contextmanager
def watched(running: Running, idle: int, what: str) -> Iterator[None]:
    """The neighbours are served, and the most that the process holds in the block is not far above idle."""
    forget_peaks(running.process.pid)
    with neighbours(running):
        yield
    above = memory(running.process.pid, "VmHWM") - idle
    print(f"{what}: {above / MIB:.1f} MiB above an idle {idle / MIB:.0f} MiB")
    assert above < ALLOWED, what


def code_of(raw: bytes) -> str:
    """The error code of an answer."""
    return str(json.loads(raw[raw.index(b"{") : raw.rindex(b"}") + 1])["error"]["code"])


BOMB = zlib.compress(bytes(64 * MIB), 9, wbits=31)
MANY_KEYS = b'{"model":"demo-model","messages":[],' + b",".join(b'"k%d":1' % n for n in range(99_000)) + b"}"
LISTS = b'{"a":[' + b"[]," * 2_700_000 + b"1]}"
PIECES = [b"x" * 65536] * 800

BODIES: dict[str, tuple[list[bytes], str]] = {
    "gzip bomb": ([head(len(BOMB), "content-encoding: gzip"), BOMB], "unsupported_media_type"),
    "64 MiB called gzip": ([head(64 * MIB, "content-encoding: gzip"), *PIECES], "unsupported_media_type"),
    "100,000 deep": ([head(100_000), b"[" * 100_000], "json_too_deep"),
    "objects 100,000 deep": ([head(500_000), b'{"a":' * 100_000], "json_too_deep"),
    "100,000 keys": ([head(len(MANY_KEYS)), MANY_KEYS], "too_many_fields"),
    "8 MiB of empty lists": ([head(len(LISTS)), LISTS], "too_many_values"),
    "a string of 50 MB": ([head(50_000_000), b'{"model":"', *PIECES], "request_too_large"),
    "the same in chunks": ([head(None), *(b"10000\r\n%b\r\n" % piece for piece in PIECES)], "request_too_large"),
    "a chunk without end": ([head(None), b"ffffffff\r\n", *PIECES], "request_too_large"),
}


def test_bombs_are_refused_with_their_reason(tmp_path: Path) -> None:
    """Three of each kind at once: one typed refusal each, and next to nothing is held for them."""
    with bounded(tmp_path) as running:
        idle = memory(running.process.pid, "VmRSS")
        for name, (pieces, code) in BODIES.items():
            with watched(running, idle, name), contextlib.ExitStack() as stack:
                connections = [stack.enter_context(connect(running)) for _ in range(3)]
                for connection in connections:
                    send(connection, pieces)
                assert {code_of(raw) for connection in connections if (raw := answer(connection))} == {code}, name


STREAMS: dict[str, Callable[[], Iterable[bytes]]] = {
    "endless, large events": lambda: itertools.repeat(delta("word " * 400)),
    "endless, small events": lambda: itertools.repeat(delta("a ") * 50),
    "endless comments": lambda: itertools.repeat(b": ping\n\n" * 1000),
    "endless empty lines": lambda: itertools.repeat(b"\n" * 60_000),
    "one event of 32 MiB": lambda: (b"data: " + b"x" * MIB, *(b"x" * MIB for _ in range(31)), b"\n\n"),
    "one line of 32 MiB": lambda: (b"d" * 65536 for _ in range(512)),
}


SLOW = ("endless, small events", "endless comments", "endless empty lines", "one line of 32 MiB")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in STREAMS])
def test_a_model_server_without_measure(tmp_path: Path, name: str) -> None:
    """Five answers at once end with an error at their limit; what a client has until then, it keeps."""
    limit = {"ASL_GATEWAY__LIMITS__ANSWER": "64KiB"} if "small" in name else {}
    with bounded(tmp_path, STREAMS[name], limit) as running, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(running)) for _ in range(5)]
        body = json.dumps(question("be rude", stream=True)).encode()
        for connection in connections:
            send(connection, [head(len(body), "connection: close") + body])
        for end in stack.enter_context(ThreadPoolExecutor(5)).map(_end, connections):
            assert b"error" in end
            assert b"[DONE]" not in end


def _end(connection: socket.socket) -> bytes:
    """The end of all that comes."""
    data = b""
    while found := connection.recv(1 << 20):
        data = (data + found)[-4096:]
    return data


def test_clients_that_do_not_read_are_cut(tmp_path: Path) -> None:
    """Endless answers to four clients that read nothing: what is buffered stays small, and at the deadline they are gone."""
    settings = {"ASL_GATEWAY__DEADLINES__WRITE": "2", "ASL_GATEWAY__LIMITS__ANSWER": "64MiB"}
    with bounded(tmp_path, STREAMS["endless, large events"], settings) as running, contextlib.ExitStack() as stack:
        body = json.dumps(question("be rude", stream=True)).encode()
        for _ in range(4):
            send(stack.enter_context(connect(running, buffer=4096)), [head(len(body)) + body])
        until(lambda: _count(running, 'refusals_total{reason="write_timeout"}') == 4)
    code, out, _ = command("ledger", "export", "--state", str(tmp_path / "state"))
    assert code == 0
    ends = [row["outcome"] for row in map(json.loads, out.splitlines()) if row["kind"] == "outcome" and row["stream"]]
    assert ends == ["abandoned"] * 4


def test_clients_that_send_slowly_are_cut(tmp_path: Path) -> None:
    """Heads and bodies that do not come in time: 408, and the memory that was kept for them is free again."""
    deadlines = {"ASL_GATEWAY__DEADLINES__HEAD": "1", "ASL_GATEWAY__DEADLINES__BODY": "1"}
    with bounded(tmp_path, environment=deadlines) as running, contextlib.ExitStack() as stack:
        heads = [stack.enter_context(connect(running)) for _ in range(50)]
        bodies = [stack.enter_context(connect(running)) for _ in range(50)]
        for connection in heads:
            send(connection, [head(10)[:-2] + b"x-long: " + b"y" * 4000])
        for connection in bodies:
            send(connection, [head(1000), b"{"])
        for connection, code in (
            (c, n) for group, n in ((heads, "head_timeout"), (bodies, "body_timeout")) for c in group
        ):
            raw = answer(connection)
            assert raw.startswith(b"HTTP/1.1 408")
            assert code_of(raw) == code
        until(lambda: _count(running, "reserved_bytes") < 2 * MIB)


def test_room_is_reserved_before_a_body_is_read(tmp_path: Path) -> None:
    """Clients that only announce bodies get 503 once the room is given away, with nothing of their bodies read."""
    room = {"ASL_GATEWAY__LIMITS__IN_FLIGHT": "64MiB"}
    with bounded(tmp_path, environment=room) as running, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(running)) for _ in range(6)]
        send(waiting[0], [head(8 * MIB)])
        until(lambda: _count(running, "reserved_bytes") > 30 * MIB)
        for connection in waiting[1:]:
            send(connection, [head(8 * MIB)])
        codes = [code_of(answer(connection)) for connection in waiting[1:]]
        assert codes == ["overloaded"] * 5


def test_connections_without_a_request_are_capped(tmp_path: Path) -> None:
    """Five hundred half-read heads of 30 KiB where fifty may wait: the oldest make room, whoever comes is served."""
    with (
        bounded(tmp_path, environment={"ASL_GATEWAY__LIMITS__WAITING": "50"}) as running,
        contextlib.ExitStack() as stack,
    ):
        half = head(10)[:-2] + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 3000) for n in range(10))
        for _ in range(500):
            send(stack.enter_context(connect(running)), [half])
        until(lambda: _count(running, 'refusals_total{reason="too_many_waiting"}') >= 450)
        assert running.chat().status_code == 200


def test_an_exchange_that_is_cut_by_a_drain_does_not_wait_for_its_client(tmp_path: Path) -> None:
    """SIGTERM while clients do not read: at the drain deadline they are cut, not at their own, and every exchange has its row."""
    deadlines = {
        "ASL_GATEWAY__DEADLINES__WRITE": "600",
        "ASL_GATEWAY__DEADLINES__DRAIN": "0.5",
        "ASL_GATEWAY__LIMITS__ANSWER": "64MiB",
    }
    state = tmp_path / "state"
    with (
        rude(STREAMS["endless, large events"]) as url,
        gateway(state, flags(url, state), deadlines) as running,
        contextlib.ExitStack() as stack,
    ):
        body = json.dumps(question("be rude", stream=True)).encode()
        for _ in range(5):
            send(stack.enter_context(connect(running, buffer=4096)), [head(len(body)) + body])
        until(lambda: _count(running, "in_flight") == 5)
        assert running.stop() == 0
    _, out, _ = command("ledger", "export", "--state", str(state))
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["outcome"] for row in rows if row["kind"] == "outcome"] == ["overloaded"] * 5


def test_a_flood_on_one_connection_takes_only_its_turn(tmp_path: Path) -> None:
    """Fifteen hundred requests in one write, refused or answered one by one, while the neighbour is served."""
    with bounded(tmp_path) as running, connect(running) as connection:
        send(connection, [b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" * 1500 + b"GET / HTTP/1.1\r\n\r\n"])
        data = b""
        with contextlib.suppress(ConnectionError):
            while found := connection.recv(1 << 20):
                data = (data + found)[-2000:]
        assert b"bad_host" in data
        assert _count(running, 'refusals_total{reason="unknown_route"}') == 1500


def test_a_malformed_body_costs_its_connection(tmp_path: Path) -> None:
    """After the refusal the connection ends, as its head says, once."""
    with bounded(tmp_path) as running, connect(running) as connection:
        send(connection, [head(1) + b"{"])
        data = b""
        while found := connection.recv(65536):
            data += found
        assert data.count(b"connection: close") == data.count(b"HTTP/1.1 400") == 1


def _count(running: Running, name: str) -> float:
    """A sample of /metrics; 0 where it is not there yet."""
    text = httpx.get(running.admin + "/metrics", trust_env=False, timeout=SECONDS).text
    found = [line for line in text.splitlines() if line.startswith("asl_gateway_" + name)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_a_polite_large_request_is_served(tmp_path: Path) -> None:
    """What is bounded is not forbidden: 7 MiB of prompt and an unknown field pass, screened."""
    with bounded(tmp_path) as running:
        answered = httpx.post(
            running.data + CHAT, json=question("word " * 1_400_000, unheard_of=1), trust_env=False, timeout=2 * SECONDS
        )
        assert answered.status_code == 200
        assert answered.headers["x-asl-dropped"] == "unheard_of"
