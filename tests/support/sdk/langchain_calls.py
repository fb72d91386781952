"""LangChain's chat models in front of the gateway: what an application sees, in OpenAI's dialect and in Anthropic's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

from gateway.controls.magic import MAGIC
from gateway.demo.answers import Call, Said
from support.running import until
from support.sdk.anthropic_calls import count_blocked, counting
from support.sdk.cases import (
    BLOCKED,
    CANARY,
    SCREENED,
    Case,
    Seat,
    by_level,
    case,
    dropped,
    no_route,
    saying,
    strict,
)
from support.sdk.openai_calls import BAD, BAD_CALL, TOWN, town
from support.sdk.proof import last

MAGIC_TEXT = MAGIC["rules"] + " Hello."
CALLS = saying(Said(calls=(Call("weather", ('{"city":"Bergen"}',)),)))
ANSWERS_TOWN = saying(Said(calls=(Call("Town", ('{"name":"Bergen","people":290000}',)),)))


@tool
def weather(city: str) -> str:
    """Looks at the weather."""
    return f"It rains in {city}."


def text(message: Any) -> str:
    """The text of a message, whose content may be blocks."""
    content = message.content
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def refused_by_anthropic(message: Any) -> bool:
    """Whether a message is Anthropic's form of a block."""
    return message.response_metadata.get("stop_reason") == "refusal"


def blocked(ask: Callable[[], Any]) -> None:
    """A blocked prompt: OpenAI's form is an error, Anthropic's a message."""
    try:
        message = ask()
    except openai.BadRequestError as error:
        shown = error.code == "content_filter"
    else:
        shown = refused_by_anthropic(message)
    assert shown


def once(seat: Seat, act: Callable[[], Any]) -> Any:
    """What comes of an act that must be one exchange at the gateway, though LangChain retries by default."""
    before = seat.asked()
    try:
        return act()
    finally:
        until(lambda: seat.asked() > before)
        assert seat.asked() == before + 1


def invoke(model: str) -> Callable[[Seat, str], Any]:
    """``invoke``."""

    def ask(seat: Seat, word: str) -> Any:
        message = seat.sdk[model].invoke(f"Say a word about {word}.")
        assert refused_by_anthropic(message) or text(message) == "Hello there."
        return message

    return ask


def stream(model: str) -> Callable[[Seat, str], Any]:
    """``stream``."""

    def ask(seat: Seat, word: str) -> Any:
        pieces = list(seat.sdk[model].stream(f"Say a word about {word}."))
        whole = sum(pieces[1:], pieces[0])
        assert refused_by_anthropic(whole) or text(whole) == "Hello there."
        return whole

    return ask


def ainvoke(model: str) -> Callable[[Seat, str], Any]:
    """``ainvoke`` and ``astream``."""

    def ask(seat: Seat, word: str) -> Any:
        async def act() -> Any:
            pieces = [piece async for piece in seat.sdk[model].astream(f"Say a word about {word}.")]
            message = await seat.sdk[model].ainvoke(f"Say a word about {word}.")
            assert refused_by_anthropic(message) or (text(message), "".join(map(text, pieces))) == (
                "Hello there.",
                "Hello there.",
            )
            return message

        return seat.sdk["loop"].run(act())

    return ask


def tools(model: str) -> Callable[[Seat, str], Any]:
    """``bind_tools``, and the result sent back."""

    def ask(seat: Seat, word: str) -> Any:
        bound = seat.sdk[model].bind_tools([weather])
        prompt = HumanMessage(f"How is {word}?")
        message = bound.invoke([prompt])
        if refused_by_anthropic(message):
            return message
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("weather", {"city": "Bergen"})]
        result = ToolMessage(weather.invoke(message.tool_calls[0]["args"]), tool_call_id=message.tool_calls[0]["id"])
        bound.invoke([prompt, message, result])
        assert "It rains in Bergen." in json.dumps(last(seat))
        return message

    return ask


def structured(model: str, **how: Any) -> Callable[[Seat, str], Any]:
    """``with_structured_output``; the word is in the schema."""

    def ask(seat: Seat, word: str) -> Any:
        told = seat.sdk[model].with_structured_output(town(word), include_raw=True, **how).invoke("Which town?")
        if not refused_by_anthropic(told["raw"]):
            assert told["parsed"].model_dump() == {"name": "Bergen", "people": 290000}
        return told["raw"]

    return ask


def logprobs(seat: Seat, _: str) -> Any:
    """An option that ASL-3 refuses."""
    message = seat.sdk["openai"].bind(logprobs=True).invoke("Hello.")
    assert "logprobs" not in last(seat)
    return message


def responses(seat: Seat, _: str) -> Any:
    """The responses API."""
    return seat.sdk["make"](use_responses_api=True).invoke("Hello.")


def count(seat: Seat, word: str) -> Any:
    """Counting tokens."""
    assert seat.sdk["anthropic"].get_num_tokens_from_messages([HumanMessage(f"Hello, {word}.")]) == 12


def blocked_prompt_openai(seat: Seat, _: str) -> Any:
    """An error, once."""
    for act in (seat.sdk["openai"].invoke, lambda text: list(seat.sdk["openai"].stream(text))):
        with pytest.raises(openai.BadRequestError) as caught:
            once(seat, lambda act=act: act(MAGIC_TEXT))  # type: ignore[misc]
        assert caught.value.code == "content_filter"


