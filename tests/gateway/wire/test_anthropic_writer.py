from __future__ import annotations

import json

import anthropic
import pytest
from anthropic.types import Message, RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from hypothesis import given, settings
from hypothesis import strategies as st
from support.anthropic_sdk import client, streamed, whole

from gateway.errors import (
    BadRequest,
    Draining,
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
from gateway.wire.anthropic_writer import STOP_DETAILS, Writer, error_body
from gateway.wire.base import AnswerIds, WireLimits
from gateway.wire.sse import Splitter

TEXT = ChannelKey(0, Channel.CONTENT)
TEXT_2 = ChannelKey(0, Channel.CONTENT, 1)
THOUGHT = ChannelKey(0, Channel.REASONING)
CALL = ChannelKey(0, Channel.TOOL_CALL)
IDS = AnswerIds("d-1", "canonical-model", 1_700_000_000)
RICH: list[AnswerEvent] = [
    Usage(10, 0, 4),
    TextDelta(THOUGHT, "hm "),
    TextDelta(THOUGHT, "é"),
    OpaqueBlock(THOUGHT, "signature", "c2ln"),
    OpaqueBlock(ChannelKey(0, Channel.REASONING, 1), "redacted", "eA=="),
    TextDelta(TEXT, "Hello "),
    TextDelta(TEXT, "🙂"),
    ToolCallStart(CALL, "toolu_1", "find"),
    TextDelta(CALL, '{"q":'),
    TextDelta(CALL, '"x"}'),
    TextDelta(TEXT_2, "after"),
    Finish(0, FinishReason.TOOL_CALLS),
    Usage(10, 25, 4),
    AnswerEnd(),
]
RICH_BLOCKS = [
    {"type": "thinking", "thinking": "hm é", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "eA=="},
    {"type": "text", "text": "Hello 🙂"},
    {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": "x"}},
    {"type": "text", "text": "after"},
]


def writer(*, stream: bool = True) -> Writer:
    return Writer(Exchange("anthropic.messages", "alias", stream, 1, (), {}), IDS)


def encoded(events: list[AnswerEvent]) -> bytes:
    made = writer()
    return b"".join(made.encode(event) for event in events)


def names(raw: bytes) -> list[str]:
    return [event.event for event in Splitter(1 << 20).feed(raw)]


def data(raw: bytes) -> list[dict[str, object]]:
    return [json.loads(event.data) for event in Splitter(1 << 20).feed(raw)]


def contents(message: Message) -> list[object]:
    return [block.model_dump(exclude_none=True) for block in message.content]


def test_a_stream_is_what_the_sdk_understands() -> None:
    """The SDK accumulates our stream into the same blocks, in order, under our id and the canonical model name."""
    message = streamed(encoded(RICH))
    assert contents(message) == RICH_BLOCKS
    kinds = (ThinkingBlock, RedactedThinkingBlock, TextBlock, ToolUseBlock, TextBlock)
    assert all(isinstance(block, kind) for block, kind in zip(message.content, kinds, strict=True))
    assert (message.id, message.model, message.stop_reason) == ("msg_d-1", "canonical-model", "tool_use")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (
        6,
        4,
        25,
    )


def test_a_whole_answer_is_what_the_sdk_understands() -> None:
    """The same events as one body give the same message as the stream."""
    message = whole(writer().whole(RICH))
    assert contents(message) == RICH_BLOCKS
    assert message.to_dict() == streamed(encoded(RICH)).to_dict()


def test_one_block_is_open_at_a_time() -> None:
    """Each start is followed by its stop before the next start, and indexes count up."""
    steps = [(event["type"], event.get("index")) for event in data(encoded(RICH))]
    blocks = [step for step in steps if str(step[0]) in {"content_block_start", "content_block_stop"}]
    assert blocks == [(f"content_block_{kind}", index) for index in range(5) for kind in ("start", "stop")]
    assert names(encoded(RICH)) == [name for name, _ in steps]


def test_a_channel_that_comes_back_gets_a_new_block() -> None:
    """Text that goes on after another channel is a block of its own, streamed and whole."""
    events: list[AnswerEvent] = [TextDelta(TEXT, "a"), TextDelta(THOUGHT, "b"), TextDelta(TEXT, "c"), AnswerEnd()]
    wanted = ["text", "thinking", "text"]
    assert [block.type for block in streamed(encoded(events)).content] == wanted
    assert [block.type for block in whole(writer().whole(events)).content] == wanted


def test_text_after_redacted_thinking_of_the_same_channel() -> None:
    """A redacted block is closed at once: thinking of that channel gets a block of its own."""
    events: list[AnswerEvent] = [OpaqueBlock(THOUGHT, "redacted", "eA=="), TextDelta(THOUGHT, "b"), AnswerEnd()]
    wanted = ["redacted_thinking", "thinking"]
    assert [block.type for block in streamed(encoded(events)).content] == wanted
    assert [block.type for block in whole(writer().whole(events)).content] == wanted


def test_a_signature_without_text_opens_its_block() -> None:
    """Thinking whose text the upstream leaves out keeps its signature."""
    events: list[AnswerEvent] = [OpaqueBlock(THOUGHT, "signature", "c2ln"), AnswerEnd()]
    wanted = [{"type": "thinking", "thinking": "", "signature": "c2ln"}]
    assert contents(streamed(encoded(events))) == wanted
    assert contents(whole(writer().whole(events))) == wanted


def test_refusals_of_other_dialects_are_text() -> None:
    """The refusal channel, which this dialect does not have, is written as text."""
    events: list[AnswerEvent] = [TextDelta(ChannelKey(0, Channel.REFUSAL), "No."), AnswerEnd()]
    assert contents(streamed(encoded(events))) == [{"type": "text", "text": "No."}]


def test_arguments_without_a_call_are_a_fault_of_the_caller() -> None:
    """A tool call's arguments cannot open a block: that needs its id and name."""
    for run in (writer().encode, lambda event: writer().whole([event])):
        with pytest.raises(ValueError, match="tool_call"):
            run(TextDelta(CALL, "{}"))


@pytest.mark.parametrize("arguments", ["", "{}"])
def test_empty_arguments(arguments: str) -> None:
    """A call without arguments has an empty input."""
    events: list[AnswerEvent] = [ToolCallStart(CALL, "c", "f"), TextDelta(CALL, arguments), AnswerEnd()]
    wanted = [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]
    assert contents(whole(writer().whole(events))) == contents(streamed(encoded(events))) == wanted


@pytest.mark.parametrize("arguments", ["[", "[]", '{"a":1,"a":2}', '{"a":NaN}'])
def test_whole_arguments_must_be_an_object(arguments: str) -> None:
    """Arguments that are not one strict JSON object are not written."""
    with pytest.raises(UpstreamMalformed):
        writer().whole([ToolCallStart(CALL, "c", "f"), TextDelta(CALL, arguments)])


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "end_turn"),
        (FinishReason.STOP_SEQUENCE, "stop_sequence"),
        (FinishReason.LENGTH, "max_tokens"),
        (FinishReason.TOOL_CALLS, "tool_use"),
        (FinishReason.REFUSAL, "refusal"),
        (FinishReason.CONTENT_FILTER, "refusal"),
        (FinishReason.PAUSE, "pause_turn"),
    ],
)
def test_stop_reasons(reason: FinishReason, word: str) -> None:
    """Each neutral finish has its word, streamed and whole; none of them carries our refusal's details."""
    events: list[AnswerEvent] = [TextDelta(TEXT, "a"), Finish(0, reason), AnswerEnd()]
    for message in (streamed(encoded(events)), whole(writer().whole(events))):
        assert (message.stop_reason, message.stop_sequence, message.stop_details) == (word, None, None)


