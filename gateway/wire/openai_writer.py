"""Writes a cleared answer in OpenAI's chat dialect: neutral answer events in, our own serialisation out.

The envelope of a chunk is the same for a whole stream, so it is encoded once; a text chunk then costs one string encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    Exchange,
    Finish,
    FinishReason,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.wire import strict
from gateway.wire.base import AnswerIds

REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.REFUSAL: "stop",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.PAUSE: "stop",
}
FIELDS = {Channel.CONTENT: "content", Channel.REASONING: "reasoning_content", Channel.REFUSAL: "refusal"}
BLOCKED = "content_filter"
# One sentence for every safety decision, whichever control made it.
BLOCKED_MESSAGE = "This request was blocked by the safeguards of this service (category: general_harms)."
DONE = b"data: [DONE]\n\n"
ZERO = Usage(0, 0)


def error_body(error: GatewayError) -> dict[str, Any]:
    """The dialect's error object."""
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def usage_body(usage: Usage) -> dict[str, Any]:
    """Token counts."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


@dataclass(slots=True)
class _Choice:
    """A choice of a whole answer while it is put together."""

    texts: dict[Channel, list[str]] = field(default_factory=dict)
    calls: dict[ChannelKey, dict[str, Any]] = field(default_factory=dict)
    reason: str = "stop"

    def body(self, index: int) -> dict[str, Any]:
        """The choice as the dialect writes it."""
        content = self.texts.get(Channel.CONTENT)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(content) if content else None,
            "refusal": None,
        }
        if content is None and not self.calls:
            message["content"] = ""
        for channel in (Channel.REASONING, Channel.REFUSAL):
            if channel in self.texts:
                message[FIELDS[channel]] = "".join(self.texts[channel])
        if self.calls:
            message["tool_calls"] = list(self.calls.values())
        return {"index": index, "message": message, "logprobs": None, "finish_reason": self.reason}


class Writer:
    """Per exchange. ``released`` counts UTF-8 bytes of text, reasoning, refusals, tool names and arguments that were encoded."""

    def __init__(self, exchange: Exchange, ids: AnswerIds) -> None:
        self.released = 0
        self._choices = exchange.choices
        self._usage_asked = exchange.usage_asked
        self._ids = ids
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._ended = False
        envelope = msgspec.json.encode(self._envelope("chat.completion.chunk"))
        self._prefix = b"data: " + envelope[:-1] + b',"choices":[{"index":'

    def encode(self, event: AnswerEvent) -> bytes:
        """The bytes of one cleared event."""
        if isinstance(event, TextDelta):
            return self._text(event)
        if isinstance(event, ToolCallStart):
            return self._call(event)
        if isinstance(event, Finish):
            self._finished.add(event.choice)
            return self._chunk(event.choice, b"{}", REASONS[event.reason])
        if isinstance(event, Usage):
            return self._usage(event) if self._usage_asked else b""
        if isinstance(event, AnswerEnd):
            self._ended = True
            return DONE
        return b""  # opaque blocks have no place in this dialect

    def blocked(self) -> bytes:
        """Every choice that has not ended ends with ``content_filter``; then the stream ends properly."""
        if self._ended:
            return b""
        self._ended = True
        left = [choice for choice in range(self._choices) if choice not in self._finished]
        data = b"".join(self._chunk(choice, b"{}", BLOCKED) for choice in left)
        return data + (self._usage(ZERO) if self._usage_asked else b"") + DONE

    def failed(self, error: GatewayError) -> bytes:
        """An error frame, and no ``[DONE]``."""
        if self._ended:
            return b""
        self._ended = True
        return b"data: " + strict.dumps(error_body(error)) + b"\n\n"

    def whole(self, events: Sequence[AnswerEvent]) -> bytes:
        """The whole answer."""
        choices: dict[int, _Choice] = {}
        usage = ZERO
        for event in events:
            if isinstance(event, Usage):
                usage = event
            elif isinstance(event, Finish):
                choices.setdefault(event.choice, _Choice()).reason = REASONS[event.reason]
            elif isinstance(event, TextDelta | ToolCallStart):
                self._gather(choices.setdefault(event.key.choice, _Choice()), event)
        return self._answer([choices[index].body(index) for index in sorted(choices)], usage)

    def whole_blocked(self) -> bytes:
        """Empty choices that end with ``content_filter``."""
        return self._answer([_Choice(reason=BLOCKED).body(index) for index in range(self._choices)], ZERO)

    def _gather(self, choice: _Choice, event: TextDelta | ToolCallStart) -> None:
        if isinstance(event, ToolCallStart):
            self._count(event.name)
            choice.calls[event.key] = {
                "id": event.call_id,
                "type": "function",
                "function": {"name": event.name, "arguments": ""},
            }
            return
        self._count(event.text)
        if event.key.channel is Channel.TOOL_CALL:
            choice.calls[event.key]["function"]["arguments"] += event.text
        else:
            choice.texts.setdefault(event.key.channel, []).append(event.text)

    def _text(self, event: TextDelta) -> bytes:
        self._count(event.text)
        key = event.key
        if key.channel is Channel.TOOL_CALL:
            call = {"tool_calls": [{"index": key.index, "function": {"arguments": event.text}}]}
            return self._chunk(key.choice, msgspec.json.encode(call))
        name = FIELDS[key.channel].encode()
        return self._chunk(key.choice, b'{"' + name + b'":' + msgspec.json.encode(event.text) + b"}")

    def _call(self, event: ToolCallStart) -> bytes:
        self._count(event.name)
        function = {"name": event.name, "arguments": ""}
        call = {"index": event.key.index, "id": event.call_id, "type": "function", "function": function}
        return self._chunk(event.key.choice, msgspec.json.encode({"tool_calls": [call]}))

    def _chunk(self, choice: int, delta: bytes, reason: str | None = None) -> bytes:
        """One chunk; the first of a choice is preceded by the one that names the role."""
        head = b""
        if choice not in self._begun:
            self._begun.add(choice)
            head = self._chunk(choice, b'{"role":"assistant","content":""}')
        end = b"null" if reason is None else b'"' + reason.encode() + b'"'
        return (
            head
            + self._prefix
            + str(choice).encode()
            + b',"delta":'
            + delta
            + b',"logprobs":null,"finish_reason":'
            + end
            + b"}]}\n\n"
        )

    def _usage(self, usage: Usage) -> bytes:
        body = {**self._envelope("chat.completion.chunk"), "choices": [], "usage": usage_body(usage)}
        return b"data: " + msgspec.json.encode(body) + b"\n\n"

    def _answer(self, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        return strict.dumps({**self._envelope("chat.completion"), "choices": choices, "usage": usage_body(usage)})

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._ids.decision_id}",
            "object": kind,
            "created": self._ids.created,
            "model": self._ids.model,
        }

    def _count(self, text: str) -> None:
        self.released += len(text.encode())
