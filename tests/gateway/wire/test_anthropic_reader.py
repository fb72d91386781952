from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
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
    OpaqueBlock,
    TextDelta,
    ToolCallStart,
    Usage,
)
from gateway.wire.anthropic_reader import StreamReader, UnaryReader
from gateway.wire.base import WireLimits

TEXT = ChannelKey(0, Channel.CONTENT)
THOUGHT = ChannelKey(0, Channel.REASONING)
CALL = ChannelKey(0, Channel.TOOL_CALL)
START = {"type": "message_start", "message": {"type": "message", "content": [], "usage": {"input_tokens": 7}}}
STOP = {"type": "message_stop"}


def exchange(*, stream: bool = True, stops: tuple[str, ...] = ()) -> Exchange:
    return Exchange("anthropic.messages", "m", stream, 1, (), {"stop_sequences": list(stops)})


def sse(*events: dict[str, object] | str) -> bytes:
    """Events as bytes; a string stands for itself."""
    parts = [e if isinstance(e, str) else f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events]
    return "".join(parts).encode()


def block(index: int, kind: str, **content: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **content}}


def delta(index: int, kind: str, **content: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **content}}


def stop(index: int) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str | None = "end_turn", sequence: str | None = None, **usage: object) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage}


def read(raw: bytes, *, stops: tuple[str, ...] = (), limits: WireLimits | None = None) -> list[AnswerEvent]:
    reader = StreamReader(exchange(stops=stops), limits or WireLimits())
    return [*reader.feed(raw), *reader.end()]


def read_whole(body: object, *, stops: tuple[str, ...] = (), limits: WireLimits | None = None) -> list[AnswerEvent]:
    reader = UnaryReader(exchange(stream=False, stops=stops), limits or WireLimits())
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [*reader.feed(raw[:3]), *reader.feed(raw[3:]), *reader.end()]


RICH = sse(
    START,
    {"type": "ping"},
    block(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="hm é"),
    delta(0, "signature_delta", signature="c2ln"),
    stop(0),
    block(1, "redacted_thinking", data="b3BhcXVl"),
    stop(1),
    block(2, "text", text=""),
    delta(2, "text_delta", text="Hello 🙂"),
    stop(2),
    block(3, "tool_use", id="toolu_1", name="find", input={}),
    delta(3, "input_json_delta", partial_json=""),
    delta(3, "input_json_delta", partial_json='{"q": '),
    delta(3, "input_json_delta", partial_json='"x"}'),
    stop(3),
    block(4, "text", text="after"),
    stop(4),
    {"type": "some_future_event", "text": "never relayed"},
    finish("tool_use", output_tokens=5),
    STOP,
)
RICH_EVENTS: list[AnswerEvent] = [
    Usage(7, 0),
    TextDelta(THOUGHT, "hm é"),
    OpaqueBlock(THOUGHT, "signature", "c2ln"),
    OpaqueBlock(ChannelKey(0, Channel.REASONING, 1), "redacted", "b3BhcXVl"),
    TextDelta(TEXT, "Hello 🙂"),
    ToolCallStart(CALL, "toolu_1", "find"),
    TextDelta(CALL, '{"q": '),
    TextDelta(CALL, '"x"}'),
    TextDelta(ChannelKey(0, Channel.CONTENT, 1), "after"),
    Finish(0, FinishReason.TOOL_CALLS),
    Usage(7, 5),
    AnswerEnd(),
]


def test_every_block_is_a_channel_of_its_own() -> None:
    """A rich stream becomes the neutral events in order; pings and unknown events leave no trace."""
    assert read(RICH) == RICH_EVENTS


