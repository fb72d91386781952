"""A chat server without a model: the demo's stand-in where no real one can be installed. Same request, same answer.

Run as ``python -m gateway.demo.scripted --port N``. Like the real one (llama.py) it prints one JSON line when it listens, and ends on
SIGTERM or, where its standard input is a pipe, with that pipe.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import stat
import sys
import threading
import zlib
from typing import Any

import msgspec

from gateway.demo import answers
from gateway.demo.scripted import Recorded, Script, ScriptedUpstream, streamed, unary

# "Repeat after me: X" is answered with X, so that a demo can have any sentence said.
REPEAT = re.compile(r"repeat after me:(.*)", re.IGNORECASE | re.DOTALL)
LINES = (
    "A sidecar runs beside another process and does one job for it, so that neither has to know how the other works.",
    "Bread rises because yeast turns sugar into carbon dioxide, and the gluten of the dough holds the bubbles.",
    "The tide follows the moon: twice a day the water comes up the shore, and twice a day it goes back.",
    "A good test states one claim in one sentence, and fails for one reason only.",
)


class ChatServer:
    """OpenAI chat and Anthropic messages, unary and streamed. ``rate`` is in tokens a second, 0 for no pause."""

    def __init__(self, rate: float = 0.0, model: str = "demo-model") -> None:
        self._pace = 1.0 / rate if rate > 0 else 0.0
        self._model = model

    def answer(self, request: Recorded) -> Script:
        """A handler for ScriptedUpstream."""
        match request.method, request.path:
            case "GET", "/health" | "/v1/health":
                return unary(b'{"status":"ok"}')
            case "GET", "/v1/models":
                listed = {"id": self._model, "object": "model", "created": 0, "owned_by": "scripted"}
                return unary(msgspec.json.encode({"object": "list", "data": [listed]}))
            case "POST", "/v1/chat/completions" | "/v1/messages":
                return self._chat(request)
            case _:
                return _error(404, "no such route")

    def _chat(self, request: Recorded) -> Script:
        try:
            body = msgspec.json.decode(request.body, type=dict[str, Any])
            prompt = _last_user_text(body["messages"])
            most = int(body.get("max_completion_tokens") or body.get("max_tokens") or 1024)
            choices = int(body.get("n") or 1)
        except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
            return _error(400, "not a chat request")
        said = _said(prompt, most)
        used = answers.Tokens(len(prompt.split()), len(said.text) * choices)
        if request.path == "/v1/messages":
            return self._anthropic(said, used, stream=body.get("stream") is True)
        return self._openai((said,) * choices, used, body)

    def _openai(self, choices: tuple[answers.Said, ...], used: answers.Tokens, body: dict[str, Any]) -> Script:
        if body.get("stream") is not True:
            return unary(answers.openai_unary(*choices, model=self._model, tokens=used))
        options = body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        events = answers.openai_events(*choices, model=self._model, tokens=used if asked else None)
        return streamed(events, pace=self._pace)

    def _anthropic(self, said: answers.Said, used: answers.Tokens, *, stream: bool) -> Script:
        if stream:
            return streamed(answers.anthropic_events(said, model=self._model, tokens=used), pace=self._pace)
        return unary(answers.anthropic_unary(said, model=self._model, tokens=used))


def _said(prompt: str, most: int) -> answers.Said:
    repeat = REPEAT.search(prompt)
    text = repeat[1].strip() if repeat else LINES[zlib.crc32(prompt.encode("utf-8", "replace")) % len(LINES)]
    words = text.split(" ")
    pieces = tuple(word if index == 0 else f" {word}" for index, word in enumerate(words))
    return answers.Said(text=pieces[:most], finish="length" if len(pieces) > most else None)


def _last_user_text(messages: Any) -> str:
    """The text of the last user turn, its parts joined. Raises AttributeError, KeyError or TypeError on another shape."""
    for message in reversed(messages):
        if message["role"] == "user":
            content = message["content"]
            return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
    return ""


def _error(status: int, message: str) -> Script:
    return unary(msgspec.json.encode({"error": {"message": message, "type": "invalid_request_error"}}), status)


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal comes or standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.scripted", description="A scripted model server.")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of streamed answers; 0 is no pause")
    parser.add_argument("--model", default="demo-model", help="the model's name in answers")
    given = parser.parse_args(arguments)
    asyncio.run(_serve(given.port, ChatServer(given.rate, given.model), given.model))


async def _serve(port: int, chat: ChatServer, model: str) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        threading.Thread(target=_watch_stdin, args=(loop, over), daemon=True).start()
    async with ScriptedUpstream(port=port) as server:
        server.script(chat.answer)
        line = {"event": "listening", "url": server.url, "model": model, "server": "scripted"}
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
        await over.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """Blocks in a thread until whoever started us goes away. Reads the descriptor: a lock of sys.stdin would trouble the exit."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop ended first
        loop.call_soon_threadsafe(over.set)
