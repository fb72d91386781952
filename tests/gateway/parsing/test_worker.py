"""The parser process's own side, over a real socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import msgspec
import pytest
from support.pipelines import OPENAI, body_of

from gateway.parsing.frames import LENGTH, Ask, Assembly, Refused, pack, read
from gateway.parsing.worker import answer, serve
from gateway.wire.base import WireLimits

LIMITS = WireLimits()


def receive(connection: socket.socket) -> bytes:
    """One message."""
    head = connection.recv(LENGTH.size, socket.MSG_WAITALL)
    return connection.recv(LENGTH.unpack(head)[0], socket.MSG_WAITALL)


def test_it_answers_one_after_the_other_until_the_other_side_closes() -> None:
    """Each answer carries the number of its question; the end of the connection ends the process."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(30)
        thread = threading.Thread(target=serve, args=(theirs,), daemon=True)
        thread.start()
        for number in (1, 2):
            body = body_of(OPENAI, f"text {number}")
            ours.sendall(pack(Ask(number, OPENAI.id, LIMITS, len(body))) + body)
            assembly, made = Assembly(number, OPENAI.id), None
            while made is None:
                made = assembly.take(read(receive(ours)))
            assert made.leaves[0].text == f"text {number}"
        ours.sendall(pack(Ask(3, OPENAI.id, LIMITS, 1))[:7])
        ours.shutdown(socket.SHUT_WR)
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 100_000, "json_too_deep"),
        (b'{"a":' * 100_000, "json_too_deep"),
        (b"{", "invalid_json"),
        (b'{"a":"' + b"\xff" * 300_000 + b'"}', "not_utf8"),
        (b'{"a":[' + b"[]," * 400_000 + b"1]}", "too_many_values"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(120_000)) + b"}", "too_many_keys"),
    ],
)
def test_what_is_no_request_is_refused_with_its_code(body: bytes, code: str) -> None:
    """The same codes as in place, also for what is far too deep or too many."""
    (message,) = answer(Ask(1, OPENAI.id, LIMITS, len(body)), body, {OPENAI.id: OPENAI})
    assert isinstance(message, Refused)
    assert message.code == code


def test_what_is_no_question_ends_it() -> None:
    """A broken question is a fault of ours: the process dies of it and is started anew, and nothing is answered."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(LENGTH.pack(3) + b"abc")
        with pytest.raises(msgspec.MsgspecError):
            serve(theirs)


def test_it_imports_nothing_heavy() -> None:
    """It starts in the time of an interpreter: no server, no HTTP client, no classifier, no settings."""
    code = "import sys, gateway.parsing.worker; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"httpx", "uvicorn", "starlette", "numpy", "pydantic", "asyncio"} & set(done.stdout.split())
