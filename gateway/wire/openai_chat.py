"""The dialect ``openai.chat``: ``POST /v1/chat/completions``, unary and streamed."""

from __future__ import annotations

from gateway.errors import Blocked, GatewayError
from gateway.exchange import Exchange
from gateway.wire import openai_request, strict
from gateway.wire.base import JSON_TYPE, AnswerIds, AnswerReader, AnswerWriter, Reply, WireLimits
from gateway.wire.openai_reader import StreamReader, UnaryReader
from gateway.wire.openai_writer import BLOCKED_MESSAGE, Writer, error_body


class OpenAIChat:
    """Stateless and shared; readers and writers are made per exchange."""

    @property
    def id(self) -> str:
        """The label of this dialect."""
        return openai_request.DIALECT

    @property
    def path(self) -> str:
        """The route, here and at the upstream."""
        return "/v1/chat/completions"

    def parse(self, body: bytes, limits: WireLimits) -> Exchange:
        """Strictly parse a request. Raises BadRequest or TooLarge naming the field at fault."""
        return openai_request.parse(body, limits)

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
        """400 with ``content_filter``, for streams too: nothing has been sent yet."""
        del exchange, ids
        return Reply(400, (("content-type", JSON_TYPE),), strict.dumps(error_body(Blocked(BLOCKED_MESSAGE))))

    def error(self, error: GatewayError, request_id: str) -> Reply:
        """Any other fault in the dialect's error shape."""
        del request_id  # a header carries it
        headers: tuple[tuple[str, str], ...] = (("content-type", JSON_TYPE),)
        if error.retry_after is not None:
            headers += (("retry-after", str(error.retry_after)),)
        return Reply(error.status, headers, strict.dumps(error_body(error)))
