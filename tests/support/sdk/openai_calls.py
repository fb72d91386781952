"""The openai SDK's helpers, transports and error handling: what is more than one ``create`` with parameters."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field, create_model

from gateway.controls.magic import MAGIC
from gateway.demo.answers import Call, Said
from gateway.demo.scripted import Script, Send, Sleep, chunk, head, plays, unary
from support.running import until
from support.sdk.cases import BLOCKED, CANARY, HELLO, MODEL, SCREENED, WORKS, Case, Seat, case, first, hello, saying
from support.sdk.openai_parameters import CALLS, TOOL
from support.sdk.proof import last

BUSY = b'{"error":{"message":"later","type":"rate_limit_error"}}'
TOWN = saying(Said(('{"name":"Bergen",', '"people":290000}')))
BAD = saying(Said(("Of course. The word is ", *CANARY, ", and more.")))
BAD_CALL = saying(Said(calls=(Call("weather", ('{"city":"', *CANARY, '"}')),)))
BAD_TOWN = saying(Said(('{"name":"', *CANARY, '","people":1}')))
MAGIC_PROMPT = [{"role": "user", "content": MAGIC["rules"] + " Hello."}]


TOWN_CALL = Call("weather", ('{"name":"Bergen","people":1}',))


class Town(BaseModel):
    """A structured answer."""

    name: str
    people: int


def worded(word: str) -> list[dict[str, str]]:
    """A prompt with a word."""
    return [{"role": "user", "content": f"Say a word about {word}."}]


def town(word: str) -> Any:
    """A model of a structured answer whose schema holds a word."""
    return create_model(
        "Town", __doc__=f"A town such as {word}.", name=(str, Field(description=f"not {word}")), people=(int, ...)
    )


def late(status: int) -> Script:
    """An answer that asks to come back in a second."""
    top = f"HTTP/1.1 {status} Later\r\ncontent-type: application/json\r\nretry-after: 1\r\ncontent-length: {len(BUSY)}\r\n\r\n"
    return plays(top.encode() + BUSY)


def hanging() -> Script:
    """A stream that begins and goes on for a minute; it ends when the gateway leaves."""
    begin = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    start = Send(head(content_type="text/event-stream", length="chunked") + chunk(begin % b"Long ago, "))
    return (start, *[step for _ in range(600) for step in (Sleep(0.1), Send(chunk(begin % b"and then, ")))])


def chat(seat: Seat, word: str) -> Any:
    """``create``."""
    answer = seat.sdk.chat.completions.create(model=MODEL, messages=worded(word))
    assert answer.choices[0].message.content == "Hello there."
    return answer


def stream(seat: Seat, word: str) -> Any:
    """``create`` with ``stream=True``."""
    pieces = list(seat.sdk.chat.completions.create(model=MODEL, messages=worded(word), stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Hello there."
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert not any(piece.usage for piece in pieces)


def usage(seat: Seat, word: str) -> Any:
    """Usage at the end of a stream."""
    asked = {"include_usage": True}
    *_, end = seat.sdk.chat.completions.create(model=MODEL, messages=worded(word), stream=True, stream_options=asked)
    assert end.usage.total_tokens > 0


def events(seat: Seat, word: str) -> Any:
    """The ``.stream()`` helper."""
    with seat.sdk.chat.completions.stream(model=MODEL, messages=worded(word)) as helper:
        kinds = [event.type for event in helper]
        final = helper.get_final_completion()
    assert final.choices[0].message.content == "Hello there."
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)


def tool_events(seat: Seat, word: str) -> Any:
    """The ``.stream()`` helper with parallel tool calls."""
    with seat.sdk.chat.completions.stream(model=MODEL, messages=worded(word), tools=[TOOL]) as helper:
        done = [event for event in helper if event.type == "tool_calls.function.arguments.done"]
        calls = helper.get_final_completion().choices[0].message.tool_calls
    assert [json.loads(event.arguments)["city"] for event in done] == ["Bergen", "Bodø"]
    assert [(call.id, call.function.name) for call in calls] == [("call_1", "weather"), ("call_2", "weather")]


def parallel(seat: Seat, word: str) -> Any:
    """Two tool calls in one answer."""
    calls = (
        seat.sdk.chat.completions.create(model=MODEL, messages=worded(word), tools=[TOOL]).choices[0].message.tool_calls
    )
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Bergen", "Bodø"]


def parse(seat: Seat, word: str) -> Any:
    """``.parse()`` with a pydantic model; the word is in its schema."""
    answer = seat.sdk.chat.completions.parse(model=MODEL, messages=HELLO, response_format=town(word))
    assert answer.choices[0].message.parsed.model_dump() == {"name": "Bergen", "people": 290000}


def parse_stream(seat: Seat, word: str) -> Any:
    """``.stream()`` with a pydantic model."""
    with seat.sdk.chat.completions.stream(model=MODEL, messages=HELLO, response_format=town(word)) as helper:
        parsed = helper.get_final_completion().choices[0].message.parsed
    assert parsed.people == 290000


def pydantic_tool(seat: Seat, word: str) -> Any:
    """``.parse()`` with tools from pydantic models."""
    tool = openai.pydantic_function_tool(town(word), name="weather")
    answer = seat.sdk.chat.completions.parse(model=MODEL, messages=HELLO, tools=[tool])
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments.name == "Bergen"


def looped(seat: Seat, word: str) -> Any:
    """A tool loop as the guides write it: the SDK's own message objects go back, parsed ones too."""
    tool = openai.pydantic_function_tool(town(word), name="weather")
    for ask in (seat.sdk.chat.completions.create, seat.sdk.chat.completions.parse):
        turns: list[Any] = worded(word)
        answer = ask(model=MODEL, messages=turns, tools=[tool]).choices[0].message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "It rains."} for call in answer.tool_calls]
        ask(model=MODEL, messages=[*turns, answer, *results], tools=[tool])
        assert last(seat)["messages"][1]["tool_calls"][0]["function"]["arguments"] == TOWN_CALL.text


