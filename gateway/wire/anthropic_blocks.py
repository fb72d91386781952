"""What both readers of Anthropic's dialect share: the shapes of its JSON, and blocks turned into channels.

The shapes are lenient where nothing is lost (unknown keys are not read, so they cannot be relayed) and strict in types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import BadRequest, UpstreamMalformed
from gateway.exchange import (
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
from gateway.wire import strict
from gateway.wire.base import WireLimits

STOP_REASONS = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSE,
    "refusal": FinishReason.REFUSAL,
}
CHANNELS = {
    "text": Channel.CONTENT,
    "thinking": Channel.REASONING,
    "redacted_thinking": Channel.REASONING,
    "tool_use": Channel.TOOL_CALL,
}
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_.:-]*")


class TypeShape(msgspec.Struct):
    type: str = ""


class TokensDetailsShape(msgspec.Struct):
    thinking_tokens: int = 0


class UsageShape(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: TokensDetailsShape | None = None


class BlockShape(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class DeltaShape(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class MessageShape(msgspec.Struct):
    type: str = "message"
    content: list[BlockShape] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageShape | None = None


class EventShape(msgspec.Struct):
    type: str
    index: int = -1
    message: MessageShape | None = None
    content_block: BlockShape | None = None
    delta: DeltaShape | None = None
    usage: UsageShape | None = None


class Blocks:
    """What both readers share: blocks to channels, usage, the stop reason, and the bound on the whole answer."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self.finished = False
        self._limits = limits
        self._left = limits.answer_bytes
        self._counts = dict.fromkeys(Channel, 0)
        self._asked = frozenset(exchange.body.get("stop_sequences") or ())
        self._usage = UsageShape()
        self._bare: ChannelKey | None = None  # the tool call begun last, while it has no arguments

    def open(self, block: BlockShape) -> tuple[ChannelKey, Iterator[AnswerEvent]]:
        """A block begins, with whatever it holds already."""
        channel = CHANNELS.get(block.type)
        if channel is None:
            raise UpstreamMalformed("the model server's answer has a block of an unknown type")
        key = ChannelKey(0, channel, self._counts[channel])
        self._counts[channel] += 1
        return key, self._content(key, block)

    def text(self, key: ChannelKey, text: str) -> Iterator[AnswerEvent]:
        """Text added to a channel."""
        self._spend(text)
        if text:
            self._bare = None
            yield TextDelta(key, text)

    def settle(self) -> Iterator[AnswerEvent]:
        """A call without arguments has the arguments ``{}``; said as soon as its block can get no more."""
        if self._bare is not None:
            yield from self.text(self._bare, "{}")

    def opaque(self, key: ChannelKey, kind: str, data: str) -> Iterator[AnswerEvent]:
        """An opaque value; what does not look like base64 or an id could be text, and is refused."""
        self._spend(data)
        if _OPAQUE.fullmatch(data) is None:
            raise UpstreamMalformed("an opaque value of the model server is not opaque")
        if data:
            yield OpaqueBlock(key, kind, data)

    def usage(self, usage: UsageShape | None) -> Iterator[AnswerEvent]:
        """Counts are running totals: later ones replace earlier ones, absent ones leave them."""
        if usage is None:
            return
        for name in UsageShape.__struct_fields__:
            if getattr(usage, name) is not None:
                setattr(self._usage, name, getattr(usage, name))
        total = self._usage
        cached = total.cache_read_input_tokens or 0
        prompt = (total.input_tokens or 0) + cached + (total.cache_creation_input_tokens or 0)
        details = total.output_tokens_details
        counts = (prompt, total.output_tokens or 0, cached, details.thinking_tokens if details else 0)
        if min(counts) < 0:
            raise UpstreamMalformed("the model server counts tokens below zero")
        yield Usage(*counts)

    def finish(self, reason: str | None, sequence: str | None) -> Iterator[AnswerEvent]:
        """The stop reason, once. A stop sequence is passed on only when the client asked for that very one."""
        if reason is None:
            return
        if reason not in STOP_REASONS or self.finished:
            raise UpstreamMalformed("the model server's answer has an unknown stop reason, or two")
        self.finished = True
        yield from self.settle()
        asked = reason == "stop_sequence" and sequence in self._asked
        yield Finish(0, STOP_REASONS[reason], sequence if asked else None)

    def _content(self, key: ChannelKey, block: BlockShape) -> Iterator[AnswerEvent]:
        if block.type == "text":
            yield from self.text(key, block.text)
        elif block.type == "thinking":
            yield from self.text(key, block.thinking)
            yield from self.opaque(key, "signature", block.signature)
        elif block.type == "redacted_thinking":
            yield from self.opaque(key, "redacted", block.data)
        else:
            yield from self._tool(key, block)

    def _tool(self, key: ChannelKey, block: BlockShape) -> Iterator[AnswerEvent]:
        self._spend(block.name)
        if _CALL_ID.fullmatch(block.id) is None or not block.name:
            raise UpstreamMalformed("a tool call of the model server has no proper id or no name")
        yield ToolCallStart(key, block.id, block.name)
        self._bare = key
        arguments = self._arguments(bytes(block.input))
        if arguments:
            yield from self.text(key, strict.dumps(arguments).decode())

    def _arguments(self, raw: bytes) -> dict[str, Any]:
        try:
            return strict.loads(raw, self._limits)
        except BadRequest as error:
            raise UpstreamMalformed("the input of a tool call of the model server is not a JSON object") from error

    def _spend(self, text: str) -> None:
        self._left -= len(text.encode())
        if self._left < 0:
            raise UpstreamMalformed("the model server's answer is too large")
