"""What a dialect is: bytes to exchange, upstream bytes to answer events, answer events to bytes. No I/O, no clock, no policy.

One dialect object is stateless and shared; readers and writers are made per exchange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import GatewayError
from gateway.exchange import AnswerEvent, Exchange

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of the parser. Beyond: TooLarge (sizes, counts, depth) or BadRequest."""

    depth: int = 64
    keys: int = 100_000  # all keys of all objects together
    fields: int = 128  # at the top level; what is unknown there is dropped by name, and names cost
    leaves: int = 20_000
    choices: int = 8
    event_bytes: int = 1 << 20  # one event of an upstream stream
    answer_bytes: int = 4 << 20  # one whole answer


@dataclass(frozen=True, slots=True)
class AnswerIds:
    """What our own serialisation of an answer is labelled with. ``created`` is an epoch second."""

    decision_id: str
    model: str
    created: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response of ours."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class AnswerReader(Protocol):
    """Reads the upstream's answer to one exchange. Raises UpstreamMalformed; after that it is spent."""

    def feed(self, data: bytes) -> tuple[AnswerEvent, ...]:
        """Take bytes, cut anywhere; give the events they complete."""

    def end(self) -> tuple[AnswerEvent, ...]:
        """The body is over. For a unary answer all events come here. Raises UpstreamMalformed where the answer is cut short."""


class AnswerWriter(Protocol):
    """Writes a cleared answer. ``released`` counts UTF-8 bytes of answer text encoded so far (before JSON escaping)."""

    released: int

    def encode(self, event: AnswerEvent) -> bytes:
        """The bytes of one cleared event, possibly none. Streams only."""

    def blocked(self) -> bytes:
        """Terminal events after a safety decision in mid-stream (or before the first event): the dialect's own refusal."""

    def failed(self, error: GatewayError) -> bytes:
        """Terminal events after a failure, halt or drain in mid-stream: an error, and no proper end."""

    def whole(self, events: Sequence[AnswerEvent]) -> bytes:
        """The body of a unary answer from all its cleared events."""

    def whole_blocked(self) -> bytes:
        """The body of a unary answer that was blocked (status 200)."""


class Dialect(Protocol):
    """One wire API."""

    @property
    def id(self) -> str:
        """``openai.chat``, ``anthropic.messages`` or ``anthropic.count_tokens``; a label value of metrics."""

    @property
    def path(self) -> str:
        """The route on the data plane, and the constant path at the upstream."""

    def parse(self, body: bytes, limits: WireLimits) -> Exchange:
        """Strictly parse a request. Raises BadRequest or TooLarge naming the field at fault."""

    def request(self, exchange: Exchange, model: str) -> bytes:
        """Our serialisation of what was screened, under the canonical model name."""

    def reader(self, exchange: Exchange, limits: WireLimits) -> AnswerReader:
        """A reader for the upstream's answer (unary or stream, as the exchange asks)."""

    def writer(self, exchange: Exchange, ids: AnswerIds) -> AnswerWriter:
        """A writer for the cleared answer."""

    def input_blocked(self, exchange: Exchange, ids: AnswerIds) -> Reply:
        """How a blocked input looks in this dialect, streamed or not (design's table). ``x-`` headers are added by the caller."""

    def error(self, error: GatewayError, request_id: str) -> Reply:
        """Any other fault in the dialect's own error shape."""


def upstream_headers(
    dialect: Dialect, *, stream: bool, request_id: str, extra: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """The headers that every upstream request carries; nothing of the client's is among them."""
    accept = "text/event-stream" if stream else JSON_TYPE
    base = [
        ("content-type", JSON_TYPE),
        ("accept", accept),
        ("accept-encoding", "identity"),
        ("x-request-id", request_id),
    ]
    if dialect.id.startswith("anthropic."):
        base.append(("anthropic-version", "2023-06-01"))
    return (*base, *extra.items())
