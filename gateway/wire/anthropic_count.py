"""The dialect ``anthropic.count_tokens``: ``POST /v1/messages/count_tokens``, an answer without any text.

The same conversation as for ``/v1/messages``, parsed and judged the same way, since the model server reads it; what only steers an
answer is dropped and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import msgspec

from gateway.errors import Blocked, GatewayError, UpstreamMalformed
from gateway.exchange import AnswerEnd, AnswerEvent, Exchange, Finish, FinishReason, Usage
from gateway.wire import anthropic_request, strict
from gateway.wire.anthropic_writer import error_body
from gateway.wire.base import JSON_TYPE, AnswerIds, AnswerReader, AnswerWriter, Reply, WireLimits

DIALECT = "anthropic.count_tokens"
# What the tokens of a prompt depend on; the rest is about the answer.
COUNTED = frozenset({"messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"})
BLOCKED_MESSAGE = "This request was blocked by the safeguards of this service (category: general_harms)."
_MAX_ANSWER = 64 * 1024


class CountShape(msgspec.Struct):
    """The upstream's answer, as far as it is read."""

    input_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


_COUNTS = msgspec.json.Decoder(CountShape)


class CountReader:
    """Gathers one small JSON body; all events come at its end."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Keep the bytes."""
        self._body += data
        if len(self._body) > _MAX_ANSWER:
            raise UpstreamMalformed("the model server's answer is too large")
        return ()

    def end(self) -> tuple[AnswerEvent, ...]:
        """The count. Raises UpstreamMalformed where there is none."""
        try:
            count = _COUNTS.decode(bytes(self._body)).input_tokens
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise UpstreamMalformed("the model server's answer is not a count of tokens") from error
        return (Usage(count, 0), Finish(0, FinishReason.STOP), AnswerEnd())


class CountWriter:
    """Writes the count. There is no text to release, and no stream."""

    released = 0

    def encode(self, event: AnswerEvent) -> bytes:
        """Never asked for: no exchange of this dialect streams."""
        del event
        return b""

    def blocked(self) -> bytes:
        """Never asked for either."""
        return b""

    def failed(self, error: GatewayError) -> bytes:
        """Nor this."""
        del error
        return b""

    def whole(self, events: Sequence[AnswerEvent]) -> bytes:
        """The body."""
        counted = sum(event.prompt for event in events if isinstance(event, Usage))
        return strict.dumps({"input_tokens": counted})

    def whole_blocked(self) -> bytes:
        """Nothing is told about a prompt whose answer was stopped."""
        return self.whole(())


class AnthropicCountTokens:
    """Stateless and shared; readers and writers are made per exchange."""

    @property
    def id(self) -> str:
        """The label of this dialect."""
        return DIALECT

    @property
    def path(self) -> str:
        """The route, here and at the upstream."""
        return "/v1/messages/count_tokens"

    def parse(self, body: bytes, limits: WireLimits) -> Exchange:
        """Strictly parse a request. Raises BadRequest or TooLarge naming the field at fault."""
        parsed = anthropic_request.parse(body, limits, counting=True)
        counted = {name: value for name, value in parsed.body.items() if name in COUNTED}
        left_out = tuple(name for name in parsed.body if name not in COUNTED)
        return replace(parsed, dialect=DIALECT, stream=False, body=counted, dropped=(*parsed.dropped, *left_out))

    def request(self, exchange: Exchange, model: str) -> bytes:
        """Our serialisation of the vetted tree under the canonical model name."""
        return strict.dumps({"model": model, **exchange.body})

    def reader(self, exchange: Exchange, limits: WireLimits) -> AnswerReader:
        """A reader for the count."""
        del exchange, limits
        return CountReader()

    def writer(self, exchange: Exchange, ids: AnswerIds) -> AnswerWriter:
        """A writer for the count."""
        del exchange, ids
        return CountWriter()

    def input_blocked(self, exchange: Exchange, ids: AnswerIds) -> Reply:
        """400: a count has no form of a refusal."""
        del exchange, ids
        return Reply(400, (("content-type", JSON_TYPE),), strict.dumps(error_body(Blocked(BLOCKED_MESSAGE))))

    def error(self, error: GatewayError, request_id: str) -> Reply:
        """Any other fault in the dialect's error shape."""
        headers: tuple[tuple[str, str], ...] = (("content-type", JSON_TYPE),)
        if error.retry_after is not None:
            headers += (("retry-after", str(error.retry_after)),)
        return Reply(error.status, headers, strict.dumps(error_body(error, request_id)))
