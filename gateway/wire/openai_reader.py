"""Reads an upstream's answer in OpenAI's chat dialect: bytes in, neutral answer events out.

==========================  ========================================================================================
unknown keys of a delta     ignored, never relayed; so are logprobs, ids, fingerprints and annotations
legacy ``function_call``    UpstreamMalformed: it would carry text that no channel holds
empty ``choices``           accepted (usage frames, Azure's filter frames)
``error`` frames            UpstreamError; their text is not kept
data after ``[DONE]``       UpstreamMalformed
no ``[DONE]``               accepted where every choice that began has its finish reason, else UpstreamMalformed
==========================  ========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import UpstreamError, UpstreamMalformed
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
from gateway.wire.base import WireLimits
from gateway.wire.sse import Event, Splitter

ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
MAX_CALLS = 128
REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class Function(msgspec.Struct):
    """The function of a tool call, or a fragment of it."""

    name: str | None = None
    arguments: str | None = None


class Call(msgspec.Struct):
    """A tool call, or a fragment of it."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct):
    """A message or a delta."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Any = None


class ChoiceShape(msgspec.Struct):
    """A choice of an answer or of a chunk."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Details(msgspec.Struct):
    """Details of token counts."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class UsageShape(msgspec.Struct):
    """Token counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Frame(msgspec.Struct):
    """One chunk, or a whole answer."""

    choices: list[ChoiceShape] | None = None
    usage: UsageShape | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(Frame)


def decode(data: bytes | str) -> Frame:
    """One frame. Raises UpstreamMalformed, or UpstreamError for an error frame."""
    try:
        frame = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UpstreamMalformed("the model server's answer is not a chat completion") from error
    if frame.error is not None:
        raise UpstreamError("the model server answered with an error")
    return frame


class Choices:
    """Turns choices into events, and keeps what is needed to see that they are in order."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self._count = exchange.choices
        self._limit = limits.answer_bytes
        self._seen = 0
        self._finished: set[int] = set()
        self._begun: set[int] = set()
        self._calls: dict[tuple[int, int], str] = {}

    @property
    def complete(self) -> bool:
        """Every choice that began has ended, and there is one."""
        return bool(self._begun) and self._begun == self._finished

    def frame(self, frame: Frame) -> Iterator[AnswerEvent]:
        """The events of one frame."""
        for choice in frame.choices or ():
            yield from self._choice(choice)
        if frame.usage is not None:
            yield _usage(frame.usage)

    def _choice(self, choice: ChoiceShape) -> Iterator[AnswerEvent]:
        index = choice.index
        if not 0 <= index < self._count or index in self._finished:
            raise UpstreamMalformed("a choice of the model server's answer was not asked for, or had ended")
        self._begun.add(index)
        message = choice.delta or choice.message
        if message is not None:
            yield from self._message(index, message)
        if choice.finish_reason is not None:
            reason = REASONS.get(choice.finish_reason)
            if reason is None:
                raise UpstreamMalformed("the model server gave an unknown finish reason")
            self._finished.add(index)
            yield Finish(index, reason)

    def _message(self, index: int, message: Message) -> Iterator[AnswerEvent]:
        if message.function_call is not None:
            raise UpstreamMalformed("the model server answered with a legacy function call")
        texts = (
            (
                Channel.REASONING,
                message.reasoning_content if message.reasoning_content is not None else message.reasoning,
            ),
            (Channel.CONTENT, message.content),
            (Channel.REFUSAL, message.refusal),
        )
        for channel, text in texts:
            if text:
                yield self._text(ChannelKey(index, channel), text)
        for place, call in enumerate(message.tool_calls or ()):
            yield from self._call(index, place if call.index is None else call.index, call)

    def _call(self, choice: int, index: int, call: Call) -> Iterator[AnswerEvent]:
        if not 0 <= index < MAX_CALLS:
            raise UpstreamMalformed("the model server made too many tool calls")
        key, function = ChannelKey(choice, Channel.TOOL_CALL, index), call.function or Function()
        if (choice, index) not in self._calls:
            if not function.name:
                raise UpstreamMalformed("a tool call of the model server has no name")
            self._calls[choice, index] = function.name
            self._add(function.name)
            given = call.id or ""
            yield ToolCallStart(key, given if ID.fullmatch(given) else f"call_{choice}_{index}", function.name)
        elif function.name and function.name != self._calls[choice, index]:
            raise UpstreamMalformed("a tool call of the model server changed its name")
        if function.arguments:
            yield self._text(key, function.arguments)

    def _text(self, key: ChannelKey, text: str) -> TextDelta:
        self._add(text)
        return TextDelta(key, text)

    def _add(self, text: str) -> None:
        self._seen += len(text)
        if self._seen > self._limit:
            raise UpstreamMalformed("the model server's answer is too large")


def _usage(usage: UsageShape) -> Usage:
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    reasoning = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    counts = (usage.prompt_tokens, usage.completion_tokens, cached or 0, reasoning or 0)
    if any(not 0 <= count <= 2**53 for count in counts):
        raise UpstreamMalformed("the model server counts tokens wrongly")
    return Usage(*counts)


class UnaryReader:
    """Gathers one JSON body, within the bound; all events come at its end."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self._choices = Choices(exchange, limits)
        self._limit = limits.answer_bytes
        self._body = bytearray()

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Keep the bytes."""
        self._body += data
        if len(self._body) > self._limit:
            raise UpstreamMalformed("the model server's answer is too large")
        return ()

    def end(self) -> tuple[AnswerEvent, ...]:
        """Parse the whole answer."""
        events = tuple(self._choices.frame(decode(bytes(self._body))))
        if not self._choices.complete:
            raise UpstreamMalformed("a choice of the model server's answer has no finish reason")
        return (*events, AnswerEnd())


class StreamReader:
    """Follows a stream of chunks to ``[DONE]``."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self._choices = Choices(exchange, limits)
        self._splitter = Splitter(limits.event_bytes)
        self._ended = False

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Take bytes, cut anywhere."""
        return tuple(out for event in self._splitter.feed(data) for out in self._event(event))

    def end(self) -> tuple[AnswerEvent, ...]:
        """The body is over."""
        if self._splitter.pending:
            raise UpstreamMalformed("the model server's stream is cut short")
        if self._ended:
            return ()
        return self._done()

    def _event(self, event: Event) -> Iterator[AnswerEvent]:
        if self._ended:
            raise UpstreamMalformed("the model server's stream goes on after its end")
        if event.data == "[DONE]":
            yield from self._done()
        elif event.event == "error":
            raise UpstreamError("the model server reported an error in its stream")
        else:
            yield from self._choices.frame(decode(event.data))

    def _done(self) -> tuple[AnswerEvent, ...]:
        if not self._choices.complete:
            raise UpstreamMalformed("the model server's stream ended before its choices did")
        self._ended = True
        return (AnswerEnd(),)
