"""The readers of OpenAI's chat dialect: chunks cut anywhere, choices in order, and nothing that is not understood."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError, UpstreamMalformed
from gateway.exchange import (
    AnswerEnd,
    AnswerEvent,
    Channel,
    ChannelKey,
    Exchange,
    Finish,
    FinishReason,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.wire.base import WireLimits
from gateway.wire.openai_reader import MAX_CALLS, StreamReader, UnaryReader

TEXT = ChannelKey(0, Channel.CONTENT)
THOUGHT = ChannelKey(0, Channel.REASONING)
CALL = ChannelKey(0, Channel.TOOL_CALL)
DONE = "[DONE]"
STOP = Finish(0, FinishReason.STOP)


def exchange(*, stream: bool = True, choices: int = 1) -> Exchange:
    """An exchange that asks for an answer of one kind."""
    return Exchange("openai.chat", "m", stream, choices, (), {})


def chunk(
    delta: dict[str, Any] | None = None, *, index: int = 0, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """One chunk of one choice."""
    return {"id": "up", "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **more}


def call(index: int | None = 0, name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """A delta with a fragment of a tool call."""
    return {"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}, **more}]}


def sse(*frames: dict[str, Any] | str) -> bytes:
    """Frames as bytes; a string stands for itself."""
    return b"".join(b"data: %b\n\n" % (f if isinstance(f, str) else json.dumps(f)).encode() for f in frames)


FULL = sse(
    chunk({"role": "assistant", "content": ""}),
    chunk({"role": "assistant", "content": ""}, index=1),
    chunk({"reasoning_content": "hm é"}),
    chunk({"reasoning": "so"}),
    chunk({"content": "one"}),
    chunk({"content": "uno"}, index=1),
    chunk(call(0, "find", "", id="call_9", type="function")),
    chunk(call(0, None, '{"q":')),
    chunk(call(1, "find", "{}", id="call_9")),
    chunk(call(0, "find", "1}", id="call_9")),
    chunk({}, finish="tool_calls"),
    chunk({"refusal": "no"}, index=1),
    chunk(None, index=1, finish="length"),
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    },
    DONE,
)
EVENTS: list[AnswerEvent] = [
    TextDelta(THOUGHT, "hm é"),
    TextDelta(THOUGHT, "so"),
    TextDelta(TEXT, "one"),
    TextDelta(ChannelKey(1, Channel.CONTENT), "uno"),
    ToolCallStart(CALL, "call_9", "find"),
    TextDelta(CALL, '{"q":'),
    ToolCallStart(ChannelKey(0, Channel.TOOL_CALL, 1), "call_0_1", "find"),
    TextDelta(ChannelKey(0, Channel.TOOL_CALL, 1), "{}"),
    TextDelta(CALL, "1}"),
    Finish(0, FinishReason.TOOL_CALLS),
    TextDelta(ChannelKey(1, Channel.REFUSAL), "no"),
    Finish(1, FinishReason.LENGTH),
    Usage(5, 7, 2, 1),
    AnswerEnd(),
]


def read(*parts: bytes, choices: int = 1, limits: WireLimits | None = None) -> list[AnswerEvent]:
    """All events of a stream fed in these parts."""
    reader = StreamReader(exchange(choices=choices), limits or WireLimits())
    return [event for part in parts for event in reader.feed(part)] + list(reader.end())


def whole(body: Any, *, choices: int = 1, limits: WireLimits | None = None) -> list[AnswerEvent]:
    """All events of a unary answer."""
    reader = UnaryReader(exchange(stream=False, choices=choices), limits or WireLimits())
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert reader.feed(raw[:7]) == reader.feed(raw[7:]) == ()
    return list(reader.end())


def answer(message: dict[str, Any] | None, *, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A unary answer of one choice."""
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}


def test_the_fullest_stream() -> None:
    """Both names of reasoning, interleaved choices, calls with repeated and doubled ids, usage."""
    assert read(FULL, choices=2) == EVENTS


def test_byte_by_byte() -> None:
    """Cut at every byte: the same events."""
    assert read(*(bytes([byte]) for byte in FULL), choices=2) == EVENTS


@given(st.lists(st.integers(0, len(FULL)), max_size=8))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    """Cut anywhere: the same events."""
    assert read(*(FULL[a:b] for a, b in pairwise([0, *sorted(cuts), len(FULL)])), choices=2) == EVENTS


@given(st.integers(0, len(FULL)), st.integers(0, 40), st.binary(max_size=12))
def test_damage_is_malformed_or_harmless(place: int, length: int, patch: bytes) -> None:
    """No other exception than the typed one, whatever a model server sends."""
    try:
        events = read(FULL[:place] + patch + FULL[place + length :], choices=2)
    except UpstreamError:
        return
    assert events[-1] == AnswerEnd()


