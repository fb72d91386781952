"""Counting tokens: the same strict parser as for messages, one number back, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageTokensCount

from gateway.errors import BadRequest, Blocked, Overloaded, UpstreamMalformed
from gateway.exchange import AnswerEnd, Exchange, Finish, FinishReason, Usage
from gateway.wire.anthropic_count import COUNTED, AnthropicCountTokens
from gateway.wire.anthropic_request import FIELDS
from gateway.wire.base import AnswerIds, WireLimits

COUNT = AnthropicCountTokens()
LIMITS = WireLimits()
IDS = AnswerIds("d-1", "m", 0)
MESSAGES = [{"role": "user", "content": "u1"}]


def parsed(**more: Any) -> Exchange:
    """A request as the pipeline gets it."""
    return COUNT.parse(json.dumps({"model": "alias", "messages": MESSAGES, **more}).encode(), LIMITS)


def read(body: bytes) -> tuple[Any, ...]:
    """The events of an answer, fed in two pieces."""
    reader = COUNT.reader(parsed(), LIMITS)
    assert reader.feed(body[:3]) == reader.feed(body[3:]) == ()
    return reader.end()


def test_the_conversation_is_parsed_as_for_messages() -> None:
    """Every text is a leaf, and the model server gets our serialisation under the canonical name."""
    tool = {"name": "n1", "input_schema": {"title": "t1"}}
    exchange = parsed(system="s1", tools=[tool], tool_choice={"type": "auto"}, thinking={"type": "adaptive"})
    assert {"u1", "s1", "n1", "t1"} <= {leaf.text for leaf in exchange.leaves}
    sent = json.loads(COUNT.request(exchange, "demo-model"))
    assert sent["model"] == "demo-model"
    assert sent.keys() == {"model", "system", "messages", "tools", "tool_choice", "thinking"}
    assert (exchange.dialect, exchange.stream, exchange.dropped) == ("anthropic.count_tokens", False, ())


def test_what_steers_an_answer_is_dropped_and_named() -> None:
    """Bounds, sampling and streaming say nothing about a prompt; stop sequences are screened all the same."""
    exchange = parsed(max_tokens=9, stream=True, temperature=0.5, stop_sequences=["x1"], made_up=1)
    assert set(exchange.dropped) == {"max_tokens", "stream", "temperature", "stop_sequences", "made_up"}
    assert not exchange.stream
    assert exchange.body.keys() == {"messages"}
    assert "x1" in {leaf.text for leaf in exchange.leaves}


def test_what_is_counted_is_a_field_of_messages() -> None:
    """No field is counted that messages do not have."""
    assert set(FIELDS) > COUNTED


@pytest.mark.parametrize("fault", [{"messages": None}, {"messages": []}, {"thread": {}}, {"system": 1}, {"model": ""}])
def test_faults_are_those_of_messages(fault: dict[str, Any]) -> None:
    """Whatever messages refuse is refused by its path."""
    with pytest.raises(BadRequest) as caught:
        parsed(**fault)
    assert caught.value.param == next(iter(fault))


def test_the_count_comes_back() -> None:
    """One number, and an answer that the SDK reads."""
    events = read(b'{"input_tokens":12,"secret":"amber kestrel protocol"}')
    assert events == (Usage(12, 0), Finish(0, FinishReason.STOP), AnswerEnd())
    body = COUNT.writer(parsed(), IDS).whole(events)
    assert json.loads(body) == {"input_tokens": 12}
    assert MessageTokensCount.model_validate_json(body, strict=True).input_tokens == 12


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"input_tokens":-1}', b'{"input_tokens":"7"}', b'{"input_tokens":1.5}', b"\xff", b"[" * 9999],
)
def test_what_is_no_count_is_malformed(body: bytes) -> None:
    """An answer without a proper number is the model server's fault."""
    with pytest.raises(UpstreamMalformed):
        read(body)


def test_an_answer_has_a_bound() -> None:
    """A count that does not end is cut."""
    reader = COUNT.reader(parsed(), LIMITS)
    with pytest.raises(UpstreamMalformed):
        reader.feed(b" " * 70_000)


def test_a_block_is_an_error() -> None:
    """There is no refusal in a count: 400 with the code that OpenAI's dialect has, and a stopped answer counts nothing."""
    reply = COUNT.input_blocked(parsed(), IDS)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["code"] == "content_filter"
    writer = COUNT.writer(parsed(), IDS)
    assert json.loads(writer.whole_blocked()) == {"input_tokens": 0}
    assert writer.blocked() + writer.failed(Blocked("no")) + writer.encode(AnswerEnd()) == b""
    assert writer.released == 0


def test_faults_have_the_dialects_shape() -> None:
    """The error object of messages, with the time to come back."""
    reply = COUNT.error(Overloaded("full"), "r-1")
    assert (reply.status, dict(reply.headers)["retry-after"]) == (503, "1")
    assert json.loads(reply.body)["error"]["type"] == "overloaded_error"
    assert "retry-after" not in dict(COUNT.error(BadRequest("no"), "r-1").headers)
