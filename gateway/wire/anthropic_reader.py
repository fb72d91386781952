"""Reads an upstream's answer in Anthropic's dialect: bytes in, neutral answer events out.

Every block of the answer is a channel of its own: the index of its ChannelKey is its ordinal among the blocks of its kind,
so text before and after a tool call is never joined. What is not understood is never relayed:

==================================  ==============================================================================
unknown *event* types               ignored (the API adds some; they carry nothing of the answer), and so is ``ping``
unknown block or delta types        UpstreamMalformed: they may carry text that no control would see
citations in answers                ignored: they quote documents and are not part of the text
``error`` events, error bodies      UpstreamError; their text is not kept
data after ``message_stop``         UpstreamMalformed, except for the ``[DONE]`` line that some servers add
the end without ``message_stop``    UpstreamMalformed, unless the stop reason had come
==================================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from gateway.errors import UpstreamError, UpstreamMalformed
from gateway.exchange import AnswerEnd, AnswerEvent, Channel, ChannelKey, Exchange
from gateway.wire.anthropic_blocks import Blocks, EventShape, MessageShape, TypeShape
from gateway.wire.base import WireLimits
from gateway.wire.sse import Event, Splitter

_DELTAS = {
    ("text", "text_delta"): "text",
    ("thinking", "thinking_delta"): "thinking",
    ("thinking", "signature_delta"): "signature",
    ("tool_use", "input_json_delta"): "partial_json",
}

_EVENTS = msgspec.json.Decoder(EventShape)
_MESSAGES = msgspec.json.Decoder(MessageShape)
_TYPES = msgspec.json.Decoder(TypeShape)


def _decode(decoder: msgspec.json.Decoder[Any], data: str | bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise UpstreamMalformed("the model server's answer is not a message of its dialect") from error


class UnaryReader:
    """Gathers one JSON body, within the bound; all events come at its end."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self._blocks = Blocks(exchange, limits)
        self._limit = limits.answer_bytes
        self._body = bytearray()

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Keep the bytes."""
        self._body += data
        if len(self._body) > self._limit:
            raise UpstreamMalformed("the model server's answer is too large")
        return ()

    def end(self) -> tuple[AnswerEvent, ...]:
        """Parse the whole message."""
        return tuple(self._events())

    def _events(self) -> Iterator[AnswerEvent]:
        body = bytes(self._body)
        kind = _decode(_TYPES, body).type
        if kind == "error":
            raise UpstreamError("the model server answered with an error")
        if kind != "message":
            raise UpstreamMalformed("the model server's answer is not a message")
        message = _decode(_MESSAGES, body)
        for block in message.content:
            yield from self._blocks.open(block)[1]
            yield from self._blocks.settle()
        yield from self._blocks.finish(message.stop_reason, message.stop_sequence)
        yield from self._blocks.usage(message.usage)
        if not self._blocks.finished:
            raise UpstreamMalformed("the model server's answer has no stop reason")
        yield AnswerEnd()


class StreamReader:
    """Follows a stream: message_start, blocks, message_delta, message_stop. Deltas belong to the block begun last;
    stops of older blocks may come late, since llama.cpp sends them all at its end."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self._blocks = Blocks(exchange, limits)
        self._splitter = Splitter(limits.event_bytes)
        self._started = False
        self._ended = False
        self._open: set[int] = set()
        self._index = -1  # of the block begun last
        self._kind = ""
        self._key = ChannelKey(0, Channel.CONTENT)

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Take bytes, cut anywhere."""
        return tuple(out for event in self._splitter.feed(data) for out in self._event(event))

    def end(self) -> tuple[AnswerEvent, ...]:
        """The body is over: fine after message_stop, or once the stop reason came and no event is cut."""
        if self._ended and not self._splitter.pending:
            return ()
        if self._splitter.pending or not self._blocks.finished:
            raise UpstreamMalformed("the model server's stream is cut short")
        self._ended = True
        return (AnswerEnd(),)

    def _event(self, event: Event) -> Iterator[AnswerEvent]:
        if self._ended:
            if event == Event("", "[DONE]"):
                return
            raise UpstreamMalformed("the model server's stream goes on after its end")
        data: EventShape = _decode(_EVENTS, event.data)
        if event.event not in {"", data.type}:
            raise UpstreamMalformed("an event of the model server is not what it says")
        if data.type == "error":
            raise UpstreamError("the model server reported an error in its stream")
        step = self._STEPS.get(data.type)
        if step is None:
            return
        if self._started == (data.type == "message_start"):
            raise UpstreamMalformed("the model server's stream is out of order")
        yield from step(self, data)

    def _message_start(self, event: EventShape) -> Iterator[AnswerEvent]:
        self._started = True
        if event.message is None or event.message.content or event.message.stop_reason is not None:
            raise UpstreamMalformed("the model server's stream does not begin with an empty message")
        yield from self._blocks.usage(event.message.usage)

    def _block_start(self, event: EventShape) -> Iterator[AnswerEvent]:
        if event.content_block is None or event.index <= self._index or self._blocks.finished:
            raise UpstreamMalformed("a block of the model server's stream is out of order")
        yield from self._blocks.settle()
        self._index, self._kind = event.index, event.content_block.type
        self._open.add(event.index)
        self._key, events = self._blocks.open(event.content_block)
        yield from events

    def _block_delta(self, event: EventShape) -> Iterator[AnswerEvent]:
        delta = event.delta
        if delta is None or event.index != self._index or event.index not in self._open or self._blocks.finished:
            raise UpstreamMalformed("a delta of the model server's stream belongs to no open block")
        if delta.type == "citations_delta" and self._kind == "text":
            return
        if (self._kind, delta.type) not in _DELTAS:
            raise UpstreamMalformed("a delta of the model server's stream does not fit its block")
        if delta.type == "signature_delta":
            yield from self._blocks.opaque(self._key, "signature", delta.signature)
        else:
            yield from self._blocks.text(self._key, getattr(delta, _DELTAS[self._kind, delta.type]))

    def _block_stop(self, event: EventShape) -> Iterator[AnswerEvent]:
        if event.index not in self._open:
            raise UpstreamMalformed("the model server's stream ends a block that is not open")
        self._open.discard(event.index)
        if event.index == self._index:
            yield from self._blocks.settle()

    def _message_delta(self, event: EventShape) -> Iterator[AnswerEvent]:
        if event.delta is not None:
            yield from self._blocks.finish(event.delta.stop_reason, event.delta.stop_sequence)
        yield from self._blocks.usage(event.usage)

    def _message_stop(self, _: EventShape) -> Iterator[AnswerEvent]:
        if not self._blocks.finished:
            raise UpstreamMalformed("the model server's stream ends without a stop reason")
        self._ended = True
        yield AnswerEnd()

    _STEPS: ClassVar = {
        "message_start": _message_start,
        "content_block_start": _block_start,
        "content_block_delta": _block_delta,
        "content_block_stop": _block_stop,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
    }
