"""The messages between gateway and parser process: everything comes through as it was, and nothing else is taken for it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pipelines import ANTHROPIC, BOTH_DIALECTS, OPENAI, body_of

from gateway.errors import BadRequest, FeatureRefused, TooLarge, UnsupportedMedia
from gateway.exchange import Exchange
from gateway.parsing.frames import (
    LENGTH,
    LOT_BYTES,
    Ask,
    Assembly,
    End,
    Entry,
    Head,
    Json,
    Message,
    Nonsense,
    Refused,
    Texts,
    pack,
    read,
    read_ask,
    refused,
    told,
)
from gateway.wire.base import Dialect, WireLimits

LIMITS = WireLimits()
dialects = pytest.mark.parametrize("dialect", BOTH_DIALECTS, ids=lambda dialect: dialect.id)
TOOL = {
    "name": "t",
    "description": "does it",
    "parameters": {"type": "object", "properties": {"a": {"type": "number", "maximum": 1.5}}},
}


def rich(dialect: Dialect, texts: int = 5) -> bytes:
    """A request that uses much of its dialect."""
    parts = [{"type": "text", "text": f"text {number} é \U0001f980"} for number in range(texts)]
    more: dict[str, Any] = {"messages": [{"role": "user", "content": parts}], "temperature": 0.5, "unknown": {"a": 1}}
    if dialect is OPENAI:
        more |= {"stop": ["a", "b"], "tools": [{"type": "function", "function": TOOL}]}
    else:
        more |= {"stop_sequences": ["a", "b"], "tools": [{"name": "t", "input_schema": TOOL["parameters"]}]}
    return body_of(dialect, **more)


def through(exchange: Exchange, number: int = 7) -> Exchange | None:
    """Pack, unpack and put together."""
    assembly, made = Assembly(number, exchange.dialect), None
    for message in told(number, exchange):
        assert made is None
        made = assembly.take(read(pack(message)[LENGTH.size :]))
    return made


@dialects
@pytest.mark.parametrize("texts", [1, 5, 3000])
def test_an_exchange_comes_through_as_it_was(dialect: Dialect, texts: int) -> None:
    """Every field but the tree is equal, and what goes upstream is the same to the byte."""
    exchange = dialect.parse(rich(dialect, texts), LIMITS)
    made = through(exchange)
    assert made is not None
    for name in Exchange.__dataclass_fields__:
        if name != "body":
            assert getattr(made, name) == getattr(exchange, name), name
    assert dialect.request(made, "demo-model") == dialect.request(exchange, "demo-model")
    assert made.body.keys() == exchange.body.keys()


def test_what_dialects_read_again_comes_as_values() -> None:
    """The stop sequences of a request decide what an answer may say of them."""
    made = through(ANTHROPIC.parse(rich(ANTHROPIC), LIMITS))
    assert made is not None
    assert made.body["stop_sequences"] == ["a", "b"]
    assert isinstance(made.body["messages"], msgspec.Raw)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200))
def test_any_text_comes_through(text: str) -> None:
    """Whatever the dialect accepts."""
    body = body_of(OPENAI, text)
    exchange = OPENAI.parse(body, LIMITS)
    made = through(exchange)
    assert made is not None
    assert made.leaves == exchange.leaves
    assert OPENAI.request(made, "m") == OPENAI.request(exchange, "m")


def test_no_message_but_one_text_is_large() -> None:
    """A turn of the loop handles one message: a tree of a megabyte comes in pieces."""
    exchange = OPENAI.parse(rich(OPENAI, 15_000), LIMITS)
    assert max(len(pack(message)) for message in told(1, exchange)) < 2 * LOT_BYTES


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("no", code="invalid_json"),
        TooLarge("long", param="a.b"),
        FeatureRefused("x", param="y"),
        UnsupportedMedia("z"),
    ],
)
def test_a_refusal_comes_through_as_it_was(error: BadRequest) -> None:
    """Type, code, message and field."""
    with pytest.raises(type(error)) as told_again:
        Assembly(3, "d").take(read(pack(refused(3, error))[LENGTH.size :]))
    found = told_again.value
    assert (type(found), found.message, found.code, found.param) == (
        type(error),
        error.message,
        error.code,
        error.param,
    )


def test_an_ask_comes_through() -> None:
    """With the limits under which the body is to be parsed."""
    ask = Ask(1, OPENAI.id, LIMITS, 4)
    assert read_ask(pack(ask)[LENGTH.size :]) == ask


HEAD = Head(7, "openai.chat", "m", False, 1, (), (), True, 2, 0, 1)
WRONG: list[list[Message]] = [
    [End(7)],
    [Texts(())],
    [Entry("a", 1, follows=False)],
    [HEAD, HEAD],
    [HEAD, End(7)],
    [HEAD, Entry("a", 1, follows=False), End(8)],
    [HEAD, Entry("a", None, follows=True), End(7)],
    [HEAD, Entry("a", None, follows=True), Entry("b", 1, follows=False)],
    [HEAD, Json(b"{}", last=True)],
    [HEAD, Entry("a", 1, follows=False), Json(b"{}", last=True)],
    [HEAD, Entry("a", 1, follows=False), Entry("a", 2, follows=False)],
    [HEAD, Refused(7, 0, "m", "c", None)],
    [Refused(8, 0, "m", "c", None)],
    [Refused(7, 99, "m", "c", None)],
    [Head(8, "openai.chat", "m", False, 1, (), (), True, 2, 0, 1)],
    [Head(7, "anthropic.messages", "m", False, 1, (), (), True, 2, 0, 1)],
]


@pytest.mark.parametrize("messages", WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit_is_nonsense(messages: list[Message]) -> None:
    """An answer to something else, out of order, or short of what its head announced never becomes an exchange."""
    assembly = Assembly(7, "openai.chat")
    *before, last = messages
    for message in before:
        assert assembly.take(message) is None
    with pytest.raises(Nonsense):
        assembly.take(last)


@given(st.binary(max_size=300))
def test_random_bytes_are_no_message(data: bytes) -> None:
    """Whatever comes is a message of a known form or nonsense."""
    try:
        read(data)
    except Nonsense:
        return
    assert read(data) is not None


@given(st.data())
def test_a_changed_answer_is_nonsense_or_still_an_answer_to_the_same_question(data: st.DataObject) -> None:
    """Dropping, repeating or swapping messages never gives an exchange with fewer texts than its head says."""
    exchange = OPENAI.parse(rich(OPENAI, 600), LIMITS)
    messages = list(told(7, exchange))
    chosen = data.draw(st.lists(st.sampled_from(range(len(messages))), min_size=1, max_size=len(messages) + 2))
    assembly, made = Assembly(7, "openai.chat"), None
    try:
        for place in chosen:
            made = made or assembly.take(messages[place])
    except Nonsense:
        return
    assert made is None or (len(made.leaves), len(made.body)) == (len(exchange.leaves), len(exchange.body))


def test_json_of_ours_is_embedded_unread() -> None:
    """The tree's large values are bytes that this project's own serialiser wrote."""
    made = through(OPENAI.parse(rich(OPENAI), LIMITS))
    assert made is not None
    assert json.loads(bytes(made.body["messages"]))[0]["content"][1]["text"].startswith("text 1")
