from __future__ import annotations

import io
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.demo import scripted
from gateway.demo.canned import LINES, ChatServer, main
from gateway.demo.scripted import Recorded, Script, Send, Sleep

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def asked(path: str, body: object, method: str = "POST") -> Recorded:
    """A request as the server records it."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Recorded(method, path, (), raw, 1)


def wire(script: Script) -> bytes:
    """All bytes of a script."""
    return b"".join(step.data for step in script if isinstance(step, Send))


def body_of(script: Script) -> dict:
    """The JSON body of a unary answer."""
    return msgspec.json.decode(wire(script).partition(b"\r\n\r\n")[2])


def user(text: object, **more: object) -> dict[str, object]:
    """A chat request of one user turn."""
    return {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}]} | more


async def test_same_request_same_answer() -> None:
    """The answer is one of the canned lines, picked by the last user text alone."""
    chat = ChatServer()
    said = [body_of(chat.answer(asked(CHAT, user(text))))["choices"][0]["message"]["content"] for text in "aabcdefgh"]
    assert said[0] == said[1]
    assert set(said) <= set(LINES)
    assert len(set(said)) > 1


@pytest.mark.parametrize(
    "text", ["Repeat after me: two words", [{"type": "text", "text": "REPEAT AFTER ME:  two words "}]]
)
async def test_repeats_on_request(text: object) -> None:
    """What follows the magic words is the answer, in both dialects."""
    chat = ChatServer()
    assert body_of(chat.answer(asked(CHAT, user(text))))["choices"][0]["message"]["content"] == "two words"
    assert body_of(chat.answer(asked(MESSAGES, user(text))))["content"][0]["text"] == "two words"


async def test_limits_and_choices() -> None:
    """``max_tokens`` cuts the answer and says so; ``n`` gives as many choices; usage counts them."""
    body = user("repeat after me: a b c", max_tokens=2, n=3)
    answer = body_of(ChatServer(model="named").answer(asked(CHAT, body)))
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["a b"] * 3
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}
    assert (answer["model"], answer["usage"]["completion_tokens"]) == ("named", 6)


async def test_streams_at_a_rate() -> None:
    """A streamed answer has one event for each token, paced by the rate; usage comes where it was asked for."""
    body = user("repeat after me: a b c", stream=True)
    script = ChatServer(rate=10).answer(asked(CHAT, body))
    assert Sleep(0.1) in script
    assert b'"content":" b"' in wire(script)
    assert b"data: [DONE]" in wire(script)
    assert b'"usage"' not in wire(script)
    script = ChatServer().answer(asked(CHAT, body | {"stream_options": {"include_usage": True}}))
    assert not [step for step in script if isinstance(step, Sleep)]
    assert b'"usage"' in wire(script)
    assert b"event: message_stop" in wire(ChatServer().answer(asked(MESSAGES, body)))


async def test_no_user_turn() -> None:
    """A conversation without a user turn is answered all the same."""
    for messages in ([], [{"role": "assistant", "content": "x"}]):
        answer = body_of(ChatServer().answer(asked(CHAT, {"messages": messages})))
        assert answer["choices"][0]["message"]["content"] in LINES


@pytest.mark.parametrize(
    "body", [b"", b"[]", {}, {"messages": 1}, {"messages": [1]}, user([1]), user("x", n=[1]), user("x", max_tokens="x")]
)
async def test_odd_requests(body: object) -> None:
    """What is not a chat request gets a 400."""
    assert wire(ChatServer().answer(asked(CHAT, body))).startswith(b"HTTP/1.1 400 ")


async def test_other_routes() -> None:
    """Health and the list of models answer; the rest is 404."""
    chat = ChatServer(model="named")
    assert body_of(chat.answer(asked("/health", b"", "GET"))) == {"status": "ok"}
    assert body_of(chat.answer(asked("/v1/models", b"", "GET")))["data"][0]["id"] == "named"
    assert wire(chat.answer(asked(CHAT, b"", "GET"))).startswith(b"HTTP/1.1 404 ")


@pytest.fixture
def command() -> Iterator[subprocess.Popen[str]]:
    """The scripted server as a process, with a pipe for its input."""
    call = [sys.executable, "-m", "gateway.demo.scripted", "--rate", "0", "--model", "named"]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("how", ["signal", "pipe"])
def test_command(command: subprocess.Popen[str], how: str) -> None:
    """The command says where it listens, answers, and ends on SIGTERM or with its input."""
    line = msgspec.json.decode(command.stdout.readline())
    assert (line["event"], line["model"], line["server"]) == ("listening", "named", "scripted")
    with httpx.Client(base_url=line["url"], trust_env=False) as client:
        answer = client.post(CHAT, json=user("repeat after me: hello there", stream=True))
        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")
    if how == "signal":
        command.send_signal(signal.SIGTERM)
    else:
        command.stdin.close()
    assert command.wait(5) == 0


class Impatient(io.StringIO):
    """An output that asks the process to end as soon as something was written."""

    def flush(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_ends_on_a_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With an input that is no pipe only a signal ends the server."""
    output = Impatient()
    with (tmp_path / "input").open("w+") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", output)
        main(["--model", "named"])
    assert msgspec.json.decode(output.getvalue())["model"] == "named"


def test_ends_with_its_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run as a module the server uses one set of step types, and ends when the pipe that is its input ends."""
    out, into = os.pipe()
    os.write(into, b"ignored")
    os.close(into)
    with os.fdopen(out) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "argv", ["scripted"])
        runpy.run_path(scripted.__file__, run_name="__main__")
    assert msgspec.json.decode(capsys.readouterr().out)["event"] == "listening"
