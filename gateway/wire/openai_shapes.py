"""The JSON of an upstream's answer in OpenAI's chat dialect, as far as the gateway reads it.

Lenient where nothing is lost: keys that are not read cannot be relayed, and what is read is written anew, so of a key that comes
twice only the value that was screened can reach the client. Strict in types, in ranges and in UTF-8.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.errors import UpstreamError, UpstreamMalformed

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Function(msgspec.Struct, gc=False):
    """The function of a tool call, or a fragment of it."""

    name: str | None = None
    arguments: str | None = None


class Call(msgspec.Struct, gc=False):
    """A tool call, or a fragment of it."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct, gc=False):
    """A message or a delta. vLLM calls the reasoning by either name, or by both."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Any = None


class Choice(msgspec.Struct, gc=False):
    """A choice of an answer (``message``) or of a chunk (``delta``)."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Details(msgspec.Struct, gc=False):
    """Details of token counts."""

    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class TokenCounts(msgspec.Struct, gc=False):
    """Token counts."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Frame(msgspec.Struct, gc=False):
    """One chunk, or a whole answer."""

    choices: list[Choice] | None = None
    usage: TokenCounts | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(Frame)


def frame(data: bytes | str) -> Frame:
    """Read one frame. Raises UpstreamMalformed, or UpstreamError for a frame that reports an error (its text is not kept)."""
    try:
        read = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UpstreamMalformed("the model server's answer is not a chat completion") from error
    if read.error is not None:
        raise UpstreamError("the model server answered with an error")
    if read.choices is None and read.usage is None:
        raise UpstreamMalformed("the model server's answer has neither choices nor usage")
    return read
