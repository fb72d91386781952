"""LiteLLM's client in front of the gateway, in both dialects. It runs in an environment of its own, one process for all cases."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.demo.answers import Call, Said
from support.sdk.cases import (
    BLOCKED,
    HELLO,
    MODEL,
    SCREENED,
    WORD,
    WORKS,
    Case,
    Seat,
    by_level,
    case,
    dropped,
    refused,
    saying,
    strict,
)
from support.sdk.langchain_calls import once
from support.sdk.openai_calls import BAD, BAD_CALL, MAGIC_PROMPT, worded
from support.sdk.openai_parameters import CALLS, TOOL, formed

PYTHON = Path(sys.prefix) / "litellm" / "bin" / "python"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "title": WORD}},
    "required": ["a"],
    "additionalProperties": False,
}


class LitellmError(Exception):
    """What LiteLLM raised over there. ``told`` is the error that it shows of ours."""

    def __init__(self, raised: dict[str, Any]) -> None:
        super().__init__(raised["message"])
        self.status_code, self.raised = raised["status"], raised
        begin = raised["message"].find('{"type":"error"')  # in Anthropic's dialect the body is part of the message
        self.told = json.loads(raised["message"][begin:])["error"] if begin >= 0 else raised


class Caller:
    """A process with LiteLLM in it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def complete(self, **order: Any) -> dict[str, Any]:
        """``litellm.completion``: text, finish reason and calls. Raises an exception of the name of LiteLLM's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise type(told["error"], (LitellmError,), {})(told)
        return told


@contextlib.contextmanager
def caller() -> Iterator[Caller]:
    """The process, ended with the block."""
    assert PYTHON.exists(), "LiteLLM is missing: run `make setup-dev`, which puts it into an environment of its own"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = str(Path(__file__).with_name("litellm_caller.py"))
    with subprocess.Popen(
        [str(PYTHON), script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Caller(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def complete(seat: Seat, dialect: str, **more: Any) -> dict[str, Any]:
    """One completion in a dialect."""
    base = seat.base + "/v1" if dialect == "openai" else seat.base
    order = {
        "model": f"{dialect}/{MODEL}",
        "api_base": base,
        "api_key": "unused",
        "messages": HELLO,
        "timeout": 60,
        **more,
    }
    told: dict[str, Any] = seat.sdk.complete(**order)
    return told


def refused_by(told: dict[str, Any]) -> bool:
    """Whether an answer is the form of a block."""
    return bool(told["finish"] == "content_filter" and not told["text"] and not told["calls"])


def blocked(ask: Callable[[], Any]) -> None:
    """A blocked prompt: OpenAI's form is an error, Anthropic's an answer without text."""
    try:
        shown = refused_by(ask())
    except LitellmError as error:
        shown = (error.raised["error"], error.told["code"]) == ("BadRequestError", "content_filter")
    assert shown


def says(model: str, **more: Any) -> Callable[[Seat, str], Any]:
    """A completion with a word in its prompt."""

    def ask(seat: Seat, word: str) -> Any:
        told = complete(seat, model, messages=worded(word), **more)
        assert refused_by(told) or (told["text"], told["finish"]) == ("Hello there.", "stop")
        return told

    return ask


def tools(model: str, **more: Any) -> Callable[[Seat, str], Any]:
    """Tools whose description holds a word."""

    def ask(seat: Seat, word: str) -> Any:
        described = {"type": "function", "function": {**TOOL["function"], "description": f"Looks at {word}"}}  # type: ignore[dict-item]
        told = complete(seat, model, tools=[described], **more)
        assert refused_by(told) or [json.loads(call[1])["city"] for call in told["calls"]] == ["Bergen", "Bodø"]
        return told

    return ask


def structured(model: str) -> Callable[[Seat, str], Any]:
    """A structured answer whose schema holds a word."""

    def ask(seat: Seat, word: str) -> Any:
        told = complete(seat, model, **json.loads(json.dumps(formed(SCHEMA)).replace(WORD, word)))
        assert refused_by(told) or json.loads(told["text"]) == {"a": 1}
        return told

    return ask


def with_(dialect: str, **more: Any) -> Callable[[Seat, str], Any]:
    """A completion with parameters."""
    return lambda seat, _: complete(seat, dialect, **more)


def blocked_prompt(model: str) -> Callable[[Seat, str], Any]:
    """At once and streamed, asked once each."""

    def ask(seat: Seat, _: str) -> Any:
        for stream in (False, True):
            blocked(
                lambda stream=stream: once(seat, lambda: complete(seat, model, messages=MAGIC_PROMPT, stream=stream))
            )  # type: ignore[misc]

    return ask


def blocked_answer(model: str) -> Callable[[Seat, str], Any]:
    """At once and streamed."""

    def ask(seat: Seat, _: str) -> Any:
        assert refused_by(once(seat, lambda: complete(seat, model)))
        told = complete(seat, model, stream=True)
        assert told["finish"] == "content_filter"
        assert "amber" not in json.dumps(told)

    return ask


def _both(model: str) -> Iterator[Case]:
    """The cases that both dialects have."""
    name = f"`{model}/…`"
    unknown = refused(None, None, "NotFoundError", 404)
    if model == "anthropic":
        unknown = refused("model", "model_not_found", "NotFoundError", 404)
    form = (
        "`BadRequestError`, code `content_filter`; asked once"
        if model == "openai"
        else "no text, `finish_reason: content_filter`; asked once"
    )
    yield case(f"{model}-completion", f"{name}: `completion`", SCREENED, ask=says(model))
    yield case(f"{model}-stream", f"{name}: `completion` with `stream`", SCREENED, ask=says(model, stream=True))
    yield case(f"{model}-async", f"{name}: `acompletion`", SCREENED, ask=says(model, awaited=True))
    yield case(
        f"{model}-tools",
        f"{name}: `tools`, `tool_choice` required",
        SCREENED,
        says=CALLS,
        ask=tools(model, tool_choice="required"),
    )
    yield case(
        f"{model}-tools-stream", f"{name}: `tools`, streamed", SCREENED, says=CALLS, ask=tools(model, stream=True)
    )
    yield case(f"{model}-prefill", f"{name}: prefill", strict(WORKS, by_level("messages[1]")),
               ask=with_(model, messages=[*HELLO, {"role": "assistant", "content": "Because"}]))  # fmt: skip
    yield case(f"{model}-unknown", f"{name}: a model that is not registered",
               unknown, ask=with_(model, model=f"{model}/unknown"))  # fmt: skip
    yield case(f"{model}-blocked-prompt", f"{name}: a blocked prompt", BLOCKED, form, ask=blocked_prompt(model))
    yield case(f"{model}-blocked-answer", f"{name}: a blocked answer", BLOCKED, "no text, `finish_reason: content_filter`; asked once",
               ask=blocked_answer(model), says=BAD)  # fmt: skip
    yield case(
        f"{model}-blocked-call",
        f"{name}: a blocked tool call",
        BLOCKED,
        "the same",
        ask=blocked_answer(model),
        says=BAD_CALL,
    )


LITELLM_CASES: tuple[Case, ...] = (
    *_both("openai"),
    case("openai-structured", "`openai/…`: `response_format` json_schema", SCREENED,
         ask=structured("openai"), says=saying(Said(('{"a":1}',)))),
    case("openai-logprobs", "`openai/…`: `logprobs`", strict(dropped("logprobs"), by_level("logprobs")),
         ask=with_("openai", logprobs=True)),
    *_both("anthropic"),
    case("anthropic-structured", "`anthropic/…`: `response_format` json_schema", SCREENED, "LiteLLM makes it a tool call",
         ask=structured("anthropic"), says=saying(Said(calls=(Call("json_tool_call", ('{"a":1}',)),)))),
)  # fmt: skip
