"""Builds what model servers say, from what they are to say: OpenAI chat and Anthropic messages, unary bodies and stream events.

One ``Said`` is one choice. Its pieces become one delta each, so a test decides where a stream is cut by how it cuts the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec

JSON = dict[str, Any]
DONE = b"data: [DONE]\n\n"
_CREATED = 1_790_000_000
_ANTHROPIC_REASON = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. ``arguments`` are pieces of a JSON text."""

    name: str
    arguments: tuple[str, ...] = ("{}",)
    id: str = "call_1"

    @property
    def text(self) -> str:
        """The arguments in one."""
        return "".join(self.arguments)


@dataclass(frozen=True, slots=True)
class Said:
    """One choice of an answer. ``finish`` is in OpenAI's words; by default ``tool_calls`` with calls and ``stop`` without."""

    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    refusal: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    signature: str | None = None  # Anthropic only: closes the thinking block

    @property
    def reason(self) -> str:
        """Why this choice ended."""
        return self.finish or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an answer reports as usage."""

    prompt: int = 7
    completion: int = 5


def event(data: JSON, name: str | None = None) -> bytes:
    """One event of a stream."""
    prefix = b"event: " + name.encode("ascii") + b"\n" if name is not None else b""
    return prefix + b"data: " + msgspec.json.encode(data) + b"\n\n"


# OpenAI chat.


def openai_unary(*choices: Said, model: str = "demo-model", tokens: Tokens | None = None) -> bytes:
    """A whole chat completion."""
    given = [_openai_choice(index, said) for index, said in enumerate(choices)]
    body = _openai("chat.completion", model, given) | {"usage": _openai_usage(tokens or Tokens())}
    return msgspec.json.encode(body)


def openai_events(
    *choices: Said, model: str = "demo-model", tokens: Tokens | None = None, done: bool = True
) -> list[bytes]:
    """A chat completion as stream events; choices are interleaved. ``tokens`` adds the usage event that clients may ask for."""
    kind = "chat.completion.chunk"
    events = [event(_openai(kind, model, [item])) for item in _interleaved(choices)]
    if tokens is not None:
        events.append(event(_openai(kind, model, []) | {"usage": _openai_usage(tokens)}))
    return [*events, DONE] if done else events


def _openai(kind: str, model: str, choices: list[JSON]) -> JSON:
    return {"id": "chatcmpl-1", "object": kind, "created": _CREATED, "model": model, "choices": choices}


def _openai_usage(tokens: Tokens) -> JSON:
    total = tokens.prompt + tokens.completion
    return {"prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion, "total_tokens": total}


def _openai_choice(index: int, said: Said) -> JSON:
    message: JSON = {"role": "assistant", "content": "".join(said.text) if said.text or not said.calls else None}
    if said.reasoning:
        message["reasoning_content"] = "".join(said.reasoning)
    if said.refusal:
        message["refusal"] = "".join(said.refusal)
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
            for call in said.calls
        ]
    return {"index": index, "message": message, "finish_reason": said.reason}


def _interleaved(choices: Sequence[Said]) -> Iterator[JSON]:
    """One delta of each choice in turn."""
    for row in zip_longest(*(list(_openai_deltas(index, said)) for index, said in enumerate(choices))):
        yield from (delta for delta in row if delta is not None)


def _openai_deltas(index: int, said: Said) -> Iterator[JSON]:
    def delta(content: JSON, reason: str | None = None) -> JSON:
        return {"index": index, "delta": content, "finish_reason": reason}

    yield delta({"role": "assistant", "content": ""})
    for key, pieces in (("reasoning_content", said.reasoning), ("content", said.text), ("refusal", said.refusal)):
        yield from (delta({key: piece}) for piece in pieces)
    for number, call in enumerate(said.calls):
        opening = {"index": number, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield delta({"tool_calls": [opening]})
        for piece in call.arguments:
            yield delta({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield delta({}, said.reason)


# Anthropic messages.


def anthropic_unary(said: Said, *, model: str = "demo-model", tokens: Tokens | None = None) -> bytes:
    """A whole message."""
    return msgspec.json.encode(_message(model, tokens or Tokens(), _blocks(said), _stop_reason(said)))


def anthropic_events(
    said: Said, *, model: str = "demo-model", tokens: Tokens | None = None, stop: bool = True
) -> list[bytes]:
    """A message as stream events, from ``message_start`` to ``message_stop`` (left out without ``stop``)."""
    tokens = tokens or Tokens()
    start = _message(model, Tokens(tokens.prompt, 1), [], None)
    events = [_named({"type": "message_start", "message": start})]
    for index, (opening, deltas) in enumerate(_streamed_blocks(said)):
        events.append(_named({"type": "content_block_start", "index": index, "content_block": opening}))
        events += [_named({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
        events.append(_named({"type": "content_block_stop", "index": index}))
    ending = {"stop_reason": _stop_reason(said), "stop_sequence": None}
    events.append(_named({"type": "message_delta", "delta": ending, "usage": {"output_tokens": tokens.completion}}))
    return [*events, _named({"type": "message_stop"})] if stop else events


def _named(data: JSON) -> bytes:
    return event(data, str(data["type"]))


def _stop_reason(said: Said) -> str:
    return _ANTHROPIC_REASON.get(said.reason, said.reason)


def _message(model: str, tokens: Tokens, content: list[JSON], reason: str | None) -> JSON:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": tokens.prompt, "output_tokens": tokens.completion},
    }


def _blocks(said: Said) -> list[JSON]:
    blocks: list[JSON] = []
    if said.reasoning:
        thinking = "".join(said.reasoning)
        blocks.append({"type": "thinking", "thinking": thinking, "signature": said.signature or ""})
    if said.text:
        blocks.append({"type": "text", "text": "".join(said.text)})
    for call in said.calls:
        given = msgspec.json.decode(call.text)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": given})
    return blocks


def _streamed_blocks(said: Said) -> Iterator[tuple[JSON, list[JSON]]]:
    """Each block as it opens, and its deltas."""
    if said.reasoning:
        deltas: list[JSON] = [{"type": "thinking_delta", "thinking": piece} for piece in said.reasoning]
        if said.signature is not None:
            deltas.append({"type": "signature_delta", "signature": said.signature})
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if said.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said.text]
    for call in said.calls:
        opening = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield opening, [{"type": "input_json_delta", "partial_json": piece} for piece in call.arguments]
