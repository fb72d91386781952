"""Writes a cleared answer in OpenAI's chat dialect: neutral answer events in, our own serialisation out.

The envelope of a chunk is the same for a whole stream, so it is encoded once; a text chunk then costs one string encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Blocked, GatewayError
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
from gateway.wire import sse, strict
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
NAMES = {Channel.CONTENT: "content", Channel.REASONING: "reasoning_content", Channel.REFUSAL: "refusal"}
BLOCKED = "content_filter"
# One category and one sentence for every safety decision, whichever control made it.
BLOCKED_MESSAGE = "This request was blocked by the safeguards of this service (category: general_harms)."
DONE = b"data: [DONE]\n\n"


def error_body(error: GatewayError) -> dict[str, Any]:
    """The dialect's error object; of a safety decision it is always the same."""
    blocked = isinstance(error, Blocked)
    message, param = (BLOCKED_MESSAGE, None) if blocked else (error.message, error.param)
    return {"error": {"message": message, "type": error.kind, "param": param, "code": error.code}}


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
class _Call:
    """A tool call of a whole answer while it is put together."""

    call_id: str
    name: str
    arguments: list[str] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The call as the dialect writes it."""
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.call_id, "type": "function", "function": function}


@dataclass(slots=True)
class _Choice:
    """A choice of a whole answer while it is put together."""

    texts: dict[Channel, list[str]] = field(default_factory=dict)
    calls: dict[ChannelKey, _Call] = field(default_factory=dict)
    reason: str = "stop"

    def body(self, index: int) -> dict[str, Any]:
        """The choice as the dialect writes it: content is null only beside tool calls or a refusal."""
        bare = not self.calls and Channel.REFUSAL not in self.texts
        message: dict[str, Any] = {"role": "assistant", "content": "" if bare else None, "refusal": None}
        for channel, text in self.texts.items():
            message[NAMES[channel]] = "".join(text)
        if self.calls:
            message["tool_calls"] = [call.body() for call in self.calls.values()]
        return {"index": index, "message": message, "logprobs": None, "finish_reason": self.reason}


class Writer:
    """Per exchange. ``released`` counts UTF-8 bytes of text, reasoning, refusals, tool names and arguments that were encoded."""

    def __init__(self, exchange: Exchange, ids: AnswerIds) -> None:
        self.released = 0
        self._choices = range(exchange.choices)
        self._usage_asked = exchange.usage_asked
        self._ids = ids
        self._usage: Usage | None = None
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._ended = False
        # Made into a template: a percent sign in the name of a model is none of its directives.
        envelope = strict.dumps(self._envelope("chat.completion.chunk"))[:-1].replace(b"%", b"%%")
        self._head = b"data: " + envelope + b',"choices":[{"index":%d,"delta":{%b'
        self._tail = (
            b'},"logprobs":null,"finish_reason":%b}]' + (b',"usage":null' if self._usage_asked else b"") + b"}\n\n"
        )
        self._text_head: dict[tuple[int, Channel], bytes] = {}
        self._text_tail = self._tail % b"null"

    def encode(self, event: AnswerEvent) -> bytes:
        """The bytes of one cleared event. Usage is kept until the end of the answer."""
        if isinstance(event, TextDelta):
            return self._text(event)
        if isinstance(event, ToolCallStart):
            return self._call(event)
        if isinstance(event, Finish):
            return self._finish(event.choice, REASONS[event.reason])
        if isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, AnswerEnd):
            return self._end()
        return b""  # opaque blocks have no place in this dialect

    def blocked(self) -> bytes:
        """Every choice that has not ended ends with ``content_filter``; then the stream ends properly, with zero usage."""
        if self._ended:
            return b""
        self._usage = Usage(0, 0)
        left = [choice for choice in self._choices if choice not in self._finished]
        return b"".join(self._finish(choice, BLOCKED) for choice in left) + self._end()

    def failed(self, error: GatewayError) -> bytes:
        """An error frame, and no ``[DONE]``."""
        if self._ended:
            return b""
        self._ended = True
        return sse.encode(strict.dumps(error_body(error)))

    def whole(self, events: Sequence[AnswerEvent]) -> bytes:
        """The whole answer; without usage where the model server gave none."""
        choices: dict[int, _Choice] = {}
        for event in events:
            if isinstance(event, Usage):
                self._usage = event
            elif isinstance(event, Finish):
                choices.setdefault(event.choice, _Choice()).reason = REASONS[event.reason]
            elif isinstance(event, TextDelta | ToolCallStart):
                self._gather(choices.setdefault(event.key.choice, _Choice()), event)
        return self._answer([choices[index].body(index) for index in sorted(choices)])

    def whole_blocked(self) -> bytes:
        """Empty choices that end with ``content_filter``, and zero usage."""
        self._usage = Usage(0, 0)
        return self._answer([_Choice(reason=BLOCKED).body(index) for index in self._choices])

    def _gather(self, choice: _Choice, event: TextDelta | ToolCallStart) -> None:
        """One event of a whole answer."""
        if isinstance(event, ToolCallStart):
            self._count(event.name)
            choice.calls[event.key] = _Call(event.call_id, event.name)
            return
        self._count(event.text)
        if event.key.channel is Channel.TOOL_CALL:
            choice.calls[event.key].arguments.append(event.text)
        else:
            choice.texts.setdefault(event.key.channel, []).append(event.text)

    def _text(self, event: TextDelta) -> bytes:
        key = event.key
        self._count(event.text)
        if key.channel is Channel.TOOL_CALL:
            return self._calls(key.choice, {"index": key.index, "function": {"arguments": event.text}})
        head = self._text_head.get((key.choice, key.channel))
        if head is None:
            name = b'"%b":' % NAMES[key.channel].encode()
            head = self._text_head[key.choice, key.channel] = self._head % (key.choice, name)
        begin = b"" if key.choice in self._begun else self._role(key.choice)
        return begin + head + strict.dumps(event.text) + self._text_tail

    def _call(self, event: ToolCallStart) -> bytes:
        self._count(event.name)
        function = {"name": event.name, "arguments": ""}
        call = {"index": event.key.index, "id": event.call_id, "type": "function", "function": function}
        return self._calls(event.key.choice, call)

    def _calls(self, choice: int, call: dict[str, Any]) -> bytes:
        return self._chunk(choice, b'"tool_calls":[' + strict.dumps(call) + b"]")

    def _finish(self, choice: int, reason: str) -> bytes:
        self._finished.add(choice)
        return self._chunk(choice, b"", b'"%b"' % reason.encode())

    def _chunk(self, choice: int, delta: bytes, reason: bytes = b"null") -> bytes:
        """One chunk; the first of a choice is preceded by the one that names the role."""
        begin = b"" if choice in self._begun else self._role(choice)
        return begin + self._head % (choice, delta) + self._tail % reason

    def _role(self, choice: int) -> bytes:
        self._begun.add(choice)
        return self._head % (choice, b'"role":"assistant","content":""') + self._text_tail

    def _end(self) -> bytes:
        self._ended = True
        if self._usage is None or not self._usage_asked:
            return DONE
        body = {**self._envelope("chat.completion.chunk"), "choices": [], "usage": usage_body(self._usage)}
        return sse.encode(strict.dumps(body)) + DONE

    def _answer(self, choices: list[dict[str, Any]]) -> bytes:
        body = {**self._envelope("chat.completion"), "choices": choices}
        return strict.dumps(body if self._usage is None else {**body, "usage": usage_body(self._usage)})

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._ids.decision_id}",
            "object": kind,
            "created": self._ids.created,
            "model": self._ids.model,
        }

    def _count(self, text: str) -> None:
        self.released += len(text) if text.isascii() else len(text.encode())
