"""Users of a gateway for locust: single questions, streams, conversations, and one request in a hundred that must be blocked.

Beside locust's own figures each stream reports, as requests of type SSE: ``first byte`` (of the body), ``first text``, ``gap`` (between
two events with text) and ``whole``; blocked requests report ``block`` as type GATE. A request that should be served and is not is a
failure, and so is one that should be blocked and is served.

    locust -f loadtests/locustfile.py --headless -u 20 -r 5 -t 60s --host http://127.0.0.1:8080

Environment: LOCUST_MODEL (demo-model), LOCUST_BLOCKED_EVERY (100), LOCUST_TOKENS (40, of a streamed answer), LOCUST_PACE_US (20000; only
the scripted model server of loadtests/bench reads it). Locust patches sockets and threads: nothing of the gateway is imported here.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust import HttpUser, between, task
from requests import RequestException, Response

CHAT = "/v1/chat/completions"
MODEL = os.environ.get("LOCUST_MODEL", "demo-model")
BLOCKED_EVERY = int(os.environ.get("LOCUST_BLOCKED_EVERY", "100"))
TOKENS = int(os.environ.get("LOCUST_TOKENS", "40"))
PACE_US = int(os.environ.get("LOCUST_PACE_US", "20000"))
# The documented test string of the rules control: it stands in for a harmful prompt at every level.
BLOCKED = "ASL_GATEWAY_TEST_BLOCK_RULES"
PROMPTS = (Path(__file__).parent / "bench" / "prompts.txt").read_text(encoding="utf-8").splitlines()
TURNS = 3
NUMBERS = itertools.count(1)

Message = dict[str, str]


class Wrong(Exception):
    """An answer that is not what this request should get."""


def question() -> tuple[str, bool]:
    """A prompt not sent before, and whether it must be blocked: in the middle of each hundred, so that short runs have one too."""
    number = next(NUMBERS)
    if number % BLOCKED_EVERY == BLOCKED_EVERY // 2:
        return f"{BLOCKED} {number}", True
    return f"{PROMPTS[number % len(PROMPTS)]} ({number})", False


def body(messages: list[Message], *, stream: bool) -> dict[str, Any]:
    """A chat request; the seed says to the scripted model server how fast to speak."""
    return {"model": MODEL, "messages": messages, "stream": stream, "max_tokens": TOKENS, "seed": PACE_US}


def events(answer: Response) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come. Raises Wrong when it ends without its mark."""
    for line in answer.iter_lines(chunk_size=None):
        if line == b"data: [DONE]":
            return
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
    raise Wrong("the stream ended without [DONE]")


class Client(HttpUser):
    """What all kinds of users do."""

    abstract = True
    wait_time = between(0.1, 0.5)

    def report(self, kind: str, name: str, seconds: float, size: int = 0, fault: Exception | None = None) -> None:
        """One custom event."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=seconds * 1000,
            response_length=size,
            exception=fault,
            context={},
        )

    def ask(self, messages: list[Message]) -> str:
        """One unary question; the answer, or nothing."""
        with self.client.post(CHAT, json=body(messages, stream=False), name="chat", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {answer.text[:200]}")
                return ""
            text: str = answer.json()["choices"][0]["message"]["content"]
            if not text:
                answer.failure("an empty answer")
            return text

    def blocked(self, text: str, *, stream: bool) -> None:
        """A request that must be refused, and how long that takes."""
        before = time.perf_counter()
        fault: Exception | None = None
        content = body([{"role": "user", "content": text}], stream=stream)
        with self.client.post(CHAT, json=content, name="to be blocked", catch_response=True) as answer:
            if answer.status_code == 400 and answer.json()["error"]["code"] == "content_filter":
                answer.success()
            else:
                fault = Wrong(f"not blocked: status {answer.status_code}")
                answer.failure(str(fault))
        self.report("GATE", "block", time.perf_counter() - before, fault=fault)

    def listen(self, messages: list[Message]) -> str:
        """One streamed question; the answer as far as it came."""
        begun = time.perf_counter()
        pieces: list[str] = []
        content = body(messages, stream=True)
        with self.client.post(CHAT, json=content, name="stream", stream=True, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {answer.text[:200]}")
                return ""
            try:
                self._hear(answer, begun, pieces)
            except (Wrong, RequestException, ValueError, KeyError, IndexError) as error:
                answer.failure(f"{type(error).__name__}: {error}")
                return ""
            answer.success()
        self.report("SSE", "whole", time.perf_counter() - begun, len(pieces))
        return "".join(pieces)

    def _hear(self, answer: Response, begun: float, pieces: list[str]) -> None:
        """Reads to the end. Raises Wrong when the answer is cut, empty, or reports a fault."""
        last, finish, bytes_seen = 0.0, None, False
        for event in events(answer):
            now = time.perf_counter()
            if not bytes_seen:
                self.report("SSE", "first byte", now - begun)
                bytes_seen = True
            if "error" in event:
                raise Wrong(f"fault in the stream: {event['error']}")
            for choice in event["choices"]:
                finish = choice["finish_reason"] or finish
                if piece := choice["delta"].get("content"):
                    name, since = ("gap", last) if last else ("first text", begun)
                    self.report("SSE", name, now - since, len(piece))
                    last = now
                    pieces.append(piece)
        if finish not in {"stop", "length"} or not pieces:
            raise Wrong(f"finish_reason {finish} after {len(pieces)} pieces")


class Chatting(Client):
    """Asks single questions and waits for whole answers."""

    weight = 4

    @task
    def chat(self) -> None:
        """One question."""
        text, must_block = question()
        if must_block:
            self.blocked(text, stream=False)
        else:
            self.ask([{"role": "user", "content": text}])


class Streaming(Client):
    """Asks single questions and reads the answers as they come."""

    weight = 4

    @task
    def stream(self) -> None:
        """One question."""
        text, must_block = question()
        if must_block:
            self.blocked(text, stream=True)
        else:
            self.listen([{"role": "user", "content": text}])


class Conversing(Client):
    """Keeps a conversation going for some turns, each with all that was said before."""

    weight = 2

    @task
    def converse(self) -> None:
        """One conversation."""
        said: list[Message] = [{"role": "system", "content": "You are a helpful assistant."}]
        for _ in range(TURNS):
            text, must_block = question()
            if must_block:
                self.blocked(text, stream=True)
                continue
            said.append({"role": "user", "content": text})
            if not (heard := self.listen(said)):
                return
            said.append({"role": "assistant", "content": heard})
