"""Reads an upstream's answer in OpenAI's chat dialect: bytes in, neutral answer events out.

==========================  ========================================================================================
unknown keys of a delta     ignored, never relayed; so are logprobs, ids, fingerprints and annotations
legacy ``function_call``    UpstreamMalformed: it would carry text that no channel holds
empty ``choices``           accepted (usage frames, Azure's filter frames)
frames after the finish     accepted for a choice while they say nothing, else UpstreamMalformed
``error`` frames            UpstreamError; their text is not kept
finish reason ``""``        the same as null
data after ``[DONE]``       UpstreamMalformed
no ``[DONE]``               accepted where every choice that began has its finish reason, else UpstreamMalformed
==========================  ========================================================================================
"""

from __future__ import annotations

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
from gateway.wire.openai_messages import ID
from gateway.wire.openai_shapes import Call, Choice, Frame, Function, Message, TokenCounts, frame
from gateway.wire.sse import Event, Splitter

MAX_CALLS = 128  # tool calls of one choice
REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class Choices:
    """What both readers share: choices to events, their order, and the bound on the whole answer."""

    def __init__(self, exchange: Exchange, limits: WireLimits) -> None:
        self._count = exchange.choices
        self._left = limits.answer_bytes
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._keys: dict[tuple[int, Channel], ChannelKey] = {}
        self._calls: dict[ChannelKey, str] = {}
        self._ids: set[tuple[int, str]] = set()

    @property
    def complete(self) -> bool:
        """Every choice that began has its finish reason, and there is one."""
        return bool(self._finished) and not self._open

    def events(self, frame: Frame, out: list[AnswerEvent]) -> None:
        """Append the events of one frame."""
        for choice in frame.choices or ():
            self._choice(choice, out)
        if frame.usage is not None:
            out.append(_usage(frame.usage))

    def _choice(self, choice: Choice, out: list[AnswerEvent]) -> None:
        index, message = choice.index, choice.delta or choice.message
        reason = choice.finish_reason or None  # some servers write "" for not yet
        if not 0 <= index < self._count:
            raise UpstreamMalformed("the model server's answer has a choice that was not asked for")
        if index in self._finished:
            if reason is not None or (message is not None and self._says(index, message)):
                raise UpstreamMalformed("the model server went on with a choice that it had finished")
            return
        self._open.add(index)
        if message is not None:
            self._message(index, message, out)
        if reason is not None:
            out.append(self._finish(index, reason))

    def _says(self, index: int, message: Message) -> bool:
        said: list[AnswerEvent] = []
        self._message(index, message, said)
        return bool(said)

    def _finish(self, index: int, reason: str) -> Finish:
        if reason not in REASONS:
            raise UpstreamMalformed("the model server gave an unknown finish reason")
        self._open.discard(index)
        self._finished.add(index)
        return Finish(index, REASONS[reason])

    def _message(self, index: int, message: Message, out: list[AnswerEvent]) -> None:
        if message.function_call is not None:
            raise UpstreamMalformed("the model server answered with a legacy function call")
        if reasoning := _reasoning(message):
            out.append(self._text(self._key(index, Channel.REASONING), reasoning))
        if message.content:
            out.append(self._text(self._key(index, Channel.CONTENT), message.content))
        if message.refusal:
            out.append(self._text(self._key(index, Channel.REFUSAL), message.refusal))
        for place, call in enumerate(message.tool_calls or ()):
            self._call(index, place if call.index is None else call.index, call, out)

    def _key(self, index: int, channel: Channel) -> ChannelKey:
        """The key of a text channel, the same object every time: it keeps its hash."""
        key = self._keys.get((index, channel))
        if key is None:
            key = self._keys[index, channel] = ChannelKey(index, channel)
        return key

    def _call(self, choice: int, index: int, call: Call, out: list[AnswerEvent]) -> None:
        if not 0 <= index < MAX_CALLS:
            raise UpstreamMalformed("the model server made too many tool calls")
        key, function = ChannelKey(choice, Channel.TOOL_CALL, index), call.function or Function()
        begun = self._calls.get(key)
        if begun is None:
            out.append(self._start(key, call.id or "", function.name or ""))
        elif function.name and function.name != begun:
            raise UpstreamMalformed("a tool call of the model server changed its name")
        if function.arguments:
            out.append(self._text(key, function.arguments))

    def _start(self, key: ChannelKey, given: str, name: str) -> ToolCallStart:
        """A call begins. An id that could hold words, or that another call has, is replaced by one of ours."""
        if not name:
            raise UpstreamMalformed("a tool call of the model server has no name")
        proper = ID.fullmatch(given) is not None and (key.choice, given) not in self._ids
        call_id = given if proper else f"call_{key.choice}_{key.index}"
        self._ids.add((key.choice, call_id))
        self._calls[key] = name
        self._spend(name)
        return ToolCallStart(key, call_id, name)

    def _text(self, key: ChannelKey, text: str) -> TextDelta:
        self._spend(text)
        return TextDelta(key, text)

    def _spend(self, text: str) -> None:
        self._left -= len(text) if text.isascii() else len(text.encode())
        if self._left < 0:
            raise UpstreamMalformed("the model server's answer is too large")


def _reasoning(message: Message) -> str | None:
    """One of two names for the same text."""
    one, other = message.reasoning_content, message.reasoning
    if one and other and one != other:
        raise UpstreamMalformed("the model server gave two different reasonings at once")
    return one or other


def _usage(counts: TokenCounts) -> Usage:
    prompt, completion = counts.prompt_tokens_details, counts.completion_tokens_details
    cached = (prompt.cached_tokens or 0) if prompt else 0
    reasoning = (completion.reasoning_tokens or 0) if completion else 0
    return Usage(counts.prompt_tokens or 0, counts.completion_tokens or 0, cached, reasoning)


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
        events: list[AnswerEvent] = []
        self._choices.events(frame(bytes(self._body)), events)
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
        out: list[AnswerEvent] = []
        for event in self._splitter.feed(data):
            self._event(event, out)
        return tuple(out)

    def end(self) -> tuple[AnswerEvent, ...]:
        """The body is over: fine after ``[DONE]``, or once every choice has finished and no event is cut."""
        if self._splitter.pending:
            raise UpstreamMalformed("the model server's stream is cut short")
        return () if self._ended else self._done()

    def _event(self, event: Event, out: list[AnswerEvent]) -> None:
        if self._ended:
            raise UpstreamMalformed("the model server's stream goes on after its end")
        if event.event == "error":
            raise UpstreamError("the model server reported an error in its stream")
        if event.data.strip() == "[DONE]":
            out.extend(self._done())
        else:
            self._choices.events(frame(event.data), out)

    def _done(self) -> tuple[AnswerEvent, ...]:
        if not self._choices.complete:
            raise UpstreamMalformed("the model server's stream ended before its choices did")
        self._ended = True
        return (AnswerEnd(),)
