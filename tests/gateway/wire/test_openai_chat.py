"""The dialect as a whole: golden cases, and what the SDK makes of our refusals and faults."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest
from support import openai_golden
from support.openai_sdk import client

from gateway.errors import (
    BadRequest,
    Blocked,
    FeatureRefused,
    GatewayError,
    ModelNotFound,
    NotAssessed,
    Overloaded,
    SafeguardUnavailable,
    ServingHalted,
    TooLarge,
    UpstreamMalformed,
    UpstreamStatus,
    UpstreamTimeout,
)
from gateway.exchange import Exchange
from gateway.wire.base import AnswerIds, Dialect, WireLimits
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.openai_reader import StreamReader, UnaryReader
from gateway.wire.openai_writer import Writer

DIALECT: Dialect = OpenAIChat()
IDS = AnswerIds("d1", "canonical", 1_700_000_000)
CASES = sorted((Path(__file__).parent / "golden" / "openai").glob("*.txt"))


def exchange(*, stream: bool) -> Exchange:
    return Exchange(DIALECT.id, "alias", stream, 1, (), {"messages": []})


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    """Each golden case comes out as it is written down."""
    got, expected = openai_golden.run(path)
    assert got == expected


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_no_stray_word_of_the_upstream_or_in_faults(path: Path) -> None:
    """The canary stands only where nobody may relay it: in dropped fields, keys, errors of the upstream's."""
    assert "kestrel" not in openai_golden.run(path)[0]


def test_there_are_golden_cases_of_every_kind() -> None:
    """The cases are found, at least a hundred of them."""
    assert len(CASES) >= 100
    assert {path.name.partition("-")[0] for path in CASES} == {"request", "stream", "whole", "blocked"}


def test_identity() -> None:
    """The dialect's label and its one route."""
    assert (DIALECT.id, DIALECT.path) == ("openai.chat", "/v1/chat/completions")


def test_the_upstream_gets_our_serialisation_under_the_canonical_name() -> None:
    """Spaces, escapes and the alias of the client's bytes are gone."""
    raw = b'{ "messages":[{"role":"user", "content":"\\u0041"}], "n": 1 , "model":"alias"}'
    parsed = DIALECT.parse(raw, WireLimits())
    wanted = b'{"model":"canonical","messages":[{"role":"user","content":"A"}],"n":1}'
    assert DIALECT.request(parsed, "canonical") == wanted


def test_readers_and_writers_are_made_per_exchange() -> None:
    """A stream is read as a stream, a body as a body."""
    assert isinstance(DIALECT.reader(exchange(stream=True), WireLimits()), StreamReader)
    assert isinstance(DIALECT.reader(exchange(stream=False), WireLimits()), UnaryReader)
    assert isinstance(DIALECT.writer(exchange(stream=False), IDS), Writer)


@pytest.mark.parametrize("stream", [True, False])
def test_a_blocked_input_is_a_bad_request(stream: bool) -> None:
    """The SDK raises BadRequestError with the code ``content_filter``, streamed or not, and no word of why."""
    reply = DIALECT.input_blocked(exchange(stream=stream), IDS)
    assert (reply.status, reply.headers) == (400, (("content-type", "application/json"),))
    with (
        client(reply.body, status=reply.status, headers=reply.headers) as sdk,
        pytest.raises(openai.BadRequestError) as caught,
    ):
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=stream)
    assert (caught.value.code, caught.value.type, caught.value.param) == (
        "content_filter",
        "invalid_request_error",
        None,
    )
    assert "general_harms" in caught.value.message


def test_every_block_of_an_input_looks_the_same() -> None:
    """Whatever the error of a block says, the client reads the one constant body."""
    reply = DIALECT.error(Blocked("rule rr-1 fired", param="messages[0].content"), "r")
    assert reply == DIALECT.input_blocked(exchange(stream=True), IDS)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BadRequest("messages: no", param="messages"), openai.BadRequestError),
        (FeatureRefused("logprobs is not accepted", param="logprobs"), openai.BadRequestError),
        (ServingHalted("halted"), openai.PermissionDeniedError),
        (NotAssessed("not assessed"), openai.PermissionDeniedError),
        (ModelNotFound("no such model"), openai.NotFoundError),
        (TooLarge("big"), openai.APIStatusError),
        (UpstreamStatus(429, retry_after=7), openai.RateLimitError),
        (UpstreamStatus(503), openai.InternalServerError),
        (UpstreamMalformed("broken"), openai.InternalServerError),
        (UpstreamTimeout("late"), openai.InternalServerError),
        (SafeguardUnavailable("no judge"), openai.InternalServerError),
        (Overloaded("full"), openai.InternalServerError),
    ],
)
def test_errors_are_the_sdks(error: GatewayError, raised: type[openai.APIStatusError]) -> None:
    """The SDK raises its own exception for every fault, with our code and field, and Retry-After where we set it."""
    reply = DIALECT.error(error, "req-1")
    headers = dict(reply.headers)
    assert headers["content-type"] == "application/json"
    assert headers.get("retry-after") == (None if error.retry_after is None else str(error.retry_after))
    with client(reply.body, status=reply.status, headers=reply.headers) as sdk, pytest.raises(raised) as caught:
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == error.status
    assert (caught.value.code, caught.value.type, caught.value.param) == (error.code, error.kind, error.param)
