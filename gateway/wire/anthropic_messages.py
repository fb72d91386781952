"""The dialect ``anthropic.messages``: ``POST /v1/messages``, unary and streamed."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.wire import anthropic_request, strict
from gateway.wire.anthropic_reader import StreamReader, UnaryReader
from gateway.wire.anthropic_writer import Writer, error_body
from gateway.wire.base import JSON_TYPE, SSE_TYPE, AnswerIds, AnswerReader, AnswerWriter, Reply, WireLimits


class AnthropicMessages:
    """Stateless and shared; readers and writers are made per exchange."""

    @property
    def id(self) -> str:
        """The label of this dialect."""
        return anthropic_request.DIALECT

    @property
    def path(self) -> str:
        """The route, here and at the upstream."""
        return "/v1/messages"

    def parse(self, body: bytes, limits: WireLimits) -> Exchange:
        """Strictly parse a request. Raises BadRequest or TooLarge naming the field at fault."""
        return anthropic_request.parse(body, limits)

    def request(self, exchange: Exchange, model: str) -> bytes:
        """Our serialisation of the vetted tree under the canonical model name."""
        return strict.dumps({"model": model, **exchange.body})

    def reader(self, exchange: Exchange, limits: WireLimits) -> AnswerReader:
        """A reader for the kind of answer that the exchange asks for."""
        return StreamReader(exchange, limits) if exchange.stream else UnaryReader(exchange, limits)

    def writer(self, exchange: Exchange, ids: AnswerIds) -> AnswerWriter:
        """A writer for the cleared answer."""
        return Writer(exchange, ids)

    def input_blocked(self, exchange: Exchange, ids: AnswerIds) -> Reply:
        """The refusal as an answer: a message without content, or its events."""
        writer = Writer(exchange, ids)
        if exchange.stream:
            return Reply(200, (("content-type", SSE_TYPE),), writer.blocked())
        return Reply(200, (("content-type", JSON_TYPE),), writer.whole_blocked())

    def error(self, error: GatewayError, request_id: str) -> Reply:
        """Any other fault in the dialect's error shape."""
        headers: tuple[tuple[str, str], ...] = (("content-type", JSON_TYPE),)
        if error.retry_after is not None:
            headers += (("retry-after", str(error.retry_after)),)
        return Reply(error.status, headers, strict.dumps(error_body(error, request_id)))