@pytest.mark.parametrize(
    ("reason", "neutral"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("content_filter", FinishReason.CONTENT_FILTER),
    ],
)
def test_finish_reasons(reason: str, neutral: FinishReason) -> None:
    """Every word of the dialect has its neutral one, in both kinds of answer."""
    assert Finish(0, neutral) in read(sse(chunk({}, finish=reason), DONE))
    assert Finish(0, neutral) in whole(answer({"content": ""}, finish=reason))


@pytest.mark.parametrize("given_id", [None, "", "two words", "é", "a" * 65, "a\nb"])
def test_an_id_that_could_hold_words_is_replaced(given_id: str | None) -> None:
    """The client gets an id of ours."""
    events = read(sse(chunk(call(3, "f", "{}", id=given_id)), chunk({}, finish="stop"), DONE))
    assert events[0] == ToolCallStart(ChannelKey(0, Channel.TOOL_CALL, 3), "call_0_3", "f")


def test_both_names_of_reasoning_are_one_text() -> None:
    """A server that says it under both names is heard once; an empty one does not count."""
    both = chunk({"reasoning_content": "hm", "reasoning": "hm"})
    one = chunk({"reasoning_content": "", "reasoning": "so"})
    assert read(sse(both, one, chunk({}, finish="stop"), DONE))[:2] == [
        TextDelta(THOUGHT, "hm"),
        TextDelta(THOUGHT, "so"),
    ]


def test_what_is_not_known_is_not_relayed() -> None:
    """Unknown keys, logprobs, prompt filters, comments, ids and types of events."""
    strange = chunk({"content": "x", "mood": "canary"}, model="canary", system_fingerprint="canary")
    strange["choices"][0]["logprobs"] = {"content": [{"token": "canary", "bytes": [1]}]}
    filters = {"choices": [], "prompt_filter_results": [{"content": "canary"}]}
    raw = b": canary\n\nevent: canary\nid: canary\nretry: 1\n" + sse(filters, strange, chunk({}, finish="stop"), DONE)
    assert read(raw) == [TextDelta(TEXT, "x"), STOP, AnswerEnd()]


def test_the_end_without_done_is_fine_once_all_is_finished() -> None:
    """Some servers just close."""
    assert read(sse(chunk({"content": "x"}), chunk({}, finish="stop"))) == [TextDelta(TEXT, "x"), STOP, AnswerEnd()]


def test_a_finished_choice_may_be_repeated_while_it_says_nothing() -> None:
    """Usage frames of some servers name the choice once more."""
    usage = chunk({"role": "assistant", "content": ""}, usage={"prompt_tokens": 1, "completion_tokens": 2})
    assert read(sse(chunk({}, finish="stop"), usage, chunk(None), DONE)) == [STOP, Usage(1, 2), AnswerEnd()]


END = chunk({}, finish="stop")
MALFORMED: dict[str, list[dict[str, Any] | str]] = {
    "nothing": [],
    "done at once": [DONE],
    "no choice": [{"choices": []}, DONE],
    "an unfinished choice": [chunk({"content": "x"}), DONE],
    "cut short": [chunk({"content": "x"})],
    "data after the end": [END, DONE, chunk({"content": "x"})],
    "done twice": [END, DONE, DONE],
    "text after the finish": [END, chunk({"content": "x"}), DONE],
    "a call after the finish": [END, chunk(call(0, "f")), DONE],
    "two finishes": [END, END, DONE],
    "unknown finish reason": [chunk({}, finish="bored"), DONE],
    "legacy finish reason": [chunk({}, finish="function_call"), DONE],
    "legacy call": [chunk({"function_call": {"name": "f", "arguments": "{}"}}), END, DONE],
    "legacy call after the finish": [END, chunk({"function_call": {"name": "f"}}), DONE],
    "a choice too many": [chunk({"content": "x"}, index=1), END, DONE],
    "a choice below zero": [chunk({"content": "x"}, index=-1), END, DONE],
    "choices no list": [{"choices": "x"}, DONE],
    "choices null": [{"choices": None}, DONE],
    "choice no object": [{"choices": ["x"]}, DONE],
    "index a string": [{"choices": [{"index": "0", "finish_reason": "stop"}]}, DONE],
    "delta a string": [{"choices": [{"index": 0, "delta": "x", "finish_reason": "stop"}]}, DONE],
    "content a list": [chunk({"content": ["x"]}), END, DONE],
    "content a number": [chunk({"content": 1}), END, DONE],
    "two reasonings": [chunk({"reasoning": "a", "reasoning_content": "b"}), END, DONE],
    "a call without a name": [chunk(call(0, None, "{}")), END, DONE],
    "a call with an empty name": [chunk(call(0, "", "{}")), END, DONE],
    "a call without its function": [chunk({"tool_calls": [{"index": 0, "id": "x"}]}), END, DONE],
    "a call renamed": [chunk(call(0, "f")), chunk(call(0, "g")), END, DONE],
    "a call below zero": [chunk(call(-1, "f")), END, DONE],
    "too many calls": [chunk(call(MAX_CALLS, "f")), END, DONE],
    "usage below zero": [END, {"choices": [], "usage": {"prompt_tokens": -1}}, DONE],
    "usage a string": [END, {"choices": [], "usage": "canary"}, DONE],
    "neither choices nor usage": [{"object": "canary"}, END, DONE],
    "no JSON": ["canary", END, DONE],
    "a list": ["[]", END, DONE],
    "a lone surrogate": ['{"choices":[{"delta":{"content":"\\ud800"}}]}', END, DONE],
    "deep": ["[" * 100_000, END, DONE],
}


