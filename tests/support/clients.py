"""A client's end of one exchange, and what it made of the bytes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from gateway.pipeline.ports import ClientGone, Headers

PATIENT = 60.0


class Client:
    """A client's end of one exchange: both ports of the pipeline. ``leave`` hangs up; ``gate`` closed stops its reading."""

    def __init__(
        self, body: bytes, *, media_type: str = "application/json", coding: str = "", chunked: bool = False
    ) -> None:
        self.media_type, self.coding = media_type, coding
        self.declared: int | None = None if chunked else len(body)
        self.parts = [body[at : at + 4096] for at in range(0, len(body), 4096)]
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.uploading = asyncio.Event()  # cleared: the body stalls
        self.uploading.set()
        self._left = asyncio.Event()
        self._moved = asyncio.Event()

    async def read(self) -> bytes:
        await self.uploading.wait()
        if self._left.is_set():
            raise ClientGone
        return self.parts.pop(0) if self.parts else b""

    async def head(self, status: int, headers: Headers) -> None:
        assert not self.status, "the head was sent twice"
        self._present()
        self.status, self.headers = status, dict(headers)

    async def send(self, data: bytes) -> None:
        assert self.status
        assert not self.ended
        await self.gate.wait()
        self._present()
        self.data += data
        self._moved.set()

    async def end(self) -> None:
        assert self.status
        assert not self.ended
        self._present()
        self.ended = True

    async def gone(self) -> None:
        await self._left.wait()

    async def gone_at_head(self, status: int, headers: Headers) -> None:
        """In place of ``head``: hangs up at that moment."""
        self.leave()
        raise ClientGone

    def leave(self) -> None:
        """Hang up."""
        self._left.set()
        self.uploading.set()
        self.gate.set()

    async def until(self, text: str) -> None:
        """Wait until the client has this text."""
        async with asyncio.timeout(PATIENT):
            while text.encode() not in self.data:
                self._moved.clear()
                await self._moved.wait()

    @property
    def body(self) -> Any:
        """The whole body as JSON."""
        return json.loads(self.data)

    @property
    def answer(self) -> Answer:
        """What the client made of the bytes."""
        return Answer.read(self.data, stream=self.headers["content-type"].startswith("text/event-stream"))

    def _present(self) -> None:
        if self._left.is_set():
            raise ClientGone


@dataclass(slots=True)
class Answer:
    """An answer as a client reads it: text by channel, finish reasons, and how a stream ended."""

    texts: dict[str, str] = field(default_factory=dict)
    finishes: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False  # the proper end of a stream, or a whole body

    @classmethod
    def read(cls, data: bytes, *, stream: bool) -> Answer:
        """From a body, in either dialect."""
        made = cls()
        if not stream:
            made._take(json.loads(data))
            made.done = made.error is None
            return made
        for event in data.decode().split("\n\n"):
            for line in event.splitlines():
                if line == "data: [DONE]":
                    made.done = True
                elif line.startswith("data: "):
                    made._take(json.loads(line[6:]))
        return made

    def _take(self, value: dict[str, Any]) -> None:
        if value.get("error"):
            self.error = value["error"]
        for choice in value.get("choices", ()):
            self._choice(choice)
        for block in value.get("content", ()):
            arguments = json.dumps(block["input"]) if "input" in block else ""
            self._add("content", block.get("text", "") + block.get("thinking", "") + arguments)
        delta = value.get("delta", {})
        self._add("content", delta.get("text", "") + delta.get("thinking", "") + delta.get("partial_json", ""))
        if reason := (delta.get("stop_reason") or value.get("stop_reason")):
            self.finishes.append(reason)
        self.done = self.done or value.get("type") == "message_stop"

    def _choice(self, choice: dict[str, Any]) -> None:
        said = choice.get("delta") or choice.get("message") or {}
        for name, text in said.items():
            if isinstance(text, str) and name != "role":
                self._add(f"{choice['index']}.{name}", text)
        for call in said.get("tool_calls") or ():
            self._add(f"{choice['index']}.call", call["function"].get("arguments") or "")
        if choice.get("finish_reason"):
            self.finishes.append(choice["finish_reason"])

    def _add(self, channel: str, text: str) -> None:
        if text:
            self.texts[channel] = self.texts.get(channel, "") + text

    @property
    def text(self) -> str:
        """All text, channel by channel."""
        return "\n".join(self.texts.values())