def parsed_back(seat: Seat, word: str) -> Any:
    """A structured answer's own message object goes back."""
    turns: list[Any] = worded(word)
    answer = seat.sdk.chat.completions.parse(model=MODEL, messages=turns, response_format=Town).choices[0].message
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the SDK's own, about its own object
        raw = seat.sdk.chat.completions.with_raw_response.parse(
            model=MODEL, messages=[*turns, answer, *turns], response_format=Town
        )
    assert raw.headers["x-asl-dropped"] == "parsed"
    assert last(seat)["messages"][1] == {"role": "assistant", "content": '{"name":"Bergen","people":290000}'}


def asynchronous(seat: Seat, word: str) -> Any:
    """``AsyncOpenAI``: a call, a stream, a parse."""

    async def act() -> None:
        async with openai.AsyncOpenAI(base_url=seat.base + "/v1", api_key="unused", timeout=60) as sdk:
            answer = await sdk.chat.completions.create(model=MODEL, messages=worded(word))
            assert answer.choices[0].message.content == "Hello there."
            pieces = await sdk.chat.completions.create(model=MODEL, messages=worded(word), stream=True)
            assert "".join([piece.choices[0].delta.content or "" async for piece in pieces]) == "Hello there."
            async with sdk.chat.completions.stream(model=MODEL, messages=worded(word)) as helper:
                assert (await helper.get_final_completion()).choices[0].message.content == "Hello there."

    asyncio.run(act())


def raw(seat: Seat, word: str) -> Any:
    """``with_raw_response``: ids in the headers."""
    answer = seat.sdk.chat.completions.with_raw_response.create(model=MODEL, messages=worded(word))
    assert answer.headers["x-request-id"] == answer.parse()._request_id
    assert answer.headers["x-asl-decision-id"].startswith("d-")


def raw_stream(seat: Seat, word: str) -> Any:
    """``with_streaming_response``."""
    with seat.sdk.chat.completions.with_streaming_response.create(model=MODEL, messages=worded(word)) as answer:
        assert answer.parse().choices[0].message.content == "Hello there."


def crowded(seat: Seat, word: str) -> Any:
    """The gateway serves one exchange at most, and has one; that one ends when the second was told to wait."""
    pieces = seat.sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
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
    with pytest.raises(openai.APITimeoutError):
        hasty.chat.completions.create(model=MODEL, messages=HELLO)
    until(seat.upstream.requests[-1].left.is_set)


def cancel(seat: Seat, _: str) -> Any:
    """A client that leaves in mid-stream frees the model server."""
    pieces = seat.sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    next(iter(pieces))
    pieces.close()
    until(seat.upstream.requests[-1].left.is_set)


def models(seat: Seat, _: str) -> Any:
    """The models that may serve now."""
    assert [model.id for model in seat.sdk.models.list()] == [MODEL]
    assert seat.sdk.models.retrieve(MODEL).id == MODEL