@given(cuts=st.lists(st.integers(0, len(RICH)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_cuts_change_nothing(cuts: list[int]) -> None:
    """However the stream is cut into chunks, the events are the same."""
    places = [0, *sorted(cuts), len(RICH)]
    reader = StreamReader(exchange(), WireLimits())
    events = [e for a, b in pairwise(places) for e in reader.feed(RICH[a:b])]
    assert [*events, *reader.end()] == RICH_EVENTS


def test_byte_by_byte() -> None:
    """One byte at a time gives the same events."""
    reader = StreamReader(exchange(), WireLimits())
    events = [event for place in range(len(RICH)) for event in reader.feed(RICH[place : place + 1])]
    assert [*events, *reader.end()] == RICH_EVENTS


@given(place=st.integers(0, len(RICH) - 1), length=st.integers(0, 30), patch=st.binary(max_size=12))
@settings(max_examples=300, deadline=None)
def test_damage_is_malformed_or_harmless(place: int, length: int, patch: bytes) -> None:
    """Whatever is cut out of a stream or put into it, the reader ends properly or with a fault of the upstream's."""
    try:
        events = read(RICH[:place] + patch + RICH[place + length :])
    except UpstreamError:
        return
    assert events[-1] == AnswerEnd()


def test_event_lines_may_be_absent() -> None:
    """Servers that send no ``event:`` lines are read by the type in their data."""
    bare = b"\n".join(line for line in RICH.split(b"\n") if not line.startswith(b"event:"))
    assert read(bare) == RICH_EVENTS


def test_stops_of_older_blocks_may_come_late() -> None:
    """llama.cpp closes all blocks at its end: nothing changes but the place of the stop events."""
    raw = sse(
        START,
        block(0, "text", text=""),
        delta(0, "text_delta", text="a"),
        block(1, "tool_use", id="c", name="f", input={}),
        stop(0),
        delta(1, "input_json_delta", partial_json="{}"),
        stop(1),
        finish(),
        STOP,
    )
    assert read(raw)[1:4] == [TextDelta(TEXT, "a"), ToolCallStart(CALL, "c", "f"), TextDelta(CALL, "{}")]


@pytest.mark.parametrize("closing", [[stop(0)], [block(1, "text", text="")], []])
def test_a_call_without_arguments_has_empty_ones(closing: list[dict[str, object]]) -> None:
    """A tool call whose arguments never come is complete with ``{}``, as soon as no more can come."""
    raw = sse(START, block(0, "tool_use", id="c", name="f", input={}), *closing, finish(), STOP)
    assert read(raw)[1:3] == [ToolCallStart(CALL, "c", "f"), TextDelta(CALL, "{}")]


def test_arguments_in_the_start_of_a_block_are_read() -> None:
    """A server that sends the whole input at the start of the block is understood."""
    raw = sse(START, block(0, "tool_use", id="c", name="f", input={"b": 1, "a": "é"}), stop(0), finish(), STOP)
    assert read(raw)[2] == TextDelta(CALL, '{"b":1,"a":"é"}')


@pytest.mark.parametrize(
    ("reason", "neutral"),
    [
        ("end_turn", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("pause_turn", FinishReason.PAUSE),
        ("refusal", FinishReason.REFUSAL),
    ],
)
def test_stop_reasons(reason: str, neutral: FinishReason) -> None:
    """Each stop reason of the dialect has its neutral word, streamed and whole."""
    assert Finish(0, neutral) in read(sse(START, finish(reason), STOP))
    assert Finish(0, neutral) in read_whole({"type": "message", "content": [], "stop_reason": reason})


@pytest.mark.parametrize(("sequence", "relayed"), [("END", "END"), ("secret", None), (None, None)])
def test_a_stop_sequence_is_relayed_only_if_it_was_asked_for(sequence: str | None, relayed: str | None) -> None:
    """The upstream cannot put words of its own into ``stop_sequence``."""
    wanted = Finish(0, FinishReason.STOP_SEQUENCE, relayed)
    assert wanted in read(sse(START, finish("stop_sequence", sequence), STOP), stops=("END",))
    body = {"type": "message", "content": [], "stop_reason": "stop_sequence", "stop_sequence": sequence}
    assert wanted in read_whole(body, stops=("END",))


def test_a_stop_sequence_without_its_reason_is_not_relayed() -> None:
    """``stop_sequence`` beside another stop reason is ignored."""
    assert Finish(0, FinishReason.STOP) in read(sse(START, finish("end_turn", "END"), STOP), stops=("END",))


def test_usage_is_a_running_total() -> None:
    """Later counts replace earlier ones, absent ones leave them, cached tokens are part of the prompt."""
    start = {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}}
    details = {"thinking_tokens": 4}
    late = finish(None, output_tokens=9, cache_read_input_tokens=10, output_tokens_details=details)
    raw = sse(start, late, finish("end_turn", cache_creation_input_tokens=100), STOP)
    counts = [event for event in read(raw) if isinstance(event, Usage)]
    assert counts == [Usage(3, 1), Usage(13, 9, 10, 4), Usage(113, 9, 10, 4)]


def test_done_after_the_end_is_harmless_and_nothing_else_is() -> None:
    """``data: [DONE]`` of some servers is passed over after message_stop; any other data is not."""
    good = sse(START, finish(), STOP)
    assert read(good + b"data: [DONE]\n\n: comment\n\n")[-1] == AnswerEnd()
    for more in (sse({"type": "ping"}), b"data: [DONE]x\n\n", b"event: x\ndata: [DONE]\n\n", b"data: cut"):
        with pytest.raises(UpstreamMalformed):
            read(good + more)


def test_the_end_without_message_stop_is_fine_once_all_is_finished() -> None:
    """A stream that stops after its stop reason ended; one that stops before it, or within an event, was cut."""
    assert read(sse(START, finish()))[-1] == AnswerEnd()
    for raw in (b"", sse(START), sse(START, block(0, "text", text="x"), stop(0)), sse(START, finish()) + b"data: {"):
        with pytest.raises(UpstreamMalformed):
            read(raw)


@pytest.mark.parametrize(
    "events",
    [
        [block(0, "text", text="x")],
        [START, START],
        [STOP],
        [START, STOP],
        [{"type": "message_start"}],
        [{"type": "message_start", "message": {"content": [{"type": "text", "text": "x"}]}}],
        [{"type": "message_start", "message": {"content": [], "stop_reason": "end_turn"}}],
        [START, block(0, "web_search_tool_result", content="x")],
        [START, block(0, "server_tool_use", id="a", name="b", input={})],
        [START, {"type": "content_block_start", "index": 0}],
        [START, block(0, "text", text=""), block(0, "text", text="")],
        [START, block(0, "text", text=5)],
        [START, block(0, "text", text=""), delta(0, "thinking_delta", thinking="x")],
        [START, block(0, "text", text=""), delta(0, "new_delta", text="x")],
        [START, block(0, "thinking"), delta(0, "citations_delta")],
        [START, block(0, "text", text=""), delta(1, "text_delta", text="x")],
        [START, block(0, "text", text=""), {"type": "content_block_delta", "index": 0}],
        [START, block(0, "text", text=""), stop(0), delta(0, "text_delta", text="x")],
        [START, block(0, "text", text=""), block(1, "text", text=""), delta(0, "text_delta", text="x")],
        [START, stop(0)],
        [START, block(0, "text", text=""), finish(), delta(0, "text_delta", text="x")],
        [START, finish(), block(0, "text", text="x")],
        [START, finish(), finish()],
        [START, {"type": "message_delta"}, STOP],
        [START, finish("because I say so")],
        [START, finish("end_turn", output_tokens=-1)],
        [START, block(0, "tool_use", id="", name="f", input={})],
        [START, block(0, "tool_use", id="two words", name="f", input={})],
        [START, block(0, "tool_use", id="a" * 129, name="f", input={})],
        [START, block(0, "tool_use", id="a", name="", input={})],
        [START, block(0, "tool_use", id="a", name="f", input=["x"])],
        [START, block(0, "thinking"), delta(0, "signature_delta", signature="this is plain text")],
        [START, block(0, "redacted_thinking", data="plain text")],
        [START, "event: ping\ndata: " + json.dumps(finish()) + "\n\n"],
        [START, "data: [DONE]\n\n"],
        [START, "data: {\n\n"],
        [START, 'data: {"type": 5}\n\n'],
        [START, "data: []\n\n"],
        [START, "data: " + "[" * 2000 + "\n\n"],
    ],
    ids=lambda events: str(events[-1])[:70],
)
def test_malformed_streams(events: list[dict[str, object] | str]) -> None:
    """What does not follow the dialect, or could carry text that nobody judges, is malformed, and says nothing of itself."""
    with pytest.raises(UpstreamMalformed) as caught:
        read(sse(*events))
    assert "text" not in caught.value.message


def test_citations_are_left_out() -> None:
    """A citation of a text block is passed over, in streams and whole."""
    citation = {"type": "char_location", "cited_text": "never relayed"}
    raw = sse(START, block(0, "text", text="a"), delta(0, "citations_delta", citation=citation), finish(), STOP)
    body = {
        "type": "message",
        "content": [{"type": "text", "text": "a", "citations": [citation]}],
        "stop_reason": "end_turn",
    }
    assert "never relayed" not in repr(read(raw))
    assert read_whole(body) == [TextDelta(TEXT, "a"), Finish(0, FinishReason.STOP), AnswerEnd()]


def test_upstream_errors_are_not_relayed() -> None:
    """Error events and error bodies become an UpstreamError of ours without a word of theirs."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "prompt was: amber kestrel protocol"}}
    for run in (lambda: read(sse(START, error)), lambda: read(sse(error)), lambda: read_whole(error)):
        with pytest.raises(UpstreamError) as caught:
            run()
        assert type(caught.value) is UpstreamError
        assert "kestrel" not in caught.value.message


def test_a_whole_message() -> None:
    """All events of a unary answer come at its end, in the order of its blocks."""
    body = {
        "type": "message",
        "id": "msg_x",
        "model": "whatever",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "eA=="},
            {"type": "text", "text": "one"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": [1, "b"]}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
            {"type": "text", "text": "two"},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 4, "output_tokens": 2},
    }
    assert read_whole(body) == [
        TextDelta(THOUGHT, "hm"),
        OpaqueBlock(THOUGHT, "signature", "c2ln"),
        OpaqueBlock(ChannelKey(0, Channel.REASONING, 1), "redacted", "eA=="),
        TextDelta(TEXT, "one"),
        ToolCallStart(CALL, "c1", "f"),
        TextDelta(CALL, '{"a":[1,"b"]}'),
        ToolCallStart(ChannelKey(0, Channel.TOOL_CALL, 1), "c2", "g"),
        TextDelta(ChannelKey(0, Channel.TOOL_CALL, 1), "{}"),
        TextDelta(ChannelKey(0, Channel.CONTENT, 1), "two"),
        Finish(0, FinishReason.TOOL_CALLS),
        Usage(4, 2),
        AnswerEnd(),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b"[" * 5000,
        b"{}",
        {"type": "completion"},
        {"type": "message", "content": [], "stop_reason": None},
        {"type": "message", "content": "text", "stop_reason": "end_turn"},
        {"type": "message", "content": [{"type": "video"}], "stop_reason": "end_turn"},
        b'{"type":"message","stop_reason":"tool_use","content":[{"type":"tool_use","id":"a","name":"f","input":{"a":1,"a":2}}]}',
        b'{"type":"message","stop_reason":"tool_use","content":[{"type":"tool_use","id":"a","name":"f","input":"{}"}]}',
    ],
)
def test_malformed_bodies(body: object) -> None:
    """What is not a finished message of the dialect is malformed."""
    with pytest.raises(UpstreamMalformed):
        read_whole(body)


def test_answers_are_bounded() -> None:
    """Whole bodies by their bytes, streams by the text that they carry."""
    small = WireLimits(answer_bytes=100)
    with pytest.raises(UpstreamMalformed, match="too large"):
        read_whole(b" " * 101, limits=small)
    parts = [delta(0, "text_delta", text="x" * 50)] * 3
    with pytest.raises(UpstreamMalformed, match="too large"):
        read(sse(START, block(0, "text", text=""), *parts), limits=small)
    with pytest.raises(UpstreamMalformed, match="larger than"):
        read(sse(START, block(0, "text", text="x" * 600)), limits=WireLimits(event_bytes=500))