def blocked_prompt_anthropic(seat: Seat, _: str) -> Any:
    """A message without text, once."""
    message = once(seat, lambda: seat.sdk["anthropic"].invoke(MAGIC_TEXT))
    assert (refused_by_anthropic(message), text(message)) == (True, "")
    assert message.response_metadata["stop_details"]["category"] == "general_harms"


def blocked_answer(model: str) -> Callable[[Seat, str], Any]:
    """No text, and the reason in the metadata, at once and streamed."""
    key, reason = {"openai": ("finish_reason", "content_filter"), "anthropic": ("stop_reason", "refusal")}[model]

    def ask(seat: Seat, _: str) -> Any:
        message = once(seat, lambda: seat.sdk[model].invoke("Hello."))
        assert (message.response_metadata[key], text(message), message.tool_calls) == (reason, "", [])
        pieces = list(seat.sdk[model].stream("Hello."))
        assert sum(pieces[1:], pieces[0]).response_metadata[key] == reason
        assert "amber" not in "".join(map(text, pieces))

    return ask


def blocked_structured_openai(seat: Seat, _: str) -> Any:
    """A structured answer that was blocked raises."""
    with pytest.raises(openai.ContentFilterFinishReasonError):
        seat.sdk["openai"].with_structured_output(town("Oslo")).invoke("Hello.")


def blocked_structured_anthropic(seat: Seat, _: str) -> Any:
    """A structured answer that was blocked is None."""
    assert seat.sdk["anthropic"].with_structured_output(town("Oslo")).invoke("Hello.") is None


LANGCHAIN_CASES: tuple[Case, ...] = (
    *(
        one
        for model, name in (("openai", "ChatOpenAI"), ("anthropic", "ChatAnthropic"))
        for one in (
            case(f"{model}-invoke", f"`{name}.invoke`", SCREENED, ask=invoke(model)),
            case(f"{model}-stream", f"`{name}.stream`", SCREENED, ask=stream(model)),
            case(f"{model}-async", f"`{name}.ainvoke`, `.astream`", SCREENED, ask=ainvoke(model)),
            case(f"{model}-tools", f"`{name}.bind_tools`, results sent back", SCREENED, ask=tools(model), says=CALLS),
        )
    ),
    case("openai-structured", "`ChatOpenAI.with_structured_output`", SCREENED, ask=structured("openai"), says=TOWN),
    case("openai-json-mode", "the same with `method=\"function_calling\"`", SCREENED,
         ask=structured("openai", method="function_calling"), says=ANSWERS_TOWN),
    case("anthropic-structured", "`ChatAnthropic.with_structured_output`", SCREENED,
         ask=structured("anthropic"), says=ANSWERS_TOWN),
    case("anthropic-json-schema", "the same with `method=\"json_schema\"`", SCREENED,
         ask=structured("anthropic", method="json_schema"), says=TOWN),
    case("openai-logprobs", "`ChatOpenAI` with `logprobs`",
         strict(dropped("logprobs"), replace(by_level("logprobs"), error="OpenAIInvalidRequestError")), ask=logprobs),
    case("openai-responses", "`ChatOpenAI` with `use_responses_api`", replace(no_route(), error="OpenAIModelNotFoundError"), ask=responses),
    case("anthropic-count", "`ChatAnthropic.get_num_tokens_from_messages`", SCREENED, ask=count, says=counting, blocked=count_blocked),
    case("openai-blocked-prompt", "`ChatOpenAI`: a blocked prompt", BLOCKED,
         "`openai.BadRequestError`, code `content_filter`; asked once", ask=blocked_prompt_openai),
    case("anthropic-blocked-prompt", "`ChatAnthropic`: a blocked prompt", BLOCKED,
         "a message without text; `response_metadata[\"stop_reason\"]` is `refusal`; asked once", ask=blocked_prompt_anthropic),
    case("openai-blocked-answer", "`ChatOpenAI`: a blocked answer", BLOCKED,
         "no text; `response_metadata[\"finish_reason\"]` is `content_filter`; asked once", ask=blocked_answer("openai"), says=BAD),
    case("openai-blocked-call", "`ChatOpenAI`: a blocked tool call", BLOCKED, "the same", ask=blocked_answer("openai"), says=BAD_CALL),
    case("anthropic-blocked-answer", "`ChatAnthropic`: a blocked answer", BLOCKED,
         "no text; `response_metadata[\"stop_reason\"]` is `refusal`; asked once", ask=blocked_answer("anthropic"), says=BAD),
    case("anthropic-blocked-call", "`ChatAnthropic`: a blocked tool call", BLOCKED, "the same",
         ask=blocked_answer("anthropic"), says=BAD_CALL),
    case("openai-blocked-structured", "`ChatOpenAI`: a blocked structured answer", BLOCKED, "`openai.ContentFilterFinishReasonError`",
         ask=blocked_structured_openai, says=saying(Said((f'{{"name":"{CANARY}"}}',)))),
    case("anthropic-blocked-structured", "`ChatAnthropic`: a blocked structured answer", BLOCKED, "`None`",
         ask=blocked_structured_anthropic, says=BAD_CALL),
)  # fmt: skip