def test_the_stop_sequence_is_told() -> None:
    """A stop sequence that the reader let through is in the answer."""
    events: list[AnswerEvent] = [Finish(0, FinishReason.STOP_SEQUENCE, "END"), AnswerEnd()]
    assert streamed(encoded(events)).stop_sequence == "END"
    assert whole(writer().whole(events)).stop_sequence == "END"


@given(cut=st.integers(0, len(RICH) - 1))
@settings(deadline=None)
def test_blocked_anywhere_is_a_refusal(cut: int) -> None:
    """Whenever the answer is blocked, before the first event too, the SDK sees a refusal with zero usage and what was released."""
    made = writer()
    raw = b"".join(made.encode(event) for event in RICH[:cut]) + made.blocked()
    message = streamed(raw)
    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.to_dict() == STOP_DETAILS
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (0, 0, 0)
    assert names(raw)[-2:] == ["message_delta", "message_stop"]
    assert names(raw).count("content_block_start") == names(raw).count("content_block_stop")


def test_blocked_whole_is_a_refusal() -> None:
    """A blocked unary answer has no content, zero usage and the constant details."""
    message = whole(writer(stream=False).whole_blocked())
    assert (message.content, message.stop_reason) == ([], "refusal")
    assert message.stop_details is not None
    assert message.stop_details.to_dict() == STOP_DETAILS
    assert (message.usage.input_tokens, message.usage.output_tokens) == (0, 0)


@pytest.mark.parametrize("cut", [0, 3, 9])
def test_failed_is_an_error_and_no_end(cut: int) -> None:
    """A failure ends the stream with an error event that the SDK raises; nothing comes after it."""
    made = writer()
    raw = b"".join(made.encode(event) for event in RICH[:cut]) + made.failed(ServingHalted("the model is halted"))
    assert names(raw)[-1] == "error"
    assert "message_stop" not in names(raw)
    error = {"type": "permission_error", "message": "the model is halted", "code": "asl_serving_halted"}
    assert data(raw)[-1] == {"type": "error", "error": error}
    with pytest.raises(anthropic.APIStatusError, match="asl_serving_halted"):
        streamed_error(raw)
    assert made.failed(ServingHalted("again")) + made.blocked() + made.encode(AnswerEnd()) == b""


