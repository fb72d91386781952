"""The writer of OpenAI's chat dialect: our own envelope, one proper end, and a refusal wherever an answer is stopped."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.openai_sdk import chunks, streamed, whole

from gateway.errors import Blocked, FeatureRefused, ServingHalted
from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    Exchange,
    Finish,
    FinishReason,
    OpaqueBlock,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.wire.base import AnswerIds, WireLimits
from gateway.wire.openai_reader import StreamReader, UnaryReader
from gateway.wire.openai_writer import BLOCKED_MESSAGE, Writer, error_body

IDS = AnswerIds("d1", "canonical", 1_700_000_000)
TEXT = ChannelKey(0, Channel.CONTENT)
CALL = ChannelKey(0, Channel.TOOL_CALL)
SECOND = ChannelKey(1, Channel.CONTENT)
ANSWER: tuple[AnswerEvent, ...] = (
    TextDelta(ChannelKey(0, Channel.REASONING), "hm é"),
    TextDelta(TEXT, "one"),
    TextDelta(SECOND, "uno"),
    TextDelta(TEXT, " two"),
    ToolCallStart(CALL, "call_1", "find"),
    TextDelta(CALL, '{"q":1}'),
    Finish(0, FinishReason.TOOL_CALLS),
    TextDelta(ChannelKey(1, Channel.REFUSAL), "no"),
    Finish(1, FinishReason.STOP),
    Usage(5, 7, 2, 1),
    AnswerEnd(),
)


def exchange(*, stream: bool = True, choices: int = 2, usage: bool = True) -> Exchange:
    """An exchange that asks for an answer of one kind."""
    return Exchange("openai.chat", "alias", stream, choices, (), {}, usage_asked=usage)


def writer(**asked: Any) -> Writer:
    """A writer for such an exchange."""
    return Writer(exchange(**asked), IDS)


def data(written: bytes) -> list[Any]:
    """The frames of a stream; ``[DONE]`` stands for itself."""
    lines = [line[6:] for line in written.split(b"\n") if line]
    assert written == b"".join(b"data: " + line + b"\n\n" for line in lines)
    return [line if line == b"[DONE]" else json.loads(line) for line in lines]


def test_a_stream_is_what_the_sdk_understands() -> None:
    """The SDK accumulates both choices, the call, usage and our own labels."""
    made = writer()
    got = streamed(b"".join(map(made.encode, ANSWER)))
    assert (got.id, got.model, got.created) == ("chatcmpl-d1", "canonical", 1_700_000_000)
    first, second = got.choices
    assert (first.message.role, first.message.content, first.finish_reason) == ("assistant", "one two", "tool_calls")
    assert first.message.tool_calls is not None
    call = first.message.tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "find", '{"q":1}')
    assert (second.message.content, second.message.refusal, second.finish_reason) == ("uno", "no", "stop")
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (5, 7, 12)


def test_a_whole_answer_is_what_the_sdk_understands() -> None:
    """The same answer, unary."""
    made = writer(stream=False)
    got = whole(made.whole(ANSWER))
    first, second = got.choices
    assert (first.message.content, first.finish_reason) == ("one two", "tool_calls")
    assert first.message.model_extra == {"reasoning_content": "hm é"}
    assert first.message.tool_calls is not None
    assert first.message.tool_calls[0].id == "call_1"
    assert (second.message.content, second.message.refusal) == ("uno", "no")
    assert got.usage is not None
    assert got.usage.prompt_tokens_details is not None
    assert got.usage.completion_tokens_details is not None
    assert got.usage.prompt_tokens_details.cached_tokens == 2
    assert got.usage.completion_tokens_details.reasoning_tokens == 1


def test_the_role_comes_once_and_first_of_each_choice() -> None:
    """One role chunk per choice, also where the choice begins with a call or with its end."""
    made = writer()
    frames = data(made.encode(ToolCallStart(CALL, "c", "f")) + made.encode(Finish(1, FinishReason.STOP)))
    frames += data(made.encode(TextDelta(TEXT, "x")))
    said = [(choice["index"], choice["delta"].get("role")) for frame in frames for choice in frame["choices"]]
    assert said == [(0, "assistant"), (0, None), (1, "assistant"), (1, None), (0, None)]


def test_usage_comes_last_once_and_only_if_asked_for() -> None:
    """Running totals are not relayed; the last one is, where the client asked."""
    events = (Usage(1, 1), TextDelta(TEXT, "x"), Usage(1, 2), Finish(0, FinishReason.STOP), AnswerEnd())
    asked = data(b"".join(map(writer(choices=1).encode, events)))
    assert [frame["usage"] for frame in asked[:-2]] == [None] * 3
    assert asked[-2]["choices"] == []
    assert asked[-2]["usage"]["completion_tokens"] == 2
    silent = data(b"".join(map(writer(choices=1, usage=False).encode, events)))
    assert [frame for frame in silent[:-1] if "usage" in frame] == []
    assert len(silent) == len(asked) - 1


def test_usage_that_the_model_server_did_not_give_is_not_made_up() -> None:
    """No usage frame, and no usage in a whole answer."""
    events = (TextDelta(TEXT, "x"), Finish(0, FinishReason.STOP), AnswerEnd())
    frames = data(b"".join(map(writer(choices=1).encode, events)))
    assert all(frame["usage"] is None for frame in frames[:-1])
    assert "usage" not in json.loads(writer(choices=1, stream=False).whole(events))


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "stop"),
        (FinishReason.STOP_SEQUENCE, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.TOOL_CALLS, "tool_calls"),
        (FinishReason.REFUSAL, "stop"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
        (FinishReason.PAUSE, "stop"),
    ],
)
def test_finish_reasons(reason: FinishReason, word: str) -> None:
    """Every neutral reason has a word, the same in both kinds of answer."""
    events = (TextDelta(TEXT, "x"), Finish(0, reason))
    assert data(b"".join(map(writer().encode, events)))[-1]["choices"][0]["finish_reason"] == word
    assert json.loads(writer(stream=False).whole(events))["choices"][0]["finish_reason"] == word


def test_opaque_blocks_are_left_out() -> None:
    """The dialect has no place for them."""
    block = OpaqueBlock(ChannelKey(0, Channel.REASONING), "signature", "c2ln")
    assert writer().encode(block) == b""
    assert json.loads(writer(stream=False).whole([block]))["choices"] == []


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_blocked_anywhere_ends_every_open_choice(cut: int) -> None:
    """After any part of the answer, also none: content_filter for what had not finished, zero usage, a proper end."""
    made = writer()
    for event in ANSWER[:cut]:
        made.encode(event)
    finished = {event.choice for event in ANSWER[:cut] if isinstance(event, Finish)}
    frames = data(made.blocked())
    ends = {c["index"]: c["finish_reason"] for f in frames[:-1] for c in f["choices"] if c["finish_reason"]}
    assert ends == dict.fromkeys({0, 1} - finished, "content_filter")
    assert not any(choice["delta"].get("content") for frame in frames[:-1] for choice in frame["choices"])
    assert (frames[-2]["usage"]["total_tokens"], frames[-1]) == (0, b"[DONE]")
    assert made.blocked() == made.failed(ServingHalted("halted")) == b""
    again = writer()
    read = chunks(b"".join(map(again.encode, ANSWER[:cut])) + again.blocked())
    assert {c.index for chunk in read for c in chunk.choices if c.finish_reason is not None} == {0, 1}


def test_blocked_without_usage_asked_has_none() -> None:
    """The zero usage is sent to those who asked only."""
    frames = data(writer(choices=1, usage=False).blocked())
    assert [frame["choices"][0]["finish_reason"] for frame in frames[:-1]] == [None, "content_filter"]
    assert "usage" not in frames[0]


def test_blocked_whole_is_an_empty_answer() -> None:
    """Empty text and content_filter in every choice, nothing used, nothing of the answer released."""
    made = writer(stream=False)
    got = whole(made.whole_blocked())
    assert [(c.index, c.message.content, c.finish_reason) for c in got.choices] == [
        (0, "", "content_filter"),
        (1, "", "content_filter"),
    ]
    assert got.usage is not None
    assert (got.usage.total_tokens, made.released) == (0, 0)


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_failed_is_an_error_and_no_end(cut: int) -> None:
    """The SDK raises; there is no ``[DONE]``; nothing follows."""
    made = writer()
    written = b"".join(map(made.encode, ANSWER[:cut])) + made.failed(ServingHalted("halted"))
    with pytest.raises(openai.APIError) as caught:
        chunks(written)
    assert caught.value.body == {
        "message": "halted",
        "type": "permission_error",
        "param": None,
        "code": "asl_serving_halted",
    }
    assert b"[DONE]" not in written
    assert made.failed(ServingHalted("halted")) == made.blocked() == b""


def test_after_the_end_nothing_is_written() -> None:
    """An ended stream takes neither a refusal nor an error."""
    made = writer()
    made.encode(AnswerEnd())
    assert made.blocked() == made.failed(ServingHalted("halted")) == b""


def test_content_is_null_only_beside_calls_or_a_refusal() -> None:
    """Text that is empty is text; an answer that is only a call has none."""
    call = json.loads(writer(stream=False).whole([ToolCallStart(CALL, "c", "f"), TextDelta(CALL, "{}")]))
    assert call["choices"][0]["message"]["content"] is None
    refusal = json.loads(writer(stream=False).whole([TextDelta(ChannelKey(0, Channel.REFUSAL), "no")]))
    assert refusal["choices"][0]["message"]["content"] is None
    empty = json.loads(writer(stream=False).whole([Finish(0, FinishReason.STOP)]))
    assert empty["choices"][0]["message"]["content"] == ""


def test_a_percent_sign_in_the_model_name_is_itself() -> None:
    """The envelope is a template, the name of a model is not part of its language."""
    made = Writer(exchange(choices=1), AnswerIds("d%d", "100%b%%", 1))
    frames = data(made.encode(TextDelta(TEXT, "%s")) + made.encode(Finish(0, FinishReason.STOP)))
    assert {(frame["id"], frame["model"]) for frame in frames} == {("chatcmpl-d%d", "100%b%%")}
    assert frames[1]["choices"][0]["delta"] == {"content": "%s"}


def test_released_counts_text_and_nothing_else() -> None:
    """UTF-8 bytes of text, reasoning, refusals, names and arguments, the same in both kinds."""
    made, unary = writer(), writer(stream=False)
    for event in ANSWER:
        made.encode(event)
    unary.whole(ANSWER)
    assert made.released == unary.released == len('hm éoneuno twofind{"q":1}no'.encode())


def test_a_safety_decision_has_one_sentence() -> None:
    """Whatever the error says, a block is told in the same words and names no field."""
    body = error_body(Blocked("rule 7 fired", param="messages[0]"))["error"]
    assert body == {
        "message": BLOCKED_MESSAGE,
        "type": "invalid_request_error",
        "param": None,
        "code": "content_filter",
    }
    assert "general_harms" in BLOCKED_MESSAGE


def test_other_errors_name_their_field() -> None:
    """Message, kind, field and code of the fault."""
    assert error_body(FeatureRefused("no", param="logprobs"))["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": "logprobs",
        "code": "unsupported_parameter",
    }


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
channels = st.sampled_from([Channel.CONTENT, Channel.REASONING, Channel.REFUSAL])
deltas = st.builds(TextDelta, st.builds(ChannelKey, st.integers(0, 1), channels), texts)


def joined(events: list[AnswerEvent] | tuple[AnswerEvent, ...]) -> dict[ChannelKey, str]:
    """The text of each channel."""
    out: dict[ChannelKey, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            out[event.key] = out.get(event.key, "") + event.text
    return out


@given(st.lists(deltas, max_size=8))
def test_what_is_written_reads_back(said: list[TextDelta]) -> None:
    """Our own reader gets the same text from both kinds, whatever characters it is made of, and it is all counted."""
    events: list[AnswerEvent] = [*said, *(Finish(choice, FinishReason.STOP) for choice in (0, 1)), AnswerEnd()]
    made, unary = writer(), writer(stream=False)
    stream = StreamReader(exchange(), WireLimits())
    back = [event for written in map(made.encode, events) for event in stream.feed(written)]
    assert joined(back) == joined(said)
    body = UnaryReader(exchange(stream=False), WireLimits())
    body.feed(unary.whole(events))
    assert joined(body.end()) == joined(said)
    assert made.released == unary.released == sum(len(delta.text.encode()) for delta in said)
