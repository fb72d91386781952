"""A scripted model server (and any other coroutine) on an event loop of its own thread, so that blocking clients can be tested too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from gateway.demo.answers import Said, Tokens, anthropic_events, anthropic_unary, openai_events, openai_unary
from gateway.demo.scripted import Handler, Recorded, Script, ScriptedUpstream, streamed, unary

T = TypeVar("T")


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 90.0) -> T:
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextlib.contextmanager
def looping() -> Iterator[Loop]:
    """A loop, ended with the block."""
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()


@contextlib.contextmanager
def playing() -> Iterator[ScriptedUpstream]:
    """A scripted model server on a loop of its own."""
    with looping() as loop:
        server = ScriptedUpstream()
        loop.run(server.__aenter__())
        try:
            yield server
        finally:
            loop.run(server.__aexit__(None, None, None))


def speaks(*said: Said, pace: float = 0.0) -> Handler:
    """Answers every chat request, in its dialect and streamed if it asks so, with these choices."""

    def answer(request: Recorded) -> Script:
        body = json.loads(request.body)
        if request.path == "/v1/messages":
            return (
                streamed(anthropic_events(said[0]), pace=pace)
                if body.get("stream")
                else unary(anthropic_unary(said[0]))
            )
        if not body.get("stream"):
            return unary(openai_unary(*said))
        usage = Tokens() if (body.get("stream_options") or {}).get("include_usage") else None
        return streamed(openai_events(*said, tokens=usage), pace=pace)

    return answer
