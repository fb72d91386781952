"""The anthropic SDK's helpers, transports and error handling: what is more than one ``create`` with parameters."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest

from gateway.demo.answers import Call, Said, anthropic_events, anthropic_unary
from gateway.demo.scripted import Handler, Script, Send, Sleep, chunk, head, unary
from support.running import until
from support.sdk.anthropic_parameters import CALLS, TOOL
from support.sdk.cases import BLOCKED, CANARY, HELLO, MODEL, SCREENED, WORKS, Case, Seat, case, first, hello, saying
from support.sdk.openai_calls import BAD, BAD_CALL, MAGIC_PROMPT, TOWN, late, town, worded
from support.sdk.proof import last

LIMIT = {"model": MODEL, "max_tokens": 64}
THINKS = saying(Said(("Blue light.",), reasoning=("Think of ", "light."), signature="c2lnbmVk"))


def hanging() -> Script:
    """A stream that begins and goes on for a minute; it ends when the gateway leaves."""
    start, opening, delta, *_ = anthropic_events(Said(("Long ago, ",)))
    top = Send(head(content_type="text/event-stream", length="chunked") + chunk(start + opening + delta))
    return (top, *[step for _ in range(600) for step in (Sleep(0.1), Send(chunk(delta)))])


def once_calling() -> Handler:
    """A tool call first, then the answer."""
    return first(unary(anthropic_unary(Said(calls=(Call("weather", ('{"city":"Bergen"}',)),)))))()


def text(answer: Any) -> str:
    """The text of an answer."""
    return "".join(block.text for block in answer.content if block.type == "text")


def chat(seat: Seat, word: str) -> Any:
    """``create``."""
    answer = seat.sdk.messages.create(**LIMIT, messages=worded(word))
    assert answer.stop_reason == "refusal" or (text(answer), answer.stop_reason) == ("Hello there.", "end_turn")
    return answer


def stream(seat: Seat, word: str) -> Any:
    """``create`` with ``stream=True``: raw events."""
    events = list(seat.sdk.messages.create(**LIMIT, messages=worded(word), stream=True))
    assert [events[0].type, events[-2].type, events[-1].type] == ["message_start", "message_delta", "message_stop"]
    said = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert said == ("" if events[-2].delta.stop_reason == "refusal" else "Hello there.")
    return events[-2].delta


def helper(seat: Seat, word: str) -> Any:
    """``messages.stream``: text and final message."""
    with seat.sdk.messages.stream(**LIMIT, messages=worded(word)) as events:
        said = "".join(events.text_stream)
        final = events.get_final_message()
    assert said == text(final) == ("" if final.stop_reason == "refusal" else "Hello there.")
    return final


def calls(seat: Seat, word: str) -> Any:
    """Parallel tool calls, at once and streamed."""
    once = seat.sdk.messages.create(**LIMIT, messages=worded(word), tools=[TOOL])
    with seat.sdk.messages.stream(**LIMIT, messages=worded(word), tools=[TOOL]) as events:
        final = events.get_final_message()
    for answer in (once, final):
        if answer.stop_reason != "refusal":
            assert [block.input["city"] for block in answer.content] == ["Bergen", "Bodø"]
            assert answer.stop_reason == "tool_use"
    return final


def looped(seat: Seat, word: str) -> Any:
    """A tool loop as the guides write it: the SDK's own blocks go back, thinking and text among them."""
    turns: list[Any] = worded(word)
    with seat.sdk.messages.stream(**LIMIT, messages=turns, tools=[TOOL]) as events:
        streamed = events.get_final_message()
    for answer in (seat.sdk.messages.create(**LIMIT, messages=turns, tools=[TOOL]), streamed):
        if answer.stop_reason == "refusal":
            return answer
        (call,) = (block for block in answer.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "It rains."}
        back = [*turns, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
        seat.sdk.messages.create(**LIMIT, messages=back, tools=[TOOL])
        kinds = [block["type"] for block in last(seat)["messages"][1]["content"]]
        assert kinds == ["thinking", "text", "tool_use"]
    return streamed


def parse(seat: Seat, word: str) -> Any:
    """``.parse()`` and ``.stream()`` with a pydantic model; the word is in its schema. The parsed block goes back."""
    model = town(word)
    once = seat.sdk.messages.parse(**LIMIT, messages=HELLO, output_format=model)
    with seat.sdk.messages.stream(**LIMIT, messages=HELLO, output_format=model) as events:
        final = events.get_final_message()
    if final.stop_reason != "refusal":
        assert once.parsed_output == final.parsed_output
        assert final.parsed_output.people == 290000
        back = [*HELLO, {"role": "assistant", "content": once.content}, *HELLO]
        seat.sdk.messages.parse(**LIMIT, messages=back, output_format=model)
        assert last(seat)["messages"][1]["content"] == [{"type": "text", "text": '{"name":"Bergen","people":290000}'}]
    return final


def thinks(seat: Seat, _: str) -> Any:
    """Thinking arrives; its signature does not."""
    asked = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
    with seat.sdk.messages.stream(**{**LIMIT, **asked}, messages=HELLO) as events:
        kinds = {event.type for event in events}
        final = events.get_final_message()
    assert "thinking" in kinds
    assert (final.content[0].thinking, final.content[0].signature) == ("Think of light.", "")
    assert text(final) == "Blue light."


def asynchronous(seat: Seat, word: str) -> Any:
    """``AsyncAnthropic``: a call and a stream."""

    async def act() -> Any:
        async with anthropic.AsyncAnthropic(base_url=seat.base, api_key="unused", timeout=60) as sdk:
            answer = await sdk.messages.create(**LIMIT, messages=worded(word))
            async with sdk.messages.stream(**LIMIT, messages=worded(word)) as events:
                said = "".join([piece async for piece in events.text_stream])
                final = await events.get_final_message()
            assert text(answer) == said == text(final) == ("" if final.stop_reason == "refusal" else "Hello there.")
            return final

    return asyncio.run(act())


def raw(seat: Seat, word: str) -> Any:
    """``with_raw_response``: ids in the headers."""
    answer = seat.sdk.messages.with_raw_response.create(**LIMIT, messages=worded(word))
    assert answer.headers["request-id"] == answer.headers["x-request-id"] == answer.parse()._request_id
    assert answer.headers["x-asl-decision-id"].startswith("d-")
    return answer.parse()


def runner(seat: Seat, word: str) -> Any:
    """``beta.messages.tool_runner``: the SDK calls a function and sends its result back."""
    asked: list[str] = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Looks at the weather."""
        asked.append(city)
        return "It rains."

    final = seat.sdk.beta.messages.tool_runner(**LIMIT, messages=worded(word), tools=[weather]).until_done()
    assert final.stop_reason == "refusal" or (asked, text(final)) == (["Bergen"], "Hello there.")
    return final


def counting() -> Handler:
    """The model server counts."""
    return lambda _: unary(b'{"input_tokens":12}')


def count(seat: Seat, word: str) -> Any:
    """``count_tokens``, of the beta too."""
    for ways in (seat.sdk.messages, seat.sdk.beta.messages):
        assert ways.count_tokens(model=MODEL, messages=worded(word), tools=[TOOL]).input_tokens == 12


def count_blocked(ask: Any) -> None:
    """A count has no form of a refusal, so a blocked prompt is an error."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask()
    assert caught.value.response.json()["error"]["code"] == "content_filter"
    assert caught.value.response.headers["x-should-retry"] == "false"


def crowded(seat: Seat, word: str) -> Any:
    """The gateway serves one exchange at most, and has one; that one ends when the second was told to wait."""
    pieces = seat.sdk.messages.create(**LIMIT, messages=HELLO, stream=True)
    next(iter(pieces))
    seat.upstream.script(hello())

    def leave() -> None:
        pieces.close()
        until(seat.upstream.requests[-1].left.is_set)

    seat.refused = leave
    chat(seat, word)


def timeout(seat: Seat, _: str) -> Any:
    """The SDK's own timeout; the model server is left, too."""
    hasty = seat.sdk.with_options(timeout=1.0, max_retries=0)
    with pytest.raises(anthropic.APITimeoutError):
        hasty.messages.create(**LIMIT, messages=HELLO)
    until(seat.upstream.requests[-1].left.is_set)


def cancel(seat: Seat, _: str) -> Any:
    """A client that leaves in mid-stream frees the model server."""
    with seat.sdk.messages.stream(**LIMIT, messages=HELLO) as events:
        next(iter(events.text_stream))
    until(seat.upstream.requests[-1].left.is_set)


def models(seat: Seat, _: str) -> Any:
    """The models that may serve now."""
    assert [model.id for model in seat.sdk.models.list()] == [MODEL]
    assert seat.sdk.models.retrieve(MODEL).id == MODEL


def blocked(ask: Any) -> None:
    """The SDK's form of a blocked prompt: an answer, not an error."""
    answer = ask()
    answer = answer.parse() if hasattr(answer, "parse") else answer
    assert answer.stop_reason == "refusal"


def blocked_prompt(seat: Seat, _: str) -> Any:
    """All ways to ask give the same."""
    told = seat.sdk.messages.with_raw_response.create(**LIMIT, messages=MAGIC_PROMPT)
    with seat.sdk.messages.stream(**LIMIT, messages=MAGIC_PROMPT) as events:
        final = events.get_final_message()
    assert told.headers["x-should-retry"] == "false"
    for answer in (told.parse(), final):
        assert (answer.stop_reason, text(answer), answer.usage.output_tokens) == ("refusal", "", 0)
        assert answer.stop_details.category == "general_harms"


def blocked_answer(seat: Seat, _: str) -> Any:
    """No text, no call, and the reason."""
    answer = seat.sdk.messages.create(**LIMIT, messages=HELLO)
    assert (answer.stop_reason, text(answer)) == ("refusal", "")
    assert CANARY not in answer.to_json()


def blocked_stream(seat: Seat, _: str) -> Any:
    """The stream ends early, and says so."""
    with seat.sdk.messages.stream(**LIMIT, messages=HELLO) as events:
        said = "".join(events.text_stream)
        final = events.get_final_message()
    assert final.stop_reason == "refusal"
    assert "amber" not in said + final.to_json()


CALL_CASES: tuple[Case, ...] = (
    case("create", "`create`", SCREENED, ask=chat, params=("messages", "model", "max_tokens")),
    case("stream", "`create` with `stream`", SCREENED, ask=stream, params=("stream",)),
    case("stream-helper", "`.stream()`: `text_stream`, `get_final_message()`", SCREENED, ask=helper),
    case("parallel-calls", "two tool calls in one answer, at once and in `.stream()`", SCREENED, ask=calls, says=CALLS, attempts=2),
    case("loop", "the SDK's blocks sent back: a tool loop with thinking", SCREENED, ask=looped, attempts=4, says=saying(
        Said(("I look.",), reasoning=("Think.",), signature="c2lnbmVk", calls=(Call("weather", ('{"city":"Bergen"}',)),)))),
    case("parse", "`.parse()` and `.stream()` with a pydantic model", SCREENED, ask=parse, says=TOWN, attempts=3),
    case("thinks", "`thinking` in the answer", WORKS, "screened like all text; its signature, which no view reads, is withheld: "
         "a model server that wants it back refuses the next turn",
         ask=thinks, says=THINKS),
    case("async", "`AsyncAnthropic`: call and helper", SCREENED, ask=asynchronous, attempts=0),
    case("raw", "`with_raw_response`", SCREENED, "`request-id`, `x-asl-decision-id`, `x-asl-dropped`", ask=raw),
    case("tool-runner", "`beta.messages.tool_runner`", SCREENED, "it asks for a thread first, is told that there are none, and goes on",
         ask=runner, attempts=3,
         says=once_calling),
    case("models", "`models.list`, `models.retrieve`", WORKS, "what may serve now", ask=models, attempts=2),
    case("count-tokens", "`messages.count_tokens`, `beta.messages.count_tokens`", SCREENED,
         "counted by the model server; a blocked prompt is `BadRequestError`, code `content_filter`",
         ask=count, says=counting, blocked=count_blocked, attempts=2),
    case("timeout", "`timeout`", WORKS, "`APITimeoutError`; the model server is freed", ask=timeout,
         says=lambda: lambda _: (Sleep(60), *unary(b"{}")), params=("timeout",)),
    case("cancel", "leaving in mid-stream", WORKS, "the model server is freed", ask=cancel, says=lambda: lambda _: hanging()),
    case("retry-429", "retry after the model server's 429, with `Retry-After`", WORKS, "asked again by default",
         ask=chat, says=first(late(429)), attempts=2),
    case("retry-503", "retry after the model server's 503", WORKS, "it becomes our 502; asked again by default",
         ask=chat, says=first(late(503)), attempts=2),
)  # fmt: skip

# Proven in front of a gateway that may serve one exchange at a time.
BUSY_CASES: tuple[Case, ...] = (
    case("retry-overloaded", "retry after the gateway's own 503 `overloaded`, with `Retry-After`", WORKS, "asked again by default",
         ask=crowded, says=lambda: lambda _: hanging(), attempts=3),
)  # fmt: skip

BLOCKED_CASES: tuple[Case, ...] = (
    case("blocked-prompt", "a blocked prompt", BLOCKED,
         "an answer with `stop_reason: refusal`, no text and no tokens, from `create` and `.stream()`; asked once",
         ask=blocked_prompt, attempts=2),
    case("blocked-answer", "a blocked answer", BLOCKED, "no text, `stop_reason: refusal`; asked once", ask=blocked_answer, says=BAD),
    case("blocked-call", "a blocked tool call", BLOCKED, "no call, `stop_reason: refusal`", ask=blocked_answer, says=BAD_CALL),
    case("blocked-stream", "a blocked streamed answer", BLOCKED, "ends with `stop_reason: refusal`, before the phrase",
         ask=blocked_stream, says=BAD),
    case("blocked-stream-call", "a blocked streamed tool call", BLOCKED, "the same", ask=blocked_stream, says=BAD_CALL),
)  # fmt: skip