def blocked_prompt(seat: Seat, _: str) -> Any:
    """All ways to ask raise the same."""
    ways = seat.sdk.chat.completions
    for ask in (
        lambda: ways.create(model=MODEL, messages=MAGIC_PROMPT),
        lambda: ways.create(model=MODEL, messages=MAGIC_PROMPT, stream=True),
        lambda: ways.parse(model=MODEL, messages=MAGIC_PROMPT, response_format=Town),
        lambda: ways.stream(model=MODEL, messages=MAGIC_PROMPT).__enter__(),
    ):
        blocked(ask)


def blocked(ask: Any) -> None:
    """The SDK's form of a blocked prompt."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask()
    assert caught.value.code == "content_filter"
    assert caught.value.response.headers["x-should-retry"] == "false"


def blocked_answer(seat: Seat, _: str) -> Any:
    """No text, and the reason."""
    choice = seat.sdk.chat.completions.create(model=MODEL, messages=HELLO).choices[0]
    assert (choice.finish_reason, choice.message.content or "", choice.message.tool_calls) == (
        "content_filter",
        "",
        None,
    )


def blocked_stream(seat: Seat, _: str) -> Any:
    """The stream ends early, and says so."""
    pieces = list(seat.sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert pieces[-1].choices[0].finish_reason == "content_filter"
    assert "amber" not in "".join(piece.to_json() for piece in pieces)


def blocked_helpers(seat: Seat, _: str) -> Any:
    """The helpers raise."""
    ways = seat.sdk.chat.completions
    with pytest.raises(openai.ContentFilterFinishReasonError):
        ways.parse(model=MODEL, messages=HELLO, response_format=Town)
    with (
        ways.stream(model=MODEL, messages=HELLO, response_format=Town) as helper,
        pytest.raises(openai.ContentFilterFinishReasonError),
    ):
        helper.get_final_completion()


CALL_CASES: tuple[Case, ...] = (
    case("chat", "`create`", SCREENED, ask=chat, params=("messages", "model")),
    case("stream", "`create` with `stream`", SCREENED, ask=stream, params=("stream",)),
    case("usage", "`stream_options.include_usage`", SCREENED, ask=usage, params=("stream_options",)),
    case("stream-helper", "`.stream()`: events and final completion", SCREENED, ask=events),
    case("parallel-calls", "two tool calls in one answer", SCREENED, ask=parallel, says=CALLS),
    case("tool-events", "`.stream()`: tool calls", SCREENED, ask=tool_events, says=CALLS),
    case("parse", "`.parse()` with a pydantic model", SCREENED, ask=parse, says=TOWN),
    case("parse-stream", "`.stream()` with a pydantic model", SCREENED, ask=parse_stream, says=TOWN),
    case("pydantic-tool", "`pydantic_function_tool`, parsed arguments", SCREENED, ask=pydantic_tool,
         says=saying(Said(calls=(Call("weather", ('{"name":"Bergen","people":1}',)),)))),
    case("loop", "the SDK's message objects sent back: a tool loop", SCREENED, ask=looped, attempts=4,
         says=saying(Said(calls=(TOWN_CALL,)))),
    case("parsed-back", "the SDK's message objects sent back: a structured answer", SCREENED,
         "`parsed` and `parsed_arguments` are copies: left out and named", ask=parsed_back, says=TOWN, attempts=2),
    case("async", "`AsyncOpenAI`: call, stream, helper", SCREENED, ask=asynchronous, attempts=0),
    case("raw", "`with_raw_response`", SCREENED, "`x-request-id`, `x-asl-decision-id`, `x-asl-dropped`", ask=raw),
    case("raw-stream", "`with_streaming_response`", SCREENED, ask=raw_stream),
    case("models", "`models.list`, `models.retrieve`", WORKS, "what may serve now", ask=models, attempts=2),
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
         "`BadRequestError`, code `content_filter`, from `create`, streams, `.parse()` and `.stream()`; asked once",
         ask=blocked_prompt, attempts=4),
    case("blocked-answer", "a blocked answer", BLOCKED, "no text, `finish_reason: content_filter`; asked once",
         ask=blocked_answer, says=BAD),
    case("blocked-call", "a blocked tool call", BLOCKED, "no call, `finish_reason: content_filter`", ask=blocked_answer, says=BAD_CALL),
    case("blocked-stream", "a blocked streamed answer", BLOCKED, "ends with `finish_reason: content_filter`, before the phrase",
         ask=blocked_stream, says=BAD),
    case("blocked-stream-call", "a blocked streamed tool call", BLOCKED, "the same", ask=blocked_stream, says=BAD_CALL),
    case("blocked-helpers", "a blocked answer in `.parse()` and its `.stream()`", BLOCKED, "`ContentFilterFinishReasonError`",
         ask=blocked_helpers, says=BAD_TOWN, attempts=2),
)  # fmt: skip
