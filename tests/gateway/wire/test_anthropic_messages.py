from __future__ import annotations

from pathlib import Path

import anthropic
import pytest
from support import anthropic_golden
from support.anthropic_sdk import client, streamed, whole

from gateway.errors import BadRequest, Overloaded, ServingHalted, TooLarge, UpstreamStatus
from gateway.exchange import Exchange
from gateway.wire.anthropic_messages import AnthropicMessages
from gateway.wire.anthropic_reader import StreamReader, UnaryReader
from gateway.wire.anthropic_writer import STOP_DETAILS
from gateway.wire.base import AnswerIds, Dialect, WireLimits

DIALECT: Dialect = AnthropicMessages()
IDS = AnswerIds("d1", "canonical", 1_700_000_000)
CASES = sorted((Path(__file__).parent / "golden" / "anthropic").glob("*.txt"))


def exchange(*, stream: bool) -> Exchange:
    return Exchange(DIALECT.id, "alias", stream, 1, (), {"max_tokens": 1, "messages": []})


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    """Each golden case comes out as it is written down."""
    got, expected = anthropic_golden.run(path)
    assert got == expected


def test_there_are_golden_cases_of_every_kind() -> None:
    """The cases are found, at least forty of them."""
    assert len(CASES) >= 40
    assert {path.name.partition("-")[0] for path in CASES} == {"request", "stream", "whole", "blocked"}


def test_identity() -> None:
    """The dialect's label and its one route."""
    assert (DIALECT.id, DIALECT.path) == ("anthropic.messages", "/v1/messages")


def test_the_upstream_gets_our_serialisation_under_the_canonical_name() -> None:
    """Spaces, escapes and the alias of the client's bytes are gone."""
    raw = b'{ "max_tokens":1, "model":"alias", "messages":[{"role":"user", "content":"\\u0041"}] }'
    parsed = DIALECT.parse(raw, WireLimits())
    wanted = b'{"model":"canonical","max_tokens":1,"messages":[{"role":"user","content":"A"}]}'
    assert DIALECT.request(parsed, "canonical") == wanted


def test_readers_are_of_the_kind_asked_for() -> None:
    """A stream is read as a stream, a body as a body."""
    assert isinstance(DIALECT.reader(exchange(stream=True), WireLimits()), StreamReader)
    assert isinstance(DIALECT.reader(exchange(stream=False), WireLimits()), UnaryReader)


@pytest.mark.parametrize("stream", [True, False])
def test_a_blocked_input_is_a_refusal(stream: bool) -> None:
    """The SDK sees a refusal with the constant details, nothing used, and no exception, streamed or not."""
    reply = DIALECT.input_blocked(exchange(stream=stream), IDS)
    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    assert (reply.status, dict(reply.headers)) == (200, {"content-type": kind})
    message = streamed(reply.body) if stream else whole(reply.body)
    assert (message.content, message.stop_reason, message.model, message.id) == ([], "refusal", "canonical", "msg_d1")
    assert message.stop_details is not None
    assert message.stop_details.to_dict() == STOP_DETAILS
    assert (message.usage.input_tokens, message.usage.output_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BadRequest("messages: no", param="messages"), anthropic.BadRequestError),
        (ServingHalted("halted"), anthropic.PermissionDeniedError),
        (TooLarge("big"), anthropic.RequestTooLargeError),
        (UpstreamStatus(429, retry_after=7), anthropic.RateLimitError),
        (UpstreamStatus(503), anthropic.InternalServerError),
        (Overloaded("full"), anthropic.APIStatusError),
    ],
)
def test_errors_are_the_sdks(error: BadRequest, raised: type[anthropic.APIStatusError]) -> None:
    """The SDK raises its own exception for every fault, with our code in its body and Retry-After where we set it."""
    reply = DIALECT.error(error, "req-1")
    headers = dict(reply.headers)
    assert headers["content-type"] == "application/json"
    assert headers.get("retry-after") == (None if error.retry_after is None else str(error.retry_after))
    with client(reply.body, status=reply.status, headers=reply.headers) as sdk, pytest.raises(raised) as caught:
        sdk.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == error.status
    body = caught.value.body
    assert isinstance(body, dict)
    assert (body["error"]["code"], body["request_id"]) == (error.code, "req-1")