def streamed_error(raw: bytes) -> None:
    with client(raw, headers=(("content-type", "text/event-stream"),)) as sdk:
        request = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        for _ in sdk.messages.create(**request, stream=True):
            pass


def test_after_the_end_nothing_is_written() -> None:
    """A block or failure that comes after the end of the answer adds no bytes."""
    made = writer()
    assert b"".join(made.encode(event) for event in RICH)
    assert made.blocked() == made.failed(Overloaded("late")) == made.encode(AnswerEnd()) == b""


def test_released_counts_text_and_nothing_else() -> None:
    """Text, thinking, tool names and arguments count in UTF-8 bytes; opaque values, ids and framing do not."""
    wanted = sum(len(text.encode()) for text in ("hm é", "Hello 🙂", "find", '{"q":"x"}', "after"))
    made, gathered = writer(), writer(stream=False)
    for event in RICH:
        made.encode(event)
    gathered.whole(RICH)
    assert made.released == gathered.released == wanted
    refused = writer()
    refused.blocked()
    assert refused.released == 0


texts = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() or "\n" in text)
answers = st.lists(
    st.one_of(
        st.tuples(st.just("text"), texts),
        st.tuples(st.just("thinking"), texts),
        st.tuples(st.just("tool"), st.dictionaries(texts, texts, max_size=2)),
    ),
    max_size=6,
)


def neutral(parts: list[tuple[str, object]]) -> list[AnswerEvent]:
    """Parts as the events that a reader gives for them."""
    events: list[AnswerEvent] = []
    counts = dict.fromkeys(Channel, 0)
    for kind, value in parts:
        channel = {"text": Channel.CONTENT, "thinking": Channel.REASONING, "tool": Channel.TOOL_CALL}[kind]
        key = ChannelKey(0, channel, counts[channel])
        counts[channel] += 1
        if kind == "tool":
            arguments = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            events += [ToolCallStart(key, f"c{key.index}", "f"), TextDelta(key, arguments)]
        else:
            events.append(TextDelta(key, str(value)))
    return [*events, Finish(0, FinishReason.STOP), Usage(3, 4), AnswerEnd()]


@given(parts=answers)
@settings(deadline=None, max_examples=60)
def test_what_is_written_reads_back(parts: list[tuple[str, object]]) -> None:
    """Our own reader gives back the events that were written, streamed and whole."""
    events = neutral(parts)
    exchange = Exchange("anthropic.messages", "m", True, 1, (), {})
    stream = StreamReader(exchange, WireLimits())
    back = [*stream.feed(encoded(events)), *stream.end()]
    assert [event for event in back if not isinstance(event, Usage)] == [e for e in events if not isinstance(e, Usage)]
    unary = UnaryReader(exchange, WireLimits())
    unary.feed(writer().whole(events))
    assert list(unary.end()) == events


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BadRequest("no", param="messages[0]"), "invalid_request_error", "invalid_request"),
        (TooLarge("no"), "request_too_large", "request_too_large"),
        (NotAssessed("no"), "permission_error", "asl_not_assessed"),
        (ModelNotFound("no"), "not_found_error", "model_not_found"),
        (Overloaded("no"), "overloaded_error", "overloaded"),
        (Draining("no"), "overloaded_error", "draining"),
        (SafeguardUnavailable("no"), "api_error", "safeguard_unavailable"),
        (UpstreamTimeout("no"), "api_error", "upstream_timeout"),
        (UpstreamStatus(429), "rate_limit_error", "upstream_rate_limited"),
        (UpstreamStatus(500), "api_error", "upstream_error"),
        (GatewayError("no"), "api_error", "internal_error"),
    ],
)
def test_error_types(error: GatewayError, kind: str, code: str) -> None:
    """Every fault has a type of the dialect's, and a code of ours that names the exact cause."""
    body = error_body(error, "req-1")
    assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", kind, code)
    assert body["request_id"] == "req-1"
    assert body["error"].get("param") == error.param


def test_a_kind_that_the_dialect_does_not_know_is_an_api_error() -> None:
    """A type of another dialect's never gets out."""
    error = GatewayError("no")
    error.kind = "server_error"
    assert error_body(error)["error"]["type"] == "api_error"


def test_a_client_without_threads_is_told_in_the_apis_words() -> None:
    """The SDK's tool runner goes on without a thread when it reads this code, and without it gives up."""
    error = BadRequest("thread: this field is not supported", param="thread")
    assert error_body(error)["error"]["details"] == {"error_code": "thread_unsupported_request"}
    assert "details" not in error_body(BadRequest("no", param="container"))["error"]


def test_the_start_of_a_stream_counts_the_prompt_alone() -> None:
    """``message_start`` tells what was read, from a cache or not; nothing has been written yet."""
    made = writer()
    made.encode(Usage(10, 25, 4))
    data = made.encode(TextDelta(TEXT, "x")).split(b"data: ", 1)[1].split(b"\n", 1)[0]
    assert json.loads(data)["message"]["usage"] == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 0,
    }