@pytest.mark.parametrize("frames", MALFORMED.values(), ids=MALFORMED)
def test_malformed_streams(frames: list[dict[str, Any] | str]) -> None:
    """Each is a 502 that quotes nothing."""
    with pytest.raises(UpstreamMalformed) as caught:
        read(sse(*frames))
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("cut", [b"data: {", b"data: [DONE]", b"event: x\n"])
def test_an_event_that_is_cut_is_malformed(cut: bytes) -> None:
    """Before the end and after it, also where every choice had finished."""
    for before in (sse(END), sse(END, DONE)):
        with pytest.raises(UpstreamMalformed):
            read(before + cut)


@pytest.mark.parametrize(
    "raw",
    [
        sse({"error": {"message": "canary"}}),
        sse(chunk({"content": "x"}), {"error": "canary", "choices": []}),
        b'event: error\ndata: {"message":"canary"}\n\n',
        b"event: error\ndata: canary\n\n",
    ],
)
def test_errors_of_the_model_server_are_not_relayed(raw: bytes) -> None:
    """An error, typed as one, without its words."""
    with pytest.raises(UpstreamError) as caught:
        read(raw)
    assert not isinstance(caught.value, UpstreamMalformed)
    assert "canary" not in caught.value.message


def test_a_whole_answer() -> None:
    """All channels of a message in the order in which they are judged; calls without an index count from zero."""
    message = {
        "role": "assistant",
        "content": "x",
        "reasoning": "hm",
        "refusal": "no",
        "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "function": {"name": "g"}},
        ],
        "annotations": [{"url": "canary"}],
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": None, "completion_tokens_details": {}}
    assert whole(answer(message, finish="tool_calls", usage=usage)) == [
        TextDelta(THOUGHT, "hm"),
        TextDelta(TEXT, "x"),
        TextDelta(ChannelKey(0, Channel.REFUSAL), "no"),
        ToolCallStart(CALL, "a", "f"),
        TextDelta(CALL, "{}"),
        ToolCallStart(ChannelKey(0, Channel.TOOL_CALL, 1), "b", "g"),
        Finish(0, FinishReason.TOOL_CALLS),
        Usage(5, 7),
        AnswerEnd(),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>canary</html>",
        b'{"choices":[{"message":{"content":"\xff"},"finish_reason":"stop"}]}',
        [],
        {},
        {"choices": []},
        answer({"content": "x"}, finish=None),
        answer({"content": {"text": "canary"}}),
        answer({"content": "x", "function_call": {"name": "f", "arguments": "{}"}}),
        answer({"content": "x"}, usage={"completion_tokens": 2**60}),
    ],
)
def test_malformed_bodies(body: Any) -> None:
    """Each is a 502 that quotes nothing."""
    with pytest.raises(UpstreamMalformed) as caught:
        whole(body)
    assert "canary" not in caught.value.message


def test_an_error_with_status_200() -> None:
    """Some servers answer so."""
    with pytest.raises(UpstreamError) as caught:
        whole({"error": {"message": "canary"}})
    assert "canary" not in caught.value.message


def test_answers_are_bounded() -> None:
    """In bytes of UTF-8: text and names of a stream, one event of it, and the body of a unary answer."""
    limits = WireLimits(answer_bytes=6, event_bytes=200)
    fits = read(sse(chunk({"content": "éé"}), chunk(call(0, "f", "1")), END, DONE), limits=limits)
    assert fits[-1] == AnswerEnd()
    for delta in ({"content": "ééé1"}, call(0, "abcdefg"), call(0, "abcdef", "{")):
        with pytest.raises(UpstreamMalformed, match="too large"):
            read(sse(chunk(delta), END, DONE), limits=limits)
    with pytest.raises(UpstreamMalformed, match="200 bytes"):
        read(sse(chunk({"mood": "x" * 200}), END, DONE), limits=limits)
    body = json.dumps(answer({"content": "x"})).encode()
    assert whole(body, limits=WireLimits(answer_bytes=len(body)))[-1] == AnswerEnd()
    with pytest.raises(UpstreamMalformed, match="too large"):
        whole(body, limits=WireLimits(answer_bytes=len(body) - 1))
