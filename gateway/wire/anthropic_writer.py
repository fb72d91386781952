"""Writes a cleared answer in Anthropic's dialect: neutral answer events in, our own serialisation out.

One block is open at a time: it closes when an event of another channel comes, and a text or reasoning channel that comes
back gets a new block, so the order of the events is the order of the answer. A tool call cannot be split over blocks: its
events come together (it is released whole), and anything else is a ValueError, a fault of the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.errors import BadRequest, GatewayError, Overloaded, TooLarge, UpstreamMalformed
from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    Exchange,
    Finish,
    FinishReason,
    OpaqueBlock,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.wire import sse, strict
from gateway.wire.base import AnswerIds, WireLimits

STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "stop_sequence",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.REFUSAL: "refusal",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.PAUSE: "pause_turn",
}
ERROR_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "rate_limit_error",
        "api_error",
    }
)
# One category and one sentence for every safety decision, whichever control made it.
STOP_DETAILS = {
    "type": "refusal",
    "category": "general_harms",
    "explanation": "This request or its answer was blocked by the safeguards of this service.",
}
_REFUSAL = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": STOP_DETAILS}
_OPEN = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
_ZERO = Usage(0, 0)
_NO_IDS = ("", "")


# Refused fields without which a client of the SDK's goes on by itself, when it is told in the API's words.
_DETAILS = {"thread": "thread_unsupported_request"}


def error_body(error: GatewayError, request_id: str | None = None) -> dict[str, Any]:
    """The dialect's error object. ``code`` is ours (clients of this dialect ignore it): it tells operators the exact cause."""
    kind = error.kind if error.kind in ERROR_TYPES else "api_error"
    if isinstance(error, TooLarge):
        kind = "request_too_large"
    elif isinstance(error, Overloaded):
        kind = "overloaded_error"
    inner: dict[str, Any] = {"type": kind, "message": error.message, "code": error.code}
    if error.param is not None:
        inner["param"] = error.param
        if error.param in _DETAILS:
            inner["details"] = {"error_code": _DETAILS[error.param]}
    body: dict[str, Any] = {"type": "error", "error": inner}
    return body if request_id is None else {**body, "request_id": request_id}


def usage_body(usage: Usage) -> dict[str, Any]:
    """Token counts; what was read from a cache is counted apart from ``input_tokens``, as the dialect does."""
    return {
        "input_tokens": max(usage.prompt - usage.cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }


@dataclass(slots=True)
class _Block:
    """A block of a whole answer while it is put together."""

    key: ChannelKey
    kind: str
    text: list[str] = field(default_factory=list)
    signature: str = ""
    ids: tuple[str, str] = _NO_IDS  # of a tool call: id and name

    def body(self) -> dict[str, Any]:
        """The block as the dialect writes it."""
        text = "".join(self.text)
        if self.kind == "text":
            return {"type": "text", "text": text}
        if self.kind == "thinking":
            return {"type": "thinking", "thinking": text, "signature": self.signature}
        if self.kind == "redacted_thinking":
            return {"type": "redacted_thinking", "data": text}
        return {"type": "tool_use", "id": self.ids[0], "name": self.ids[1], "input": _arguments(text)}


def _arguments(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return strict.loads(text.encode(), WireLimits())
    except BadRequest as error:
        raise UpstreamMalformed("the arguments of a tool call are not a JSON object") from error


def _stop(finish: Finish) -> dict[str, Any]:
    return {"stop_reason": STOP_REASONS[finish.reason], "stop_sequence": finish.stop_sequence, "stop_details": None}


class Writer:
    """Per exchange. ``released`` counts UTF-8 bytes of text, thinking, tool names and tool arguments that were encoded."""

    def __init__(self, exchange: Exchange, ids: AnswerIds) -> None:
        del exchange  # everything that the answer is labelled with is in ``ids``
        self.released = 0
        self._ids = ids
        self._usage = _ZERO
        self._finish = Finish(0, FinishReason.STOP)
        self._started = False
        self._ended = False
        self._index = -1
        self._open: ChannelKey | None = None

    def encode(self, event: AnswerEvent) -> bytes:
        """The bytes of one cleared event. Usage and the finish are kept until the end of the answer."""
        if isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish):
            self._finish = event
        elif isinstance(event, AnswerEnd):
            return self._end()
        elif isinstance(event, TextDelta):
            return self._text(event)
        elif isinstance(event, ToolCallStart):
            return self._tool(event)
        else:
            return self._opaque(event)
        return b""

    def blocked(self) -> bytes:
        """Close what is open and end with the refusal; from the very beginning where nothing was written yet."""
        self._usage = _ZERO
        return self._terminate(_REFUSAL)

    def failed(self, error: GatewayError) -> bytes:
        """An error event; no ``message_stop`` comes after it."""
        if self._ended:
            return b""
        self._ended = True
        return _event("error", error_body(error))

    def whole(self, events: Sequence[AnswerEvent]) -> bytes:
        """The whole message. Raises UpstreamMalformed where tool arguments are no JSON object."""
        blocks: list[_Block] = []
        for event in events:
            self._gather(blocks, event)
        return strict.dumps(self._message([block.body() for block in blocks], _stop(self._finish), self._usage))

    def whole_blocked(self) -> bytes:
        """The refusal as a whole message without content."""
        return strict.dumps(self._message([], _REFUSAL, _ZERO))

    def _gather(self, blocks: list[_Block], event: AnswerEvent) -> None:
        """One event of a whole answer."""
        if isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish):
            self._finish = event
        elif isinstance(event, TextDelta):
            self._count(event.text)
            self._block(blocks, event.key).text.append(event.text)
        elif isinstance(event, ToolCallStart):
            self._count(event.name)
            blocks.append(_Block(event.key, "tool_use", ids=(event.call_id, event.name)))
        elif isinstance(event, OpaqueBlock):
            if event.kind == "signature":
                self._block(blocks, event.key).signature = event.data
            else:
                blocks.append(_Block(event.key, "redacted_thinking", [event.data]))

    def _block(self, blocks: list[_Block], key: ChannelKey) -> _Block:
        """The block that text of a channel goes to: the last one, or a new one after another channel's."""
        if blocks and blocks[-1].key == key and blocks[-1].kind != "redacted_thinking":
            return blocks[-1]
        blocks.append(_Block(key, _kind(key)))
        return blocks[-1]

    def _text(self, event: TextDelta) -> bytes:
        self._count(event.text)
        opened = b"" if self._open == event.key else self._start_block(event.key, _empty(_kind(event.key)))
        if event.key.channel is Channel.TOOL_CALL:
            return opened + self._delta({"type": "input_json_delta", "partial_json": event.text})
        if event.key.channel is Channel.REASONING:
            return opened + self._delta({"type": "thinking_delta", "thinking": event.text})
        return opened + self._delta({"type": "text_delta", "text": event.text})

    def _tool(self, event: ToolCallStart) -> bytes:
        self._count(event.name)
        return self._start_block(event.key, {"type": "tool_use", "id": event.call_id, "name": event.name, "input": {}})

    def _opaque(self, event: OpaqueBlock) -> bytes:
        if event.kind == "signature":
            opened = b"" if self._open == event.key else self._start_block(event.key, _empty("thinking"))
            return opened + self._delta({"type": "signature_delta", "signature": event.data})
        return self._start_block(event.key, {"type": "redacted_thinking", "data": event.data}) + self._stop_block()

    def _start_block(self, key: ChannelKey, block: dict[str, Any]) -> bytes:
        head = self._start() + self._stop_block()
        self._index += 1
        self._open = key
        return head + _event(
            "content_block_start", {"type": "content_block_start", "index": self._index, "content_block": block}
        )

    def _delta(self, delta: dict[str, str]) -> bytes:
        return _event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _stop_block(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        message = self._message([], _OPEN, Usage(self._usage.prompt, 0, self._usage.cached))
        return _event("message_start", {"type": "message_start", "message": message})

    def _end(self) -> bytes:
        return self._terminate(_stop(self._finish))

    def _terminate(self, delta: dict[str, Any]) -> bytes:
        if self._ended:
            return b""
        head = self._start() + self._stop_block()
        self._ended = True
        last = {"type": "message_delta", "delta": delta, "usage": usage_body(self._usage)}
        return head + _event("message_delta", last) + _event("message_stop", {"type": "message_stop"})

    def _message(self, content: list[dict[str, Any]], stop: dict[str, Any], usage: Usage) -> dict[str, Any]:
        return {
            "id": f"msg_{self._ids.decision_id}",
            "type": "message",
            "role": "assistant",
            "model": self._ids.model,
            "content": content,
            **stop,
            "usage": usage_body(usage),
        }

    def _count(self, text: str) -> None:
        self.released += len(text.encode())


def _kind(key: ChannelKey) -> str:
    """The block type of a channel that a block may be opened for by its text alone."""
    if key.channel in {Channel.CONTENT, Channel.REFUSAL}:
        return "text"
    if key.channel is Channel.REASONING:
        return "thinking"
    raise ValueError(f"no block can be opened for text of the channel {key.channel}")


def _empty(kind: str) -> dict[str, Any]:
    return {"type": "text", "text": ""} if kind == "text" else {"type": "thinking", "thinking": "", "signature": ""}


def _event(name: str, body: dict[str, Any]) -> bytes:
    return sse.encode(msgspec.json.encode(body), name)
